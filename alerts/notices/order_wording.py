"""Messages about orders to rectify, in both languages."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from alerts.model import Severity
from alerts.notices.wording import Language, Message, local, words
from alerts.rectification.model import Order
from sensors.registry import Registry

_SEVERITY: dict[str, Severity] = {"minor": "warning", "general": "major", "serious": "critical"}


def compose_order(
    order: Order, phase: str, language: Language, registry: Registry, link: str, *, now: datetime
) -> Message:
    """The message of an order as it stands; times are the site's."""
    site, said = registry.sites[order.site_id], words()["order"]
    zone, chinese = ZoneInfo(site.time_zone), language == "zh"
    person = registry.people.get(order.person_id)
    unit = registry.units.get(order.unit_id or 0)
    left = order.deadline_at - now
    facts: list[tuple[str, Any]] = [
        ("number", order.number),
        ("site", site.name if chinese else site.name_en or site.name),
        ("hazard", order.title),
        ("location", order.location),
        ("level", said["levels"][order.level][language]),
        ("requirement", order.requirement),
        ("unit", "" if unit is None else unit.name if chinese else unit.name_en or unit.name),
        ("person", "" if person is None else person.name if chinese else person.name_en or person.name),
        ("deadline", local(order.deadline_at, zone)),
        ("scope", order.stop_work_scope if phase == "stop_work" else ""),
    ]
    if phase in ("reminder", "overdue"):
        hours = abs(left.total_seconds()) / 3600
        facts.append(("over_by" if left.total_seconds() <= 0 else "left", said["hours"][language].format(hours=hours)))
    colon = "：" if chinese else ": "
    lines = [f"{said['names'][name][language]}{colon}{value}" for name, value in facts if value]
    heading = said["phases"][phase][language]
    title = f"【{heading}】{order.title}" if chinese else f"[{heading}] {order.title}"
    return Message(
        title=title,
        text="\n".join(lines),
        link=link,
        label=words()["link"]["details"][language],
        severity="critical" if phase == "stop_work" else _SEVERITY[order.level],
        over=phase in ("passed", "resumed", "withdrawn"),
        words={"title": title, "link": link, "site": site.name, "rule": order.title, "time": local(now, zone)},
    )
