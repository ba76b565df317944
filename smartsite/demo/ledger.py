"""What the database and the sandbox regulator hold of one run of the demo."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx
import psycopg
from psycopg import sql
from psycopg.rows import class_row

from core.clock import from_micros, micros
from core.sql import queries

_SQL = queries("smartsite.demo")
_PAGE = 5000


@dataclass(frozen=True, slots=True)
class Marks:
    """Where the tables and counters stood when the run began; everything behind them belongs to the run."""

    alert: int
    episode: int
    frames: int
    stored: int
    duplicates: int
    quarantined: int
    command: int
    decision: int


@dataclass(frozen=True, slots=True)
class AlertFact:
    """An alert of the run; ``device`` is "{site}/{device}", None for cameras."""

    id: int
    rule: str
    rule_kind: str
    subject: str
    started_at: datetime
    raised_at: datetime
    ended_at: datetime | None
    cleared_at: datetime | None
    verdict: str | None
    site: str
    vision_policy: str
    device: str | None
    episode_id: int | None


@dataclass(frozen=True, slots=True)
class DeliveryFact:
    """A delivery of the outbox."""

    alert_id: int
    target: str
    phase: str
    amendment: int
    idempotency_key: str
    state: str
    accepted_at: datetime | None
    reason: str


@dataclass(frozen=True, slots=True)
class NotificationFact:
    """A message to a person, sent or withheld."""

    alert_id: int
    phase: str
    person_id: int
    channel: str
    state: str
    reason: str
    sent_at: datetime | None
    message: str = ""
    """Those that went out as one message have the same; empty: it went by itself."""


@dataclass(frozen=True, slots=True)
class EpisodeFact:
    """An episode of vision; ``told`` when the alert engine has dealt with it."""

    id: int
    site: str
    told: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandFact:
    """A command of the run; ``device`` is "{site}/{device}"."""

    id: int
    device: str
    name: str
    state: str
    reason: str
    requested_by: str
    requested_at: datetime
    expires_at: datetime
    sent_at: datetime | None
    replied_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionFact:
    """What a linkage decided about a device."""

    id: int
    linkage: str
    device: str
    decision: str
    alert_id: int | None
    command_id: int | None


@dataclass(frozen=True, slots=True)
class Received:
    """A violation that the regulator accepted; ``accepted`` above 1 means that it holds it twice."""

    key: str
    alert: int
    phase: str
    amendment: int
    accepted: int


@dataclass(frozen=True, slots=True)
class Ledger:
    """The whole run as the platform and its neighbours hold it."""

    marks: Marks
    alerts: list[AlertFact]
    deliveries: list[DeliveryFact]
    notifications: list[NotificationFact]
    episodes: list[EpisodeFact]
    received: list[Received]
    inbox: list[tuple[int, str]]
    """(alert, phase) of every message that arrived at the officers' inbox."""
    commands: list[CommandFact]
    decisions: list[DecisionFact]


async def take_marks(connection: psycopg.AsyncConnection) -> Marks:
    """Where everything stands now."""
    async with connection.cursor(row_factory=class_row(Marks)) as cursor:
        await cursor.execute(_SQL["marks"])
        marks = await cursor.fetchone()
    assert marks is not None
    return marks


async def open_violations(connection: psycopg.AsyncConnection) -> frozenset[tuple[str, str]]:
    """(rule, device) of the threshold alerts that are open now."""
    rows = await (await connection.execute(_SQL["open_violations"])).fetchall()
    return frozenset((rule, device) for rule, device in rows)


async def unsettled(connection: psycopg.AsyncConnection, marks: Marks) -> tuple[int, int]:
    """Deliveries and notifications of the run that still wait for something."""
    row = await (await connection.execute(_SQL["unsettled"], {"alert": marks.alert})).fetchone()
    assert row is not None
    return row[0], row[1]


