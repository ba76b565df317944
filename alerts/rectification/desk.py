"""What people do with an order. Every step happens in the caller's transaction: row, history, reminders, messages.

`version` is the one that the person looked at; where somebody was quicker the step is a Conflict and changes nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import psycopg
from psycopg.types.json import Jsonb

from alerts.rectification import reminders, telling
from alerts.rectification.model import IN_HAND, OPEN, Kind, Order, Source, State, load
from core.clock import Clock
from core.errors import Conflict, InvalidInput
from core.settings import Settings
from core.settings.rectification import Level
from core.sql import queries
from sensors.registry import Registry

_SQL = queries(__package__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What an order shall say; `deadline_at` None: by the level."""

    site_id: int
    source: Source
    alert_id: int | None
    level: Level
    title: str
    description: str
    location: str
    requirement: str
    unit_id: int | None
    person_id: int
    deadline_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """Somebody at work on orders."""

    connection: psycopg.AsyncConnection[Any]
    actor: str
    registry: Registry
    settings: Settings
    clock: Clock

    async def order(self, draft: Draft) -> Order:
        """Order a rectification and tell the responsible person.

        Raises:
            InvalidInput: the deadline has passed, or the person or unit has no part in the site.
            Conflict: the alert has its order already.
        """
        now = self.clock.now()
        hours = self.settings.alerts.rectification.deadline_hours.get(draft.level, 72)
        deadline_at = draft.deadline_at or now + timedelta(hours=hours)
        if deadline_at <= now:
            raise InvalidInput("the deadline has passed", hint="choose a later one")
        self._must_belong(draft.site_id, draft.person_id, draft.unit_id)
        if draft.alert_id is not None:
            asked = {"alert_id": draft.alert_id}
            row = await (await self.connection.execute(_SQL["order_of_alert"], asked)).fetchone()
            if row is not None:
                raise Conflict(f"alert {draft.alert_id} has the order {row[1]}", hint="look at that one")
        zone = ZoneInfo(self.registry.sites[draft.site_id].time_zone)
        values = {
            "site_id": draft.site_id,
            "source": draft.source,
            "alert_id": draft.alert_id,
            "level": draft.level,
            "title": draft.title,
            "description": draft.description,
            "location": draft.location,
            "requirement": draft.requirement,
            "unit_id": draft.unit_id,
            "person_id": draft.person_id,
            "deadline_at": deadline_at,
            "now": now,
            "by": self.actor,
            "year": str(now.astimezone(zone).year),
        }
        row = await (await self.connection.execute(_SQL["order_put"], values)).fetchone()
        assert row is not None
        placed = await load(self.connection, row[0])
        await self._note(placed, "ordered", {"deadline_at": deadline_at.isoformat(), "level": draft.level})
        await reminders.prepare(self.connection, placed, self.settings)
        await self._tell(placed, "ordered")
        return placed

    async def show(self, order: Order, pictures: Sequence[str]) -> None:
        """Let a new order show pictures of the hazard, by their SHA-256; they are evidence already."""
        asked = {"id": order.id, "pictures": list(pictures), "now": self.clock.now(), "by": self.actor}
        await self.connection.execute(_SQL["order_pictures"], asked)

    async def start(self, order_id: int, version: int) -> Order:
        """The responsible side has begun."""
        order = await self._take(order_id, version, {"ordered", "returned"})
        return await self._step(order, "started", state="rectifying")

    async def submit(self, order_id: int, version: int, text: str, photos: Sequence[str]) -> Order:
        """Report the hazard as rectified, with photos that were uploaded for this order.

        Raises:
            InvalidInput: a photo is needed, is not this order's, or was shown in an earlier step.
        """
        order = await self._take(order_id, version, IN_HAND)
        if not photos and self.settings.alerts.rectification.photo_required:
            raise InvalidInput("a submission needs a photo", hint="upload one and name it in `photos`")
        now = self.clock.now()
        late = now > order.deadline_at
        detail = {"text": text, "photos": list(photos), "late": late}
        changed = await self._step(
            order,
            "submitted",
            detail,
            photos=photos,
            state="submitted",
            rounds=order.rounds + 1,
            submitted_at=now,
            submitted_by=self.actor,
        )
        await reminders.cancel(self.connection, order.id, "submitted", now=now)
        await self._tell(changed, "submitted")
        return changed

    async def review(
        self,
        order_id: int,
        version: int,
        *,
        passed: bool,
        text: str,
        photos: Sequence[str] = (),
        deadline_at: datetime | None = None,
    ) -> Order:
        """Pass what was submitted, or return it, with a new deadline where the old one has passed.

        Raises:
            Conflict: nothing waits for review, or by the person who submitted it.
            InvalidInput: a return without a reason, or without a deadline that lies ahead.
        """
        order = await self._take(order_id, version, {"submitted"})
        if order.submitted_by == self.actor:
            raise Conflict("nobody reviews what they submitted", hint="another person must review it")
        now = self.clock.now()
        if passed:
            changed = await self._step(order, "passed", {"text": text}, photos=photos, state="passed", closed_at=now)
            await self._tell(changed, "passed")
            return changed
        if not text.strip():
            raise InvalidInput("a return needs a reason", hint="say what is still to be done")
        term = self._term(order, deadline_at, now)
        detail = {"text": text, "deadline_at": term["deadline_at"].isoformat()}
        changed = await self._step(order, "returned", detail, photos=photos, state="returned", **term)
        await reminders.prepare(self.connection, changed, self.settings)
        await self._tell(changed, "returned")
        return changed

    async def set_deadline(self, order_id: int, version: int, deadline_at: datetime, text: str) -> Order:
        """Set another deadline; the time to it runs from now."""
        order = await self._take(order_id, version, IN_HAND)
        now = self.clock.now()
        term = self._term(order, deadline_at, now)
        detail = {"text": text, "before": order.deadline_at.isoformat(), "deadline_at": deadline_at.isoformat()}
        changed = await self._step(order, "deadline", detail, **term)
        await reminders.cancel(self.connection, order.id, "new_deadline", now=now)
        await reminders.prepare(self.connection, changed, self.settings)
        await self._tell(changed, "deadline")
        return changed

    async def reassign(self, order_id: int, version: int, person_id: int, unit_id: int | None, text: str) -> Order:
        """Give the order to another person or unit, who is told of it."""
        order = await self._take(order_id, version, IN_HAND)
        self._must_belong(order.site_id, person_id, unit_id)
        detail = {"text": text, "before": self._code(order.person_id), "person": self._code(person_id)}
        changed = await self._step(order, "reassigned", detail, person_id=person_id, unit_id=unit_id)
        await self._tell(changed, "ordered")
        return changed

    async def comment(self, order_id: int, version: int, text: str, photos: Sequence[str] = ()) -> Order:
        """Add a remark to the history, also of a closed order."""
        order = await self._take(order_id, version, None)
        return await self._step(order, "commented", {"text": text}, photos=photos)

    async def list_(self, order_id: int, version: int, *, listed: bool, text: str) -> Order:
        """Put an order under listed supervision (挂牌督办), or take it off the list."""
        order = await self._take(order_id, version, OPEN)
        if listed == (order.listed_at is not None):
            raise Conflict(f"the order {order.number} is {'already' if listed else 'not'} under listed supervision")
        changed = await self._step(
            order,
            "listed" if listed else "delisted",
            {"text": text},
            listed_at=self.clock.now() if listed else None,
        )
        if listed:
            await self._tell(changed, "listed")
        return changed

    async def stop_work(self, order_id: int, version: int, scope: str, text: str) -> Order:
        """Stop work on the site or a part of it, until it is lifted."""
        order = await self._take(order_id, version, OPEN)
        if order.stop_work_at is not None:
            raise Conflict(f"the order {order.number} stops work already", hint="lift that first")
        changed = await self._step(
            order,
            "stop_work",
            {"text": text, "scope": scope},
            stop_work_at=self.clock.now(),
            stop_work_scope=scope,
        )
        await self._tell(changed, "stop_work")
        return changed

    async def resume_work(self, order_id: int, version: int, text: str) -> Order:
        """Let work go on; possible for closed orders too."""
        order = await self._take(order_id, version, None)
        if order.stop_work_at is None:
            raise Conflict(f"the order {order.number} stops no work")
        changed = await self._step(order, "resumed", {"text": text}, stop_work_at=None, stop_work_scope="")
        await self._tell(changed, "resumed")
        return changed

    async def withdraw(self, order_id: int, version: int, text: str) -> Order:
        """Close an order that should not have been given; a stop of work must be lifted first."""
        order = await self._take(order_id, version, OPEN)
        if order.stop_work_at is not None:
            raise Conflict(f"the order {order.number} stops work", hint="lift that first")
        now = self.clock.now()
        changed = await self._step(order, "withdrawn", {"text": text}, state="withdrawn", closed_at=now)
        await reminders.cancel(self.connection, order.id, "closed", now=now)
        await self._tell(changed, "withdrawn")
        return changed

    async def _take(self, order_id: int, version: int, states: Collection[State] | None) -> Order:
        order = await load(self.connection, order_id, lock=True)
        if order.version != version:
            raise Conflict(
                f"the order {order.number} is at version {order.version}, not {version}", hint="read it again"
            )
        if states is not None and order.state not in states:
            raise Conflict(
                f"the order {order.number} is {order.state}", hint=f"possible when {', '.join(sorted(states))}"
            )
        return order

    async def _step(
        self,
        order: Order,
        kind: Kind,
        detail: dict[str, Any] | None = None,
        *,
        photos: Sequence[str] = (),
        **changes: Any,
    ) -> Order:
        changed = msgspec.structs.replace(order, version=order.version + 1, **changes)
        await self.connection.execute(_SQL["order_step"], msgspec.structs.asdict(changed))
        event = await self._note(changed, kind, detail or {})
        if photos:
            asked = {"id": order.id, "event_id": event, "photos": list(photos)}
            used = {row[0] for row in await (await self.connection.execute(_SQL["photos_use"], asked)).fetchall()}
            if missing := sorted(set(photos) - used):
                raise InvalidInput(
                    f"{missing[0][:12]}... is no photo of this order that is free to be shown",
                    hint="upload it for this order first; a photo shows one step",
                )
        return changed

    async def _note(self, order: Order, kind: Kind, detail: dict[str, Any]) -> int:
        values = {
            "id": order.id,
            "now": self.clock.now(),
            "version": order.version,
            "kind": kind,
            "actor": self.actor,
            "detail": Jsonb(detail),
        }
        row = await (await self.connection.execute(_SQL["event_put"], values)).fetchone()
        assert row is not None
        return int(row[0])

    async def _tell(self, order: Order, phase: telling.OrderPhase) -> None:
        await telling.tell(self.connection, order, phase, registry=self.registry, actor=self.actor, clock=self.clock)

    def _term(self, order: Order, deadline_at: datetime | None, now: datetime) -> dict[str, Any]:
        wanted = deadline_at or order.deadline_at
        if wanted <= now:
            raise InvalidInput("the deadline has passed", hint="give a new one that lies ahead")
        return {"deadline_at": wanted, "term_from": now}

    def _must_belong(self, site_id: int, person_id: int, unit_id: int | None) -> None:
        person = self.registry.people.get(person_id)
        if person is None or not person.may_see(site_id):
            raise InvalidInput("the responsible person has no part in the site", hint="choose somebody of the site")
        if unit_id is not None and not any(
            part.site_id == site_id and part.unit_id == unit_id for part in self.registry.site_units
        ):
            raise InvalidInput("the responsible unit has no part in the site", hint="choose a unit of the site")

    def _code(self, person_id: int) -> str:
        person = self.registry.people.get(person_id)
        return person.code if person is not None else str(person_id)
