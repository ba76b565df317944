"""What may go out now: due, red first, within the limits of each address, gathered where that is asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

import psycopg
from psycopg.rows import dict_row

from alerts.hold import LEASE_MARGIN_S, LOCK_SPACE
from alerts.model import SEVERITIES, AlertRow, load_many
from alerts.notices.contacts import by_channel
from alerts.notices.gate import RED, Gate, after_call, endpoint_of, left, ready_at
from alerts.notices.wording import NoticePhase
from alerts.rectification.model import IN_HAND, Order
from alerts.rectification.model import load_many as load_orders
from alerts.reports.model import Report
from alerts.reports.store import load_many as load_reports
from core.clock import Clock
from core.settings import NotifySettings
from core.sql import queries
from sensors.registry import Registry

_SQL = queries(__package__)
_LOOK_AHEAD = 4
_GONE = "gone"
_MOMENT = timedelta(seconds=0.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One row that is due: about an alert, an order to rectify or a report."""

    id: int
    alert_id: int | None
    rectification_id: int | None
    report_id: int | None
    phase: str
    step: int
    person_id: int
    channel: str
    reason: str
    attempts: int
    priority: int
    digest: bool
    in_doubt: bool
    created_at: datetime
    alert: AlertRow | None
    order: Order | None
    report: Report | None

    @property
    def key(self) -> dict[str, Any]:
        """What identifies its person, channel and alert in statements."""
        return {"alert_id": self.alert_id, "person_id": self.person_id, "channel": self.channel}


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """Notices that go out as one message to one person on one channel; more than one makes a digest."""

    endpoint: str
    notices: tuple[Notice, ...]

    @property
    def person_id(self) -> int:
        return self.notices[0].person_id

    @property
    def channel(self) -> str:
        return self.notices[0].channel

    @property
    def attempts(self) -> int:
        return max(notice.attempts for notice in self.notices)

    @property
    def priority(self) -> int:
        return max(notice.priority for notice in self.notices)

    @property
    def in_doubt(self) -> bool:
        """Whether an earlier call for any of it had no answer: the person may have it already."""
        return any(notice.in_doubt for notice in self.notices)

    @property
    def created_at(self) -> datetime:
        return max(notice.created_at for notice in self.notices)

    @property
    def reference(self) -> str:
        """The same however often the message is tried, unless others have joined it."""
        return f"{self.notices[0].id}-{len(self.notices)}"


def phase_of(notice: Notice) -> NoticePhase:
    """The phase of a notice about an alert."""
    return cast("NoticePhase", notice.phase)


