"""Linkages at work: looks at open alerts and devices, writes commands and decisions in the caller's transaction.

Nothing depends on having seen a transition: what is open in the database asks, so that a restart changes nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from alerts.linkage.decide import Decision, Demand, Held, Override, Seen, Why, decide
from alerts.linkage.model import Linkage
from core.clock import micros
from core.sql import queries
from sensors import commands
from sensors.batch import ReadingBatch
from sensors.commands import Requested
from sensors.profiles import Profile
from sensors.registry import Device, Registry

logger = logging.getLogger(__name__)

_REPLY_WITHIN = timedelta(minutes=1)  # of a linkage that is gone
_SQL = queries(__package__)


class _Shown(NamedTuple):
    """What a device's newest reading says: microseconds of its own time and of its arrival, on or off (None: neither),
    mode manual."""

    time: int
    arrived: int
    is_on: bool | None
    manual: bool


class Linker:
    """Holds the linkages; the devices' newest readings come in by `feed`, all else is in the database."""

    def __init__(self, linkages: Sequence[Linkage], profiles: Mapping[str, Profile]) -> None:
        self._linkages = {linkage.id: linkage for linkage in linkages}
        kinds = {linkage.device_kind for linkage in linkages}
        self._profiles = {kind: profiles[kind] for kind in kinds}
        self._shown: dict[int, _Shown] = {}
        self._idle = False  # nothing is linked and nothing is held from before

    def feed(self, batch: ReadingBatch) -> None:
        """Learn from readings of switched devices whether somebody has switched them by hand."""
        profile = self._profiles.get(batch.kind)
        if profile is None:
            return
        state, mode = _symbols(profile, batch, "state"), _symbols(profile, batch, "mode")
        for place, (device, time) in enumerate(zip(batch.device.tolist(), batch.time.tolist(), strict=True)):
            # What was sent again after a reconnection says nothing of now.
            if device in self._shown and time < self._shown[device].time:
                continue
            is_on = {"on": True, "off": False}.get(state[place])
            self._shown[device] = _Shown(time, batch.arrived, is_on, mode[place] == "manual")

    async def step(self, connection: psycopg.AsyncConnection[Any], registry: Registry, now: datetime) -> None:
        """Decide about every device that is switched, or was."""
        if self._idle:
            return
        held = await _held(connection)
        if not self._linkages and not any(one.is_on for one in held.values()):
            self._idle = True
            return
        demands = await self._demands(connection, registry)
        concerned = {number for number in held.keys() | demands.keys() if number in registry.devices}
        hands = await _hands(connection, concerned)
        overrides = await _overrides(connection, concerned)
        outcomes = await _outcomes(connection, [one.command_id for one in held.values() if one.command_id is not None])
        for number in sorted(concerned):
            before = held.get(number)
            asking = demands.get(number, [])
            owner = self._linkages.get(before.linkage) if before else asking[0].linkage if asking else None
            seen = self._seen(registry.devices[number], before, owner, hands.get(number), outcomes, now)
            seen = replace(seen, override=overrides.get(number))
            after, decision = decide(before, owner, asking, seen, now)
            if decision is not None and after is not None:
                after = await _carry_out(connection, number, after, decision, self._linkages, now)
            if after is not None and after != before:
                await connection.execute(_SQL["linkage_hold"], {"device_id": number, **asdict(after)})

    async def _demands(self, connection: psycopg.AsyncConnection[Any], registry: Registry) -> dict[int, list[Demand]]:
        """What asks for each device, in the order of the linkages; one demand a linkage."""
        rows = await (await connection.execute(_SQL["linkage_alerts"])).fetchall()
        found: dict[int, list[Demand]] = {}
        for linkage in self._linkages.values():
            sites: dict[int, int] = {}
            for alert, rule, number in rows:
                device = registry.devices.get(number)
                if device is not None and linkage.heeds(rule, device):
                    sites.setdefault(device.site_id, alert)
            if not sites:
                continue
            for device in registry.devices.values():
                if device.site_id in sites and linkage.switches(device):
                    found.setdefault(device.id, []).append(Demand(linkage, sites[device.site_id]))
        return found

    def _seen(
        self,
        device: Device,
        held: Held | None,
        owner: Linkage | None,
        hand: dict[str, Any] | None,
        outcomes: Mapping[int, tuple[str, datetime | None]],
        now: datetime,
    ) -> Seen:
        state, replied_at = outcomes.get(held.command_id or 0, ("", None)) if held else ("", None)
        seen = Seen(outcome="done" if state == "done" else "failed" if state in ("failed", "expired") else "")
        if hand is not None:
            seen = replace(seen, newest_command=hand["id"])
            recent = owner is not None and now - hand["requested_at"] < owner.pause
            if recent and hand["id"] > (held.seen_command if held else 0):
                is_on = None if owner is None else {owner.on: True, owner.off: False}.get(hand["name"])
                facts = {"by": hand["requested_by"], "command": hand["name"]}
                why = Why("command_by_hand", f"{hand['requested_by']} gave {hand['name']}", facts)
                return replace(seen, manual=why, manual_on=is_on)
        shown = self._shown.get(device.id)
        if shown is None:
            return seen
        if shown.manual:
            why = Why("device_manual", "the device is switched by hand")
            return replace(seen, manual=why, manual_on=shown.is_on)
        # A batch has one time of arrival, its latest: by that alone a reading from before the reply may seem later.
        settled = replied_at is not None and state == "done" and min(shown.arrived, shown.time) > micros(replied_at)
        if held is not None and settled and shown.is_on is not None and shown.is_on != held.is_on:
            why = Why("device_switched", "somebody switched the device")
            return replace(seen, manual=why, manual_on=shown.is_on)
        return seen