async def read(connection: psycopg.AsyncConnection, regulator: httpx.AsyncClient, marks: Marks) -> Ledger:
    """Everything behind the marks."""
    async with connection.cursor(row_factory=class_row(AlertFact)) as alerts:
        await alerts.execute(_SQL["alerts"], {"alert": marks.alert})
        found_alerts = await alerts.fetchall()
    async with connection.cursor(row_factory=class_row(DeliveryFact)) as deliveries:
        await deliveries.execute(_SQL["deliveries"], {"alert": marks.alert})
        found_deliveries = await deliveries.fetchall()
    async with connection.cursor(row_factory=class_row(NotificationFact)) as notifications:
        await notifications.execute(_SQL["notifications"], {"alert": marks.alert})
        found_notifications = await notifications.fetchall()
    async with connection.cursor(row_factory=class_row(EpisodeFact)) as episodes:
        await episodes.execute(_SQL["episodes"], {"episode": marks.episode})
        found_episodes = await episodes.fetchall()
    async with connection.cursor(row_factory=class_row(CommandFact)) as commands:
        await commands.execute(_SQL["commands"], {"command": marks.command})
        found_commands = await commands.fetchall()
    async with connection.cursor(row_factory=class_row(DecisionFact)) as decisions:
        await decisions.execute(_SQL["decisions"], {"decision": marks.decision})
        found_decisions = await decisions.fetchall()
    ours = {alert.id for alert in found_alerts}
    return Ledger(
        marks=marks,
        alerts=found_alerts,
        deliveries=found_deliveries,
        notifications=found_notifications,
        episodes=found_episodes,
        received=[_received(item) for item in await _all(regulator, "/sandbox/received") if _alert(item) in ours],
        inbox=[(item["alert"], item["phase"]) for item in await _all(regulator, "/inbox") if item["alert"] in ours],
        commands=found_commands,
        decisions=found_decisions,
    )


async def count_rows(connection: psycopg.AsyncConnection) -> int:
    """Rows of all reading tables."""
    count = 0
    for kind in {kind for _, kind in (await _devices(connection)).values()}:
        statement = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(f"reading_{kind}"))
        row = await (await connection.execute(statement)).fetchone()
        assert row is not None
        count += row[0]
    return count


async def device_names(connection: psycopg.AsyncConnection) -> dict[int, str]:
    """Device id -> "{site}/{device}"."""
    return {number: name for name, (number, _) in (await _devices(connection)).items()}


async def stored_rows(connection: psycopg.AsyncConnection, first: int, last: int) -> set[tuple[str, int]]:
    """(device, event time) of every row of the reading tables between two event times (microseconds, inclusive)."""
    present: set[tuple[str, int]] = set()
    devices = await _devices(connection)
    names = {number: name for name, (number, _) in devices.items()}
    for kind in {kind for _, kind in devices.values()}:
        cursor = await connection.execute(
            sql.SQL("SELECT device_id, time FROM {} WHERE time BETWEEN %s AND %s").format(
                sql.Identifier(f"reading_{kind}")
            ),
            [from_micros(first), from_micros(last)],
        )
        async for number, time in cursor:
            present.add((names[number], micros(time)))
    return present


async def _devices(connection: psycopg.AsyncConnection) -> Mapping[str, tuple[int, str]]:
    rows = await (await connection.execute(_SQL["devices"])).fetchall()
    return {name: (number, kind) for name, number, kind in rows}


async def _all(client: httpx.AsyncClient, path: str) -> list[dict[str, Any]]:
    """All items of a paged list of the sandbox."""
    items: list[dict[str, Any]] = []
    after = 0
    while True:
        answer = await client.get(path, params={"after": after, "limit": _PAGE})
        answer.raise_for_status()
        page = answer.json()
        items += page["items"]
        if page["next"] is None:
            return items
        after = page["next"]


def _alert(item: dict[str, Any]) -> int:
    return int(item["violation"]["alert"]["id"])


def _received(item: dict[str, Any]) -> Received:
    violation = item["violation"]
    return Received(item["key"], _alert(item), violation["phase"], violation["amendment"], item["accepted"])