class Claims:
    """Takes rows in a transaction of the caller's and leaves leases on them."""

    def __init__(self, settings: NotifySettings, *, holder: int, clock: Clock) -> None:
        self._settings = settings
        self._holder = holder
        self._most = max(settings.in_flight // 2, 1)
        self._clock = clock

    async def take(
        self, connection: psycopg.AsyncConnection[Any], registry: Registry, *, limit: int, under_way: Counter[str]
    ) -> list[Parcel]:
        """At most `limit` messages, and few to one address; what must wait for its address is put off.

        `under_way` are messages that are being sent, by address.
        """
        busy = Counter(under_way)
        parcels: list[Parcel] = []
        while True:
            full = {endpoint for endpoint, count in busy.items() if count >= self._most}
            asked = self._asked() | self._busy(registry, full) | {"limit": limit * _LOOK_AHEAD}
            found = await self._rows(connection, "candidates", asked)
            taken, moved = await self._choose(connection, found, registry, busy, limit=limit - len(parcels))
            parcels += taken
            # Where what was looked at had to wait, something else may be due behind it.
            if not moved or len(parcels) >= limit:
                return parcels

    async def _choose(
        self,
        connection: psycopg.AsyncConnection[Any],
        found: Sequence[Notice],
        registry: Registry,
        busy: Counter[str],
        *,
        limit: int,
    ) -> tuple[list[Parcel], bool]:
        """The messages, counted in `busy`, and whether rows were passed over that will not be seen again at once."""
        now = self._clock.now()
        places = {notice.id: self._endpoint(notice, registry) for notice in found}
        gates = await self._gates(connection, set(places.values()))
        parcels: list[Parcel] = []
        done: set[int] = set()
        waiting: set[tuple[int, str]] = set()
        moved = False
        for notice in found:
            if len(parcels) == limit:
                break
            gate = gates[places[notice.id]]
            if notice.id in done or (notice.priority < RED and (notice.person_id, notice.channel) in waiting):
                continue
            if busy[gate.endpoint] >= self._most and gate.endpoint != _GONE:
                moved = True
                continue
            overtaken = await self._overtaken(connection, notice, now)
            if overtaken is not None:
                if isinstance(overtaken, str):
                    await connection.execute(_SQL["withhold"], {"id": notice.id, "reason": overtaken})
                    await connection.execute(_SQL["withhold_end"], notice.key)
                else:
                    await connection.execute(_SQL["wait"], {"id": notice.id, "until": overtaken})
                moved = True
                continue
            until = ready_at(gate, notice.priority, now=now)
            if until is not None:
                put_off = {"until": until, "priority": notice.priority, "id": notice.id, **notice.key}
                await connection.execute(_SQL["put_off"], put_off)
                waiting.add((notice.person_id, notice.channel))
                moved = True
                continue
            together = (notice, *await self._companions(connection, notice, gate, done, now))
            done |= {one.id for one in together}
            busy[gate.endpoint] += 1
            gates[gate.endpoint] = after_call(gate, now=now)
            parcels.append(Parcel(endpoint=gate.endpoint, notices=tuple(sorted(together, key=lambda one: one.id))))
        await self._lease(connection, parcels, now)
        for endpoint in {parcel.endpoint for parcel in parcels}:
            if gates[endpoint].per_minute is not None:
                calls = {"endpoint": endpoint, "calls": list(gates[endpoint].calls)}
                await connection.execute(_SQL["gate_calls"], calls)
        return parcels, moved

    async def _overtaken(
        self, connection: psycopg.AsyncConnection[Any], notice: Notice, now: datetime
    ) -> str | datetime | None:
        """Why a message is not sent any more, or until when it waits for what comes of another."""
        alert, order = notice.alert, notice.order
        if order is not None:
            return "closed" if notice.phase in ("reminder", "overdue") and order.state not in IN_HAND else None
        if alert is None:
            return None  # a report is told whenever it can be
        if notice.phase == "escalated":
            if alert.acknowledged_at is not None or alert.verdict == "false_alarm":
                return "acknowledged"
            return None if alert.is_open else "over"
        if notice.phase != "raised" or notice.reason != "first_raise" or not alert.cool_down_s:
            return None
        asked = {
            **notice.key,
            "id": notice.id,
            "rule": alert.rule,
            "subject": alert.subject,
            "site_id": alert.site_id,
            "since": now - timedelta(seconds=alert.cool_down_s),
            "severity": SEVERITIES.index(alert.severity),
        }
        row = await (await connection.execute(_SQL["overtaken"], asked)).fetchone()
        assert row is not None
        told: bool = row[0]
        earlier: datetime | None = row[1]
        if told:
            return "cool_down"
        if earlier is not None:
            # Of the same violation told twice, one is on its way: what comes of that decides.
            return max(earlier, now + _MOMENT)
        return None

    async def _companions(
        self,
        connection: psycopg.AsyncConnection[Any],
        notice: Notice,
        gate: Gate,
        done: set[int],
        now: datetime,
    ) -> list[Notice]:
        """What goes out in the same message: a digest's others, or all that the last free call must carry."""
        if notice.alert is None or notice.priority >= RED:
            return []
        if not notice.digest and left(gate, notice.priority, now=now) > 1:
            return []
        asked = self._asked() | notice.key | {"only_digest": notice.digest, "taken": [*done, notice.id]}
        return await self._rows(connection, "companions", asked)

    async def _lease(self, connection: psycopg.AsyncConnection[Any], parcels: Sequence[Parcel], now: datetime) -> None:
        ids = [notice.id for parcel in parcels for notice in parcel.notices]
        if ids:
            until = now + timedelta(seconds=2 * self._settings.timeout_s + LEASE_MARGIN_S)
            await connection.execute(_SQL["lease"], {"ids": ids, "holder": self._holder, "until": until})

    async def _rows(
        self, connection: psycopg.AsyncConnection[Any], statement: str, asked: dict[str, Any]
    ) -> list[Notice]:
        async with connection.cursor(row_factory=dict_row) as cursor:
            await cursor.execute(_SQL[statement], asked)
            rows = await cursor.fetchall()
        alert_ids = [row["alert_id"] for row in rows if row["alert_id"] is not None]
        order_ids = [row["rectification_id"] for row in rows if row["rectification_id"] is not None]
        alerts = await load_many(connection, alert_ids) if alert_ids else {}
        orders = await load_orders(connection, order_ids) if order_ids else {}
        report_ids = [row["report_id"] for row in rows if row["report_id"] is not None]
        reports = {one.id: one for one in await load_reports(connection, report_ids)} if report_ids else {}
        return [
            Notice(
                alert=alerts.get(row["alert_id"]),
                order=orders.get(row["rectification_id"]),
                report=reports.get(row["report_id"]),
                **row,
            )
            for row in rows
        ]

    async def _gates(self, connection: psycopg.AsyncConnection[Any], endpoints: set[str]) -> dict[str, Gate]:
        if not endpoints:
            return {}
        gates: dict[str, Gate] = {}
        asked = {"endpoints": sorted(endpoints)}
        while endpoints - gates.keys():
            rows = await (await connection.execute(_SQL["gates"], asked)).fetchall()
            for endpoint, calls, failures, paused_until in rows:
                gates[endpoint] = Gate(
                    endpoint=endpoint,
                    per_minute=self._per_minute(endpoint.partition(":")[0]),
                    calls=tuple(calls),
                    failures=failures,
                    paused_until=paused_until,
                )
            if endpoints - gates.keys():
                await connection.execute(_SQL["gates_put"], asked)
        return gates

    def _per_minute(self, scheme: str) -> float | None:
        if scheme == "sms":
            return self._settings.sms.per_minute if self._settings.sms is not None else None
        return self._settings.per_minute.get(scheme)

    def _endpoint(self, notice: Notice, registry: Registry) -> str:
        person = registry.people.get(notice.person_id)
        contact = by_channel(person.contacts).get(notice.channel) if person is not None else None
        return endpoint_of(contact) if contact is not None else _GONE

    def _busy(self, registry: Registry, full: Collection[str]) -> dict[str, Any]:
        """The people and channels behind addresses that have enough under way."""
        pairs = [
            (person.id, channel)
            for person in (registry.people.values() if full else ())
            for channel, contact in by_channel(person.contacts).items()
            if endpoint_of(contact) in full
        ]
        return {"busy_people": [person for person, _ in pairs], "busy_channels": [channel for _, channel in pairs]}

    def _asked(self) -> dict[str, Any]:
        return {"now": self._clock.now(), "space": LOCK_SPACE}
