"""What form a file has, told by its content and never by its name: PDF, pictures, office files without macros.

Nothing is unpacked but the list of a package's parts, which is bounded, and the beginning of one of them.
"""

from __future__ import annotations

import errno
import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from core.errors import InvalidInput, SmartsiteError
from core.settings.documents import DocumentType


class EmptyFile(InvalidInput):
    """The file has no bytes."""

    code = "empty_file"


class UnsupportedType(SmartsiteError):
    """The file has none of the forms that are taken."""

    code = "unsupported_type"
    status = 415


class HasMacros(UnsupportedType):
    """It is an office file that carries programs."""

    code = "has_macros"


@dataclass(frozen=True, slots=True)
class Form:
    """A form of files: its media type, and the endings of names that belong to it, the usual one first."""

    media_type: str
    endings: tuple[str, ...]


_OOXML = "application/vnd.openxmlformats-officedocument."
_ODF = "application/vnd.oasis.opendocument."
FORMS: dict[DocumentType, Form] = {
    "pdf": Form("application/pdf", (".pdf",)),
    "png": Form("image/png", (".png",)),
    "jpeg": Form("image/jpeg", (".jpg", ".jpeg", ".jfif")),
    "docx": Form(_OOXML + "wordprocessingml.document", (".docx",)),
    "xlsx": Form(_OOXML + "spreadsheetml.sheet", (".xlsx",)),
    "pptx": Form(_OOXML + "presentationml.presentation", (".pptx",)),
    "odt": Form(_ODF + "text", (".odt",)),
    "ods": Form(_ODF + "spreadsheet", (".ods",)),
    "odp": Form(_ODF + "presentation", (".odp",)),
}
_BY_MEDIA_TYPE = {form.media_type: name for name, form in FORMS.items()}
_SIGNATURES: tuple[tuple[bytes, DocumentType], ...] = (
    (b"%PDF-", "pdf"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "jpeg"),
)
# ZIP, PKWARE APPNOTE 4.3.16: the end of the central directory, behind it a comment of up to 65,535 bytes.
_END = struct.Struct("<4s4H2LH")
_END_MARK, _END64_MARK, _LOCATOR64_BYTES = b"PK\x05\x06", b"PK\x06\x07", 20
_LONGEST_COMMENT = 0xFFFF
# A list of parts so long belongs to no office file, and would take hundreds of megabytes of memory.
_MOST_DIRECTORY_BYTES = 2 * 1024 * 1024
_MOST_PART_BYTES = 256 * 1024
# Parts in which office files keep programs (ISO/IEC 29500 and MS-OVBA; OpenDocument 1.3 part 2).
_PROGRAMS = ("vbaproject.bin", "vbadata.xml", "macrosheets/", "activex/", "basic/", "scripts/")


def form_of(path: Path) -> DocumentType | None:
    """The form of a file, None where it is none that is known. Blocks: call in a thread.

    Raises:
        HasMacros: it is an office file with macros or controls.
    """
    with path.open("rb") as file:
        head = file.read(16)
        for signature, name in _SIGNATURES:
            if head.startswith(signature):
                return name
        if not head.startswith(b"PK\x03\x04") or not _has_short_directory(file):
            return None
        try:
            with zipfile.ZipFile(file) as package:
                return _office(package)
        # What zipfile raises of broken packages, encrypted and oddly packed parts (RuntimeError, NotImplementedError).
        except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, ValueError, RuntimeError, struct.error):
            return None
        except OSError as error:
            # A place before the beginning of the file; anything else is the disk's fault.
            if error.errno != errno.EINVAL:
                raise
            return None


def _office(package: zipfile.ZipFile) -> DocumentType | None:
    names = {one.lower() for one in package.namelist()}
    if "mimetype" in names:
        named = _beginning(package, "mimetype").decode("ascii", "replace")
    elif "[content_types].xml" in names:
        types = _beginning(package, "[Content_Types].xml").decode("utf-8", "replace")
        mains = (name for name in _BY_MEDIA_TYPE if f"{name}.main+xml" in types)
        named = next(mains, "")
        if not named and ".macroEnabled." in types:
            raise _macros()
    else:
        return None
    form = _BY_MEDIA_TYPE.get(named)
    if form is not None and any(part in name for name in names for part in _PROGRAMS):
        raise _macros()
    return form


def _macros() -> HasMacros:
    return HasMacros("the file carries macros or controls", hint="save it without macros (docx, xlsx, pptx) or as PDF")


def _beginning(package: zipfile.ZipFile, name: str) -> bytes:
    with package.open(name) as part:
        return part.read(_MOST_PART_BYTES)


def _has_short_directory(file: BinaryIO) -> bool:
    """Whether the file ends as a ZIP archive whose list of parts is short enough to be read."""
    size = file.seek(0, 2)
    file.seek(max(0, size - _END.size - _LONGEST_COMMENT))
    tail = file.read()
    place = tail.rfind(_END_MARK)
    if place < 0 or len(tail) - place < _END.size:
        return False
    if tail[max(0, place - _LOCATOR64_BYTES) :].startswith(_END64_MARK):
        return False
    directory_bytes: int = _END.unpack_from(tail, place)[5]
    return directory_bytes <= _MOST_DIRECTORY_BYTES