def _symbols(profile: Profile, batch: ReadingBatch, name: str) -> list[str]:
    """The symbol of an enum channel in each row; empty where there is none."""
    channel, column = profile.channel(name), batch.values.get(name)
    if channel is None or column is None:
        return [""] * len(batch)
    names = [symbol.name for symbol in channel.symbols]
    return [names[int(value)] if 0 <= value < len(names) else "" for value in column.tolist()]


async def _held(connection: psycopg.AsyncConnection[Any]) -> dict[int, Held]:
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_SQL["linkage_held"])
        return {row.pop("device_id"): Held(**row) for row in await cursor.fetchall()}


async def _hands(connection: psycopg.AsyncConnection[Any], devices: Collection[int]) -> dict[int, dict[str, Any]]:
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_SQL["linkage_hands"], {"devices": list(devices)})
        return {row["device_id"]: row for row in await cursor.fetchall()}


async def _overrides(connection: psycopg.AsyncConnection[Any], devices: Collection[int]) -> dict[int, Override]:
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_SQL["linkage_overrides"], {"devices": list(devices)})
        return {row.pop("device_id"): Override(**row) for row in await cursor.fetchall()}


async def _outcomes(
    connection: psycopg.AsyncConnection[Any], ids: Sequence[int]
) -> dict[int, tuple[str, datetime | None]]:
    rows = await (await connection.execute(_SQL["linkage_outcomes"], {"ids": list(ids)})).fetchall()
    return {number: (state, replied_at) for number, state, replied_at in rows}


async def _carry_out(
    connection: psycopg.AsyncConnection[Any],
    device: int,
    held: Held,
    decision: Decision,
    linkages: Mapping[str, Linkage],
    now: datetime,
) -> Held:
    """Write the decision, and its command where it has one."""
    number = None
    if decision.command:
        linkage = linkages.get(decision.linkage)
        wanted = Requested(
            device=device,
            name=decision.command,
            by=f"linkage:{decision.linkage}",
            cause=decision.why.text,
            expires_at=now + (linkage.reply_within if linkage is not None else _REPLY_WITHIN),
        )
        number = await commands.request(connection, wanted, now=now)
        held = replace(held, command_id=number)
    await connection.execute(
        _SQL["linkage_note"],
        {
            "at": now,
            "linkage": decision.linkage,
            "device_id": device,
            "decision": decision.what,
            "reason": decision.why.text,
            "code": decision.why.code,
            "facts": Jsonb(dict(decision.why.facts)),
            "alert_id": decision.alert,
            "command_id": number,
        },
    )
    logger.info("linkage", extra={"linkage": decision.linkage, "device": device, "decision": decision.what})
    return held
