"""The alert as every part of the room sees it: one frozen row, and how it is read.

An alert is a violation episode of one rule on one subject. `acknowledged` and `cleared` are independent facts: an
alert may be cleared and not acknowledged, or the other way round.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, get_args

import msgspec
import psycopg
from psycopg.rows import dict_row

from core.errors import NotFound
from core.sql import queries

RuleKind = Literal["threshold", "state", "window", "day_count", "n_of_m", "composite", "offline", "stuck", "vision"]
Severity = Literal["info", "warning", "major", "critical"]
Verdict = Literal["confirmed", "false_alarm"]

SEVERITIES: tuple[Severity, ...] = get_args(Severity)
"""From the slightest to the worst."""

_SQL = queries("alerts")


class AlertRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `alert` with the parts of its rule's version that delivery and notification need.

    Times are UTC aware. `started_at` and `ended_at` are event time (of the readings or frames), all other times are
    wall clock. Values and limit are in `unit`. `quality` holds what the verdict rests on, such as `samples`,
    `expected` and `share` of a window. `targets` are the regulator targets the rule names, `cool_down_s` the seconds
    in which a person told about this (rule, subject) is not told again. `exempt`: what its site was exempt by, a permit
    or a stage; regulators and people are told nothing of such an alert. `severity_by`: the
    person who set the severity, None where the rule did; `peak_severity` is the worst that it ever was.
    `assigned_to`: the person who deals with it.
    """

    id: int
    rule: str
    rule_version: int
    rule_kind: RuleKind
    rule_name: str
    rule_name_en: str
    targets: tuple[str, ...]
    cool_down_s: float
    subject: str
    site_id: int
    device_id: int | None
    camera_id: int | None
    metric: str
    unit: str
    severity: Severity
    started_at: datetime
    raised_at: datetime
    ended_at: datetime | None
    cleared_at: datetime | None
    cleared_by: str | None
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    verdict: Verdict | None
    reviewed_at: datetime | None
    reviewed_by: str | None
    first_value: float | None
    last_value: float | None
    max_value: float | None
    limit_value: float | None
    quality: dict[str, Any]
    episode_id: int | None
    frame_sha256: str | None
    crop_sha256: str | None
    exempt: dict[str, Any] | None
    peak_severity: Severity
    severity_by: str | None
    assigned_to: int | None
    assigned_at: datetime | None

    @property
    def is_open(self) -> bool:
        """Whether the violation still goes on as far as the platform knows."""
        return self.cleared_at is None


def device_subject(device_id: int) -> str:
    """The subject of an alert about a device."""
    return f"device:{device_id}"


def camera_subject(camera_id: int) -> str:
    """The subject of an alert about a camera."""
    return f"camera:{camera_id}"


def _row(values: Mapping[str, Any]) -> AlertRow:
    return AlertRow(**{**values, "targets": tuple(values["targets"])})


async def load(connection: psycopg.AsyncConnection[Any], alert_id: int, *, lock: bool = False) -> AlertRow:
    """One alert; with `lock` its row is locked until the caller's transaction ends.

    Raises:
        NotFound: there is no such alert.
    """
    async with connection.cursor(row_factory=dict_row) as cursor:
        if lock:
            await cursor.execute(_SQL["alert_lock"], {"alert_id": alert_id})
        await cursor.execute(_SQL["alert_by_id"], {"alert_id": alert_id})
        values = await cursor.fetchone()
    if values is None:
        raise NotFound(f"there is no alert {alert_id}")
    return _row(values)


async def load_many(connection: psycopg.AsyncConnection[Any], alert_ids: Sequence[int]) -> dict[int, AlertRow]:
    """The alerts of these ids that exist, by id."""
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_SQL["alerts_by_id"], {"alert_ids": list(alert_ids)})
        return {values["id"]: _row(values) for values in await cursor.fetchall()}


async def load_open(connection: psycopg.AsyncConnection[Any]) -> list[AlertRow]:
    """All open alerts, oldest first."""
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_SQL["alerts_open"])
        return [_row(values) for values in await cursor.fetchall()]
