"""Messages to officers: templates in files, filled with value, limit, required action and a link to acknowledge."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib import resources
from string import Template
from typing import Any, Literal
from zoneinfo import ZoneInfo

from alerts.model import AlertRow
from sensors.registry import Registry

Language = Literal["zh", "en"]
NoticePhase = Literal["raised", "cleared"]


@dataclass(frozen=True, slots=True)
class Message:
    """What one person is sent."""

    title: str
    body: str


def compose(alert: AlertRow, phase: NoticePhase, language: Language, registry: Registry, link: str) -> Message:
    """The message of an alert as it stands; `link` is the address of the web page.

    A raise tells the first value beyond the limit, an end the worst one. Times are the site's.
    """
    site = registry.sites[alert.site_id]
    zone = ZoneInfo(site.time_zone)
    words = _words()
    chinese = language == "zh"
    value = alert.first_value if phase == "raised" else alert.max_value
    measure = ""
    if alert.metric and value is not None and alert.limit_value is not None:
        measure = _template("measure", language).substitute(
            value=_number(value), limit=_number(alert.limit_value), unit=alert.unit
        )
    # A stuck value asks for the instrument, whatever it measures; `state` and `door` mean something else in each kind.
    by_metric = None if alert.rule_kind in ("stuck", "state") else words["action"]["metric"].get(alert.metric)
    action = by_metric or words["action"]["kind"][alert.rule_kind]
    title, _, body = (
        _template(phase, language)
        .substitute(
            severity=words["severity"][alert.severity][language],
            site=site.name if chinese else site.name_en or site.name,
            rule=alert.rule_name if chinese else alert.rule_name_en,
            subject=_subject(alert, registry, chinese=chinese),
            measure=measure,
            time=_time(alert.started_at, zone),
            end=_time(alert.ended_at or alert.cleared_at or alert.started_at, zone),
            action=action[language],
            link=f"{link.rstrip('/')}/alerts/{alert.id}",
        )
        .partition("\n")
    )
    return Message(title=title, body=body.strip())


def _subject(alert: AlertRow, registry: Registry, *, chinese: bool) -> str:
    found = registry.cameras.get(alert.camera_id or 0) or registry.devices.get(alert.device_id or 0)
    if found is None:
        return alert.subject
    return found.name if chinese else found.name_en or found.name


def _number(value: float) -> str:
    return f"{value:.4g}" if abs(value) < 1000 else f"{value:.0f}"


def _time(moment: datetime, zone: ZoneInfo) -> str:
    return f"{moment.astimezone(zone):%Y-%m-%d %H:%M:%S}"


@cache
def _template(name: str, language: Language) -> Template:
    return Template(_file(f"{name}.{language}.txt"))


@cache
def _words() -> dict[str, Any]:
    return tomllib.loads(_file("words.toml"))


def _file(name: str) -> str:
    return resources.files("alerts").joinpath("templates", name).read_text(encoding="utf-8")
