"""Sheets of devices as spreadsheet programs save them: UTF-8, GBK or UTF-16, commas, semicolons or tabs, titles in
English or Chinese. A row that is no CSV costs no other row."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator, Sequence
from itertools import islice

TITLES = {
    "工地编码": "site",
    "工地": "site",
    "设备编码": "code",
    "编码": "code",
    "设备类型": "kind",
    "类型": "kind",
    "设备名称": "name",
    "名称": "name",
    "英文名称": "name_en",
    "密码": "secret",
    "密钥": "secret",
    "备案号": "record_number",
    "生产厂家": "factory",
    "厂家": "factory",
    "纬度": "latitude",
    "经度": "longitude",
    "时钟修正(毫秒)": "clock_offset_ms",
    "上报间隔(秒)": "interval_s",
    "上报间隔": "interval_s",
    "标签": "tags",
    "网关": "gateway",
    "网关编码": "gateway",
    "MN": "mn",
    "MN号": "mn",
    "HJ212": "hj212",
    "HJ212参数": "hj212",
    "启用": "enabled",
}
"""Chinese titles of columns and the fields that they name; full-width brackets and spaces do not matter."""

_DELIMITERS = ",;\t"
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_SWALLOWED = 20
"""Lines in one cell from which on a quotation mark is taken to be a mistake."""


class NoText(Exception):
    """The bytes are text in none of the encodings that spreadsheet programs write; `args[0]` says so."""


def text_of(raw: bytes) -> str:
    """The text of a sheet: UTF-16 with its mark, else UTF-8, else GB 18030 (which GBK and GB 2312 are part of).

    Raises:
        NoText: it is none of these, or UTF-8 with damage, which GB 18030 would read as other characters.
    """
    try:
        if raw.startswith(_UTF_16):
            return raw.decode("utf-16")
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        fault = error
    pieces = [sign for sign in raw.decode("utf-8", errors="replace") if ord(sign) > 127]
    damaged = sum(sign == "\ufffd" for sign in pieces)
    if raw.startswith(_UTF_16) or 2 * damaged <= len(pieces):
        raise NoText(f"is damaged {fault.encoding} (byte {fault.start}); save it again as 'CSV UTF-8'")
    try:
        return raw.decode("gb18030")
    except UnicodeDecodeError as error:
        raise NoText(
            f"is neither UTF-8 (byte {fault.start}) nor GBK (byte {error.start}); save it again as 'CSV UTF-8'"
        ) from None


def columns_of(title: Sequence[str]) -> list[str]:
    """The fields that the cells of the first line name; a title that is not known comes back as it is."""
    return [_field(cell) for cell in title]


def _field(title: str) -> str:
    bare = title.strip().replace("（", "(").replace("）", ")")
    return TITLES.get(bare.replace(" ", ""), bare)


def records(text: str) -> Iterator[tuple[int, list[str] | str]]:
    """Each record with the number of its first line: its cells, or what is wrong with it. Empty lines are left out."""
    lines = list(io.StringIO(text, newline=""))
    delimiter = max(_DELIMITERS, key=(lines[0] if lines else "").count)
    start = 0
    while start < len(lines):
        reader = csv.reader(islice(lines, start, None), strict=True, delimiter=delimiter)
        before, fault = 0, ""
        try:
            for cells in reader:
                if reader.line_num - before > _SWALLOWED:
                    fault = f"a cell of more than {_SWALLOWED} lines"
                    break
                if cells:
                    yield start + before + 1, cells
                before = reader.line_num
        except csv.Error as error:
            fault = str(error)
        if not fault:
            return
        yield start + before + 1, fault
        # The next line may be a good row: the quotation mark that broke this one has nothing to do with it.
        start += before + 1
