"""A page that lists the API's operations, made from the OpenAPI description: no script, nothing from outside."""

from __future__ import annotations

from html import escape
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

router = APIRouter(include_in_schema=False)

_STYLE = "/api/docs.css"
_CSS = """body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1d2733}
code{background:#eef2f6;padding:.1rem .3rem;border-radius:3px}h2{margin:2rem 0 .3rem;font-size:1.05rem}
table{border-collapse:collapse}td,th{text-align:left;padding:.15rem 1rem .15rem 0;vertical-align:top}"""


@router.get("/api/docs")
async def page(request: Request) -> HTMLResponse:
    """The operations with their parameters and answers."""
    description: dict[str, Any] = request.app.openapi()
    info = description["info"]
    body = [f"<h1>{escape(info['title'])} {escape(info['version'])}</h1>", f"<p>{escape(info['description'])}</p>"]
    body.append('<p>Complete description: <a href="/api/openapi.json">openapi.json</a></p>')
    for path, operations in description["paths"].items():
        for method, operation in operations.items():
            body.append(_operation(method.upper(), path, operation))
    head = f'<meta charset="utf-8"><title>{escape(info["title"])}</title><link rel="stylesheet" href="{_STYLE}">'
    return HTMLResponse(f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(body)}</body></html>')


@router.get(_STYLE)
async def style() -> HTMLResponse:
    """The page's style sheet."""
    return HTMLResponse(_CSS, media_type="text/css")


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    lines = [f"<h2><code>{method} {escape(path)}</code> {escape(operation['summary'])}</h2>"]
    if "description" in operation:
        lines.append(f"<p>{escape(operation['description'])}</p>")
    cells = [
        (parameter["name"], parameter["in"], parameter.get("description", ""))
        for parameter in operation.get("parameters", [])
    ]
    body = operation.get("requestBody")
    if body:
        cells.append((_model(body), "body", body.get("description", "")))
    cells += [
        (status, "answer", f"{answer['description']} {_model(answer)}")
        for status, answer in operation["responses"].items()
    ]
    table = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in cells)
    return "".join([*lines, f"<table>{table}</table>"])


def _model(part: dict[str, Any]) -> str:
    schemas = [content.get("schema", {}).get("$ref", "") for content in part.get("content", {}).values()]
    return " ".join(reference.rsplit("/", 1)[-1] for reference in schemas if reference)
