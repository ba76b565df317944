"""A report as tables in one language: what both its files and its message are written from."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from alerts.notices.wording import Language
from alerts.notices.wording import words as notice_words
from alerts.reports.model import Figures, Report
from sensors.profiles import Profile
from sensors.registry import Registry

Cell = str | int | float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A part of a report; cells are texts, counts, minutes (float) or, below `shares`, shares of 0 to 1."""

    title: str
    columns: list[str]
    rows: list[list[Cell]]
    shares: frozenset[int] = frozenset()


def heading(report: Report, language: Language, registry: Registry) -> str:
    """What the report is of, and when."""
    said, chinese = words(), language == "zh"
    site = registry.sites[report.site_id] if report.site_id is not None else None
    of = said["bureau"][language] if site is None else site.name if chinese else site.name_en or site.name
    days = f"{report.first_day}" if report.kind == "daily" else f"{report.first_day} – {report.last_day}"
    kind = said["kinds"][report.kind][language]
    return f"{of}{kind} {days}" if chinese else f"{kind}: {of}, {days}"


def summary(figures: Figures, language: Language) -> list[tuple[str, str]]:
    """The figures that a message tells: (what, how much)."""
    columns = words()["columns"]
    found = [
        ("raised", str(figures.raised)),
        ("critical", str(figures.critical)),
        ("open_at_end", str(figures.open_at_end)),
        ("minutes", f"{figures.minutes:.0f}"),
        ("delivered", percent(figures.delivered)),
        ("open_orders", str(figures.orders.open)),
        ("overdue_orders", str(figures.orders.overdue)),
        ("available", percent(figures.available)),
        ("cameras_online", percent(figures.cameras_online)),
    ]
    return [(columns[name][language], value) for name, value in found]


def tables(report: Report, language: Language, profiles: Mapping[str, Profile]) -> list[Table]:
    """Every part of the report that says anything, the summary first; `profiles` name kinds and metrics."""
    figures, said = report.figures, words()
    english = language == "en"
    metrics = {
        channel.name: channel.label_en if english else channel.label
        for profile in profiles.values()
        for channel in profile.channels
    }
    device_kinds = {kind: profile.name_en if english else profile.name for kind, profile in profiles.items()}
    kinds, severities = said["rules"], notice_words()["severity"]
    parts = [
        _table("summary", ("item", "value"), [list(pair) for pair in summary(figures, language)], language),
        _table(
            "alerts",
            ("kind", "severity", "raised", "false_alarms"),
            [
                [kinds[one.kind][language], severities[one.severity][language], one.count, one.false_alarms]
                for one in figures.alerts
            ],
            language,
        ),
        _table(
            "exceedances",
            ("metric", "unit", "minutes", "devices"),
            [[metrics.get(one.metric, one.metric), one.unit, one.minutes, one.devices] for one in figures.exceedances],
            language,
        ),
        _table(
            "deliveries",
            ("target", "total", "accepted", "rejected", "stopped", "waiting"),
            [
                [one.target, one.total, one.accepted, one.rejected, one.stopped, one.waiting]
                for one in figures.deliveries
            ],
            language,
        ),
        _table(
            "orders",
            ("ordered", "passed", "open_orders", "overdue_orders"),
            [[figures.orders.ordered, figures.orders.passed, figures.orders.open, figures.orders.overdue]],
            language,
        ),
        _table(
            "devices",
            ("code", "name", "kind", "available"),
            [
                [one.device, _name(one, language), device_kinds.get(one.kind, one.kind), one.share]
                for one in figures.devices
            ],
            language,
            shares=(3,),
        ),
        _table(
            "cameras",
            ("code", "name", "cameras_online"),
            [[one.camera, _name(one, language), one.share] for one in figures.cameras],
            language,
            shares=(2,),
        ),
        _table(
            "sites",
            (
                "code",
                "name",
                "raised",
                "critical",
                "minutes",
                "delivered",
                "open_orders",
                "overdue_orders",
                "available",
                "cameras_online",
            ),
            [
                [
                    *(one.site, _name(one, language), one.alerts, one.critical, one.minutes, one.delivered),
                    *(one.open_orders, one.overdue_orders, one.available, one.cameras_online),
                ]
                for one in figures.sites
            ],
            language,
            shares=(5, 8, 9),
        ),
    ]
    return [part for part in parts if part.rows]


def percent(share: float | None) -> str:
    """A share as people write it; a dash where there is nothing to take one of."""
    # Rounded down: 99.96 % is not all.
    return "–" if share is None else f"{int(share * 1000) / 10:g} %"


def _table(
    part: str, columns: Sequence[str], rows: list[list[Cell]], language: Language, *, shares: Sequence[int] = ()
) -> Table:
    said = words()
    return Table(
        title=said["sections"][part][language],
        columns=[said["columns"][name][language] for name in columns],
        rows=rows,
        shares=frozenset(shares),
    )


def _name(one: Any, language: Language) -> str:
    return str(one.name_en if language == "en" and one.name_en else one.name)


@cache
def words() -> dict[str, Any]:
    """The words of alerts/templates/reports.toml."""
    text = resources.files("alerts").joinpath("templates", "reports.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)
