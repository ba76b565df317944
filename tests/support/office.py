"""Small files of each form that documents may have, and of forms that they may not."""

from __future__ import annotations

import io
import zipfile

PDF = b"%PDF-1.7\n1 0 obj\n<< /Type /Catalog >>\nendobj\ntrailer\n<< /Root 1 0 R >>\n%%EOF\n"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(32)
JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF" + bytes(32)

_OOXML = "application/vnd.openxmlformats-officedocument."
MAINS = {
    "docx": ("word/document.xml", _OOXML + "wordprocessingml.document"),
    "xlsx": ("xl/workbook.xml", _OOXML + "spreadsheetml.sheet"),
    "pptx": ("ppt/presentation.xml", _OOXML + "presentationml.presentation"),
}


def packed(parts: dict[str, bytes | str]) -> bytes:
    """A ZIP archive of these parts."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as package:
        for name, content in parts.items():
            package.writestr(name, content)
    return buffer.getvalue()


def office(form: str, beside: dict[str, bytes] | None = None) -> bytes:
    """An OOXML file of the form with parts beside."""
    part, media_type = MAINS[form]
    types = f'<Types><Override PartName="/{part}" ContentType="{media_type}.main+xml"/></Types>'
    return packed({"[Content_Types].xml": types, part: "<x/>", **(beside or {})})


def macros(form: str = "docx") -> bytes:
    """An office file with macros under the name of one without."""
    return office(form, {"word/vbaProject.bin": b"\xd0\xcf\x11\xe0"})


def open_document(form: str) -> bytes:
    """An OpenDocument file: text, spreadsheet or presentation."""
    return packed({"mimetype": f"application/vnd.oasis.opendocument.{form}", "content.xml": "<x/>"})
