"""The page behind the link of a message: shows one alert, and acknowledges it at the press of a button.

It works on a phone without a log-in; the link is the right to acknowledge this alert, and to see of it what the message
told. Looking never acknowledges: mail gateways and messengers open links by themselves.
"""

from __future__ import annotations

import base64
import hashlib
from datetime import datetime
from html import escape
from typing import Any
from urllib.parse import parse_qs
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from psycopg import AsyncConnection

from alerts import desk
from alerts.model import AlertRow, load
from alerts.notices import links, wording
from api import audit
from api.context import Database, Here
from core.errors import NotFound
from sensors.registry import Person, Registry, load_registry

router = APIRouter(include_in_schema=False)

_COMMENT = 500
_STYLE = """body{font:17px/1.6 system-ui,sans-serif;margin:0;background:#f2f4f7;color:#1d2733}
main{max-width:34rem;margin:0 auto;padding:1.2rem}h1{font-size:1.25rem;margin:.4rem 0 1rem}
dl{background:#fff;border-radius:10px;padding:.4rem 1rem;margin:0 0 1rem;display:grid;
grid-template-columns:max-content 1fr;gap:.2rem 1rem}dt{color:#5a6b7d}dd{margin:0;overflow-wrap:anywhere}
textarea{width:100%;box-sizing:border-box;font:inherit;padding:.6rem;border:1px solid #b7c1cc;border-radius:10px}
button{width:100%;font:inherit;font-weight:600;padding:.9rem;margin-top:.8rem;border:0;border-radius:10px;
background:#0b5cad;color:#fff}.done{background:#e3f4e8;border-radius:10px;padding:.9rem 1rem;font-weight:600}
.critical{color:#b3261e}.major{color:#b4540a}"""
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
    f"style-src 'sha256-{base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()}'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex, nofollow",
}
_WORDS = {
    "zh": {
        "title": "告警确认",
        "site": "工地",
        "subject": "对象",
        "rule": "规则",
        "value": "数值",
        "limit": "限值",
        "time": "时间",
        "action": "要求",
        "state": "状态",
        "open": "进行中",
        "over": "已恢复",
        "comment": "处置说明（可不填）",
        "button": "我已知悉，确认告警",
        "done": "{name} 已于 {at} 确认",
        "as": "以 {name} 的名义确认",
        "bad": "链接无效或已过期",
        "advice": "请登录平台查看告警，或联系平台管理员。",
    },
    "en": {
        "title": "Acknowledge an alert",
        "site": "Site",
        "subject": "Subject",
        "rule": "Rule",
        "value": "Value",
        "limit": "Limit",
        "time": "Time",
        "action": "Required",
        "state": "State",
        "open": "goes on",
        "over": "resolved",
        "comment": "What is being done (optional)",
        "button": "I know of it: acknowledge",
        "done": "Acknowledged by {name} at {at}",
        "as": "Acknowledging as {name}",
        "bad": "The link is not valid, or has expired",
        "advice": "Log in to see the alert, or ask whoever runs the platform.",
    },
}


@router.get(f"{links.PATH}{{token}}")
async def look(token: str, context: Here, database: Database) -> HTMLResponse:
    """The alert and a button."""
    try:
        alert, person, registry = await _behind(token, database, context.clock.now())
    except NotFound:
        return _refusal()
    return _page(alert, person, registry)


@router.post(f"{links.PATH}{{token}}")
async def acknowledge(token: str, request: Request, context: Here, database: Database) -> HTMLResponse:
    """Acknowledge in the name of the person to whom the link was sent; of a later one the remark is kept."""
    try:
        alert, person, registry = await _behind(token, database, context.clock.now())
    except NotFound:
        return _refusal()
    form = parse_qs((await request.body()).decode("utf-8", "replace"))
    comment = form.get("comment", [""])[0].replace("\0", "").strip()[:_COMMENT]
    async with database.transaction():
        alert, written = await desk.acknowledge(database, alert.id, person.code, context.clock, comment=comment)
        if written:
            await audit.append(
                database,
                at=context.clock.now(),
                actor=person.code,
                action="alert.acknowledge" if written == "acknowledged" else "alert.comment",
                thing=f"alert:{alert.id}",
                detail={"comment": comment, "by": "link"},
            )
    return _page(alert, person, registry)


async def _behind(token: str, database: AsyncConnection[Any], now: datetime) -> tuple[AlertRow, Person, Registry]:
    """What the link is for; NotFound where it is not valid, or the person has no part in the site any more."""
    claim = links.read(await links.signing_key(database, now=now), token, now=now)
    registry = await load_registry(database)
    person = registry.people.get(claim.person_id)
    alert = await load(database, claim.alert_id)
    if person is None or not person.may_see(alert.site_id):
        raise NotFound("the person has no part in this site any more")
    return alert, person, registry


def _page(alert: AlertRow, person: Person, registry: Registry) -> HTMLResponse:
    language: wording.Language = "en" if person.language == "en" else "zh"
    words = _WORDS[language]
    facts = wording.facts(alert, language, registry, phase="cleared" if not alert.is_open else "raised")
    shown = [(words[name], facts[name]) for name in ("site", "subject", "rule", "value", "limit", "time", "action")]
    shown.append((words["state"], words["open" if alert.is_open else "over"]))
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in shown if value)
    heading = f'<h1 class="{alert.severity}">{escape(facts["severity"])} · {escape(facts["rule"])}</h1>'
    name = (person.name_en or person.name) if language == "en" else person.name
    if alert.acknowledged_at is not None:
        who = next((one for one in registry.people.values() if one.code == alert.acknowledged_by), None)
        zone = ZoneInfo(registry.sites[alert.site_id].time_zone)
        told = words["done"].format(
            name=who.name if who is not None else alert.acknowledged_by, at=wording.local(alert.acknowledged_at, zone)
        )
        foot = f'<p class="done">{escape(told)}</p>'
    else:
        foot = (
            f'<form method="post"><textarea name="comment" rows="2" maxlength="{_COMMENT}" '
            f'aria-label="{escape(words["comment"])}" placeholder="{escape(words["comment"])}"></textarea>'
            f"<button>{escape(words['button'])}</button><p>{escape(words['as'].format(name=name))}</p></form>"
        )
    return _html(language, words["title"], f"{heading}<dl>{rows}</dl>{foot}")


def _refusal() -> HTMLResponse:
    """In both languages: whose link it was is not known."""
    parts = [f"<h1>{words['bad']}</h1><p>{words['advice']}</p>" for words in _WORDS.values()]
    return _html("zh", _WORDS["zh"]["title"], "".join(parts), status=404)


def _html(language: str, title: str, body: str, *, status: int = 200) -> HTMLResponse:
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style>"
    )
    page = f'<!doctype html><html lang="{language}"><head>{head}</head><body><main>{body}</main></body></html>'
    return HTMLResponse(page, status, _HEADERS)
