"""A report as a file: HTML to read and print, CSV to reckon with."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
from collections.abc import Mapping
from html import escape
from zoneinfo import ZoneInfo

from alerts.notices.wording import Language, local
from alerts.reports.model import Report
from alerts.reports.tables import Cell, Table, heading, percent, tables, words
from sensors.profiles import Profile
from sensors.registry import Registry

_STYLE = """body{font:15px/1.5 system-ui,"Noto Sans CJK SC",sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem;
color:#1d2733}h1{font-size:1.4rem}h2{font-size:1.05rem;margin:1.6rem 0 .4rem}
table{border-collapse:collapse;width:100%}th,td{border:1px solid #c5ced8;padding:.3rem .6rem;text-align:left}
th{background:#eef2f6}td.number{text-align:right;font-variant-numeric:tabular-nums}p{color:#5a6b7d}"""
STYLE_HASH = f"sha256-{base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()}"
"""Of the one style sheet in the page, for its content security policy."""


def as_html(
    report: Report, language: Language, registry: Registry, profiles: Mapping[str, Profile], zone: ZoneInfo
) -> str:
    """One page without scripts or anything from elsewhere; `zone` is that of the time at which it was made."""
    title = escape(heading(report, language, registry))
    parts = "".join(_html(table) for table in tables(report, language, profiles))
    made = f"{escape(words()['made'][language])} {local(report.made_at, zone)}"
    return (
        f'<!doctype html><html lang="{language}"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>'
        f"<body><h1>{title}</h1>{parts}<p>{made}</p></body></html>\n"
    )


def as_csv(report: Report, language: Language, registry: Registry, profiles: Mapping[str, Profile]) -> str:
    """The tables one below the other, the first column naming the table; with a mark by which sheets know UTF-8."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow([heading(report, language, registry)])
    for table in tables(report, language, profiles):
        writer.writerow([])
        writer.writerow([table.title, *table.columns])
        writer.writerows([table.title, *map(_plain, row)] for row in table.rows)
    return "\ufeff" + out.getvalue()


def _html(table: Table) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in table.columns)
    rows = "".join(
        f"<tr>{''.join(_cell(cell, place, table) for place, cell in enumerate(row))}</tr>" for row in table.rows
    )
    return f"<h2>{escape(table.title)}</h2><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _cell(cell: Cell, place: int, table: Table) -> str:
    if place in table.shares:
        return f'<td class="number">{percent(None if cell is None else float(cell))}</td>'
    if isinstance(cell, float):
        return f'<td class="number">{cell:.0f}</td>'
    return f'<td class="number">{cell}</td>' if isinstance(cell, int) else f"<td>{escape(cell or '')}</td>"


def _plain(cell: Cell) -> Cell:
    """A figure as it is; of text that a sheet would take for a formula the sign is quoted."""
    if isinstance(cell, float):
        return round(cell, 4)
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in ("=", "+", "-", "@", "\t") else cell
