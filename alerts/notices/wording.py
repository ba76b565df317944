"""Messages to officers: templates in files, filled with value, limit, required action; a link beside the text."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache
from importlib import resources
from string import Template
from typing import Any, Literal
from zoneinfo import ZoneInfo

from alerts.model import SEVERITIES, AlertRow, Severity
from sensors.registry import Registry

Language = Literal["zh", "en"]
NoticePhase = Literal["raised", "severity", "cleared", "escalated"]

_LINES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What one person is sent. `text` is without the link, for channels that show it as a button.

    `words` are the parts of it by name (site, rule, value, limit, ...), for gateways that fill templates of their own.
    """

    title: str
    text: str
    link: str = ""
    label: str = ""
    severity: Severity = "info"
    over: bool = False
    words: dict[str, str] = field(default_factory=dict)

    @property
    def body(self) -> str:
        """The text with the link as its last line."""
        colon = ": " if self.label.isascii() else "："
        return f"{self.text}\n{self.label}{colon}{self.link}" if self.link else self.text


def compose(
    alert: AlertRow, phase: NoticePhase, language: Language, registry: Registry, link: str, *, now: datetime
) -> Message:
    """The message of an alert as it stands; `link` is where it is acknowledged or, at its end, looked at.

    A raise tells the first value beyond the limit, everything later the worst one. Times are the site's.
    """
    filled = facts(alert, language, registry, phase=phase)
    filled["minutes"] = str(int((now - alert.raised_at).total_seconds() // 60))
    title, _, text = _template(phase, language).substitute(filled).partition("\n")
    label = words()["link"]["details" if phase == "cleared" else "acknowledge"][language]
    return Message(
        title=title,
        text=text.strip(),
        link=link,
        label=label,
        severity=alert.severity,
        over=phase == "cleared",
        words=filled | {"link": link},
    )


def digest(told: Sequence[tuple[AlertRow, NoticePhase]], language: Language, registry: Registry, link: str) -> Message:
    """One message about several alerts, one line each, however many steps each of them took."""
    latest: dict[int, tuple[AlertRow, NoticePhase]] = {}
    for alert, phase in told:
        latest[alert.id] = (alert, phase)
    lines, states = [], words()["digest"]
    for alert, phase in list(latest.values())[:_LINES]:
        told_of = facts(alert, language, registry, phase=phase)
        state = "cleared" if not alert.is_open else phase
        line = _template("line", language).substitute(told_of, state=states[state][language] if state in states else "")
        lines.append(" ".join(line.split()))
    beyond = len(latest) - len(lines)
    more = Template(states["more"][language]).substitute(count=beyond) if beyond else ""
    filled = _template("digest", language).substitute(
        count=len(latest), lines="".join(f"{line}\n" for line in lines), more=more
    )
    title, _, text = filled.partition("\n")
    return Message(
        title=title,
        text=text.strip(),
        link=link,
        label=words()["link"]["details"][language],
        severity=max((alert.severity for alert, _ in latest.values()), key=SEVERITIES.index),
        over=all(not alert.is_open for alert, _ in latest.values()),
        words={"title": title, "link": link, "count": str(len(latest))},
    )


def repeated(message: Message, language: Language) -> Message:
    """The message with a line that says that it may have come before."""
    return replace(message, text=f"{message.text}\n{words()['repeated'][language]}")


def facts(alert: AlertRow, language: Language, registry: Registry, *, phase: NoticePhase = "raised") -> dict[str, str]:
    """The words that templates may name."""
    site = registry.sites[alert.site_id]
    zone, said, chinese = ZoneInfo(site.time_zone), words(), language == "zh"
    value = alert.first_value if phase == "raised" else alert.max_value
    measure = value_text = limit_text = ""
    if alert.metric and value is not None and alert.limit_value is not None:
        value_text, limit_text = number(value), number(alert.limit_value)
        measure = _template("measure", language).substitute(value=value_text, limit=limit_text, unit=alert.unit)
    return {
        "severity": said["severity"][alert.severity][language],
        "site": site.name if chinese else site.name_en or site.name,
        "rule": alert.rule_name if chinese else alert.rule_name_en,
        "subject": _subject(alert, registry, chinese=chinese),
        "measure": measure,
        "value": f"{value_text} {alert.unit}".strip() if value_text else "",
        "limit": f"{limit_text} {alert.unit}".strip() if limit_text else "",
        "unit": alert.unit,
        "time": local(alert.started_at, zone),
        "end": local(alert.ended_at or alert.cleared_at or alert.started_at, zone),
        "action": required_action(alert, language),
    }


def required_action(alert: AlertRow, language: Language) -> str:
    """What is to be done about the violation."""
    actions = words()["action"]
    # A stuck value asks for the instrument, whatever it measures; `state` and `door` mean something else in each kind.
    by_metric = None if alert.rule_kind in ("stuck", "state") else actions["metric"].get(alert.metric)
    return str((by_metric or actions["kind"][alert.rule_kind])[language])


def _subject(alert: AlertRow, registry: Registry, *, chinese: bool) -> str:
    found = registry.cameras.get(alert.camera_id or 0) or registry.devices.get(alert.device_id or 0)
    if found is None:
        return alert.subject
    return found.name if chinese else found.name_en or found.name


def number(value: float) -> str:
    """Four digits, without an exponent."""
    return f"{value:.4g}" if abs(value) < 1000 else f"{value:.0f}"


def local(moment: datetime, zone: ZoneInfo) -> str:
    """A moment by the site's clock."""
    return f"{moment.astimezone(zone):%Y-%m-%d %H:%M:%S}"


@cache
def _template(name: str, language: Language) -> Template:
    return Template(_file(f"{name}.{language}.txt"))


@cache
def words() -> dict[str, Any]:
    """The words of alerts/templates/words.toml."""
    return tomllib.loads(_file("words.toml"))


def _file(name: str) -> str:
    return resources.files("alerts").joinpath("templates", name).read_text(encoding="utf-8")
