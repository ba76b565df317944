"""The live push over a real WebSocket: hello, batches of what changed, scope, ends of sessions, slow clients."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from alerts import desk
from api.live import Client, Hub, _serve
from api.metrics import LIVE_DROPPED
from api.newest import Readings
from core import log
from core.clock import SystemClock, micros
from core.log import Kind, NewEntry
from core.settings import Settings
from sensors.batch import ReadingBatch, encode
from sensors.entries import AlertEntry
from sensors.entries import encode as encode_entry
from tests.api.conftest import CookieOf
from tests.api.world import World
from tests.support.clock import FakeClock


@contextlib.asynccontextmanager
async def listening(server: str, headers: dict[str, str]) -> AsyncIterator[ClientConnection]:
    async with connect(f"ws://{server}/api/v1/live", additional_headers=headers, proxy=None) as channel:
        yield channel


async def message(channel: ClientConnection, kind: str = "batch", part: str = "") -> dict[str, Any]:
    """The next message of the kind that has something in `part`."""
    async with asyncio.timeout(15):
        while True:
            found = json.loads(await channel.recv())
            if found["type"] == kind and (not part or found[part]):
                return dict(found)


def batch(world: World, *devices: str, pm10: float = 42.5, at: int | None = None) -> NewEntry:
    rows = len(devices)
    site = world.ids["north" if "north" in devices[0] else "south"]
    moment = at or micros(world.now)
    readings = ReadingBatch(
        kind="dust",
        device=np.array([world.ids[device] for device in devices], np.int32),
        site=np.full(rows, site, np.int32),
        time=np.full(rows, moment, np.int64),
        values={"pm10": np.full(rows, pm10), "laeq": np.full(rows, np.nan)},
        quality={"pm10": np.full(rows, ord("N"), np.uint8), "laeq": np.zeros(rows, np.uint8)},
        flags=np.zeros(rows, np.uint8),
        arrived=moment,
    )
    return NewEntry(log.shard_of(site), Kind.READINGS, encode([readings]))


async def test_hello_brings_the_state_of_ones_own_sites(server: str, cookie_of: CookieOf, current_world: World) -> None:
    async with listening(server, await cookie_of("officer")) as channel:
        hello = await message(channel, "hello")
    assert abs(hello["time"] - current_world.now.timestamp() * 1000) < 60_000
    (site,) = hello["sites"]
    assert (site["id"], site["state"], site["reason"]["code"]) == (current_world.ids["north"], "grey", "no_data")
    assert {device["id"] for device in hello["devices"]} == {
        current_world.ids[f"{kind}-north"] for kind in ("dust", "crane")
    }
    assert [camera["state"] for camera in hello["cameras"]] == ["unknown"]


async def test_readings_arrive_and_only_ones_own(server: str, cookie_of: CookieOf, current_world: World) -> None:
    world = current_world
    async with (
        listening(server, await cookie_of("officer")) as officer,
        listening(server, await cookie_of("operator")) as operator,
    ):
        await message(officer, "hello")
        await message(operator, "hello")
        async with world.connection.transaction():
            await log.append(world.connection, "ingest-1", [batch(world, "dust-south"), batch(world, "dust-north")])
        seen: dict[int, Any] = {}
        while len(seen) < 2:
            seen |= {one["device_id"]: one for one in (await message(operator, part="readings"))["readings"]}
        assert set(seen) == {world.ids["dust-north"], world.ids["dust-south"]}
        (own,) = (await message(officer, part="readings"))["readings"]
        assert own == {
            "device_id": world.ids["dust-north"],
            "site_id": world.ids["north"],
            "time": micros(world.now) // 1000,
            "values": {"pm10": {"value": 42.5, "quality": "N"}},
        }
        # Nothing of the other site follows.
        async with world.connection.transaction():
            await log.append(world.connection, "ingest-1", [batch(world, "dust-south"), batch(world, "dust-north")])
        assert {one["device_id"] for one in (await message(officer))["readings"]} == {world.ids["dust-north"]}


async def test_an_alert_shows_at_once_and_turns_its_site_red(
    server: str, cookie_of: CookieOf, current_world: World
) -> None:
    world = current_world
    async with listening(server, await cookie_of("officer")) as channel:
        await message(channel, "hello")
        async with world.connection.transaction():
            number = await world.alert("a", device="dust-north")
            entry = AlertEntry(alert=number, site=world.ids["north"], event="raised", at=micros(world.now))
            shard = log.shard_of(world.ids["north"])
            await log.append(world.connection, "alerts-engine", [NewEntry(shard, Kind.ALERT, encode_entry(entry))])
        raised = await message(channel, part="alerts")
        assert [alert["id"] for alert in raised["alerts"]] == [number]
        assert [site["state"] for site in raised["sites"]] == ["red"]
        async with world.connection.transaction():
            await desk.acknowledge(world.connection, number, "code-officer", SystemClock())
        acknowledged = await message(channel, part="alerts")
        assert acknowledged["alerts"][0]["acknowledged_by"] == "code-officer"


async def test_states_that_change_without_a_word_are_noticed(
    server: str, cookie_of: CookieOf, current_world: World
) -> None:
    async with listening(server, await cookie_of("officer")) as channel:
        await message(channel, "hello")
        await current_world.camera_state("cam-north", "unreachable", reason="timeout")
        told = await message(channel, part="cameras")
        assert [(camera["state"], camera["reason"]) for camera in told["cameras"]] == [("unreachable", "timeout")]
        assert told["sites"][0]["state"] == "yellow"
        assert "devices" in told
        assert told["devices"] == []


async def test_nobody_gets_in_without_a_session(server: str, current_world: World) -> None:
    async with listening(server, {}) as channel:
        with pytest.raises(ConnectionClosed):
            await channel.recv()
    assert (channel.close_code, channel.close_reason) == (1008, "unauthenticated")


async def test_a_foreign_page_cannot_listen(server: str, cookie_of: CookieOf) -> None:
    headers = await cookie_of("officer")
    async with connect(
        f"ws://{server}/api/v1/live", additional_headers=headers, origin="https://evil.example", proxy=None
    ) as channel:
        with pytest.raises(ConnectionClosed):
            await channel.recv()
    assert (channel.close_code, channel.close_reason) == (4403, "forbidden")


async def test_log_out_closes_the_live_connection(server: str, cookie_of: CookieOf) -> None:
    headers = await cookie_of("officer")
    async with listening(server, headers) as channel, httpx.AsyncClient(trust_env=False) as client:
        await message(channel, "hello")
        assert (await client.delete(f"http://{server}/api/v1/session", headers=headers)).status_code == 204
        with pytest.raises(ConnectionClosed):
            while True:
                await channel.recv()
    assert (channel.close_code, channel.close_reason) == (1008, "unauthenticated")


@pytest.mark.parametrize(
    ("change", "code", "reason"),
    [
        ("UPDATE session SET expires_at = now()", 1008, "unauthenticated"),
        ("UPDATE person SET enabled = false", 1008, "unauthenticated"),
        ("DELETE FROM person_site", 4409, "rights_changed"),
        ("UPDATE person SET all_sites = true", 4409, "rights_changed"),
    ],
)
async def test_a_connection_does_not_outlive_its_rights(
    server: str,
    cookie_of: CookieOf,
    current_world: World,
    monkeypatch: pytest.MonkeyPatch,
    change: str,
    code: int,
    reason: str,
) -> None:
    monkeypatch.setattr("api.sockets._RECHECK_S", 0.05)
    async with listening(server, await cookie_of("officer")) as channel:
        await message(channel, "hello")
        await current_world.connection.execute(change.encode())
        with pytest.raises(ConnectionClosed):
            while True:
                await asyncio.wait_for(channel.recv(), 10)
    assert (channel.close_code, channel.close_reason) == (code, reason)


async def test_the_push_survives_the_loss_of_its_database_sessions(
    server: str, cookie_of: CookieOf, current_world: World
) -> None:
    world = current_world
    async with listening(server, await cookie_of("officer")) as channel:
        await message(channel, "hello")
        await world.connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name LIKE 'smartsite %%' AND pid <> pg_backend_pid() AND datname = current_database()"
        )
        async with world.connection.transaction():
            await log.append(world.connection, "ingest-1", [batch(world, "dust-north")])
        assert (await message(channel, part="readings"))["readings"][0]["device_id"] == world.ids["dust-north"]


def hub_of(settings: Settings) -> Hub:
    return Hub(settings.database, clock=SystemClock())


async def told(hub: Hub, client: Client) -> dict[str, Any]:
    return dict(json.loads(await asyncio.wait_for(hub.next_message(client), 15)))


async def publish(world: World, *entries: NewEntry) -> None:
    async with world.connection.transaction():
        await log.append(world.connection, "ingest-1", list(entries))


EVERYWHERE: Any = SimpleNamespace(all_sites=True, sites=())


async def test_who_comes_back_gets_what_was_missed_and_no_more(settings: Settings, world: World) -> None:
    hub = hub_of(settings)
    first = hub.join(EVERYWHERE)
    await hub._turn(world.connection)
    hello = await told(hub, first)
    assert (hello["type"], hello["resumed"]) == ("hello", False)
    now = micros(world.now)
    await publish(world, batch(world, "dust-north", "dust-south", pm10=1, at=now))
    await hub._turn(world.connection)
    seen = await told(hub, first)
    hub.leave(first)
    # Nobody looks meanwhile; it is kept all the same.
    for n in (1, 2, 3):
        await publish(world, batch(world, "dust-north", pm10=10 * n, at=now + n * 1_000_000))
        await hub._turn(world.connection)
    back = hub.join(EVERYWHERE, seen["cursor"])
    hello = await told(hub, back)
    assert (hello["type"], hello["resumed"]) == ("hello", True)
    missed = await told(hub, back)
    assert [(one["device_id"], one["values"]["pm10"]["value"]) for one in missed["readings"]] == [
        (world.ids["dust-north"], 30)
    ]
    assert missed["alerts"] == []


async def test_what_is_pushed_after_the_sessions_cursor_leaves_nothing_out(settings: Settings, world: World) -> None:
    hub = hub_of(settings)
    hub.leave(hub.join(EVERYWHERE))
    await hub._turn(world.connection)
    cursor = hub.cursor(EVERYWHERE)
    await publish(world, batch(world, "dust-north", pm10=5))
    await hub._turn(world.connection)
    client = hub.join(EVERYWHERE, cursor)
    await hub._turn(world.connection)
    assert (await told(hub, client))["resumed"] is True
    assert [one["values"]["pm10"]["value"] for one in (await told(hub, client))["readings"]] == [5]


@pytest.mark.parametrize(
    "cursor", ["", "x", "00000000.1.00000000", "{epoch}.999.{tag}", "{epoch}.1.00000000", "{epoch}.-1.{tag}"]
)
async def test_a_cursor_that_means_nothing_here_is_read_anew(settings: Settings, world: World, cursor: str) -> None:
    hub = hub_of(settings)
    first = hub.join(EVERYWHERE)
    await hub._turn(world.connection)
    epoch, _, tag = (await told(hub, first))["cursor"].split(".")
    again = hub.join(EVERYWHERE, cursor.format(epoch=epoch, tag=tag))
    hello = await told(hub, again)
    assert hello["resumed"] is False


async def test_a_cursor_holds_for_the_sites_that_it_was_given_for(settings: Settings, world: World) -> None:
    hub = hub_of(settings)
    north: Any = SimpleNamespace(all_sites=False, sites=(world.ids["north"],))
    both: Any = SimpleNamespace(all_sites=False, sites=(world.ids["north"], world.ids["south"]))
    first = hub.join(north)
    await hub._turn(world.connection)
    cursor = (await told(hub, first))["cursor"]
    assert (await told(hub, hub.join(north, cursor)))["resumed"] is True
    assert (await told(hub, hub.join(both, cursor)))["resumed"] is False


async def test_what_the_log_dropped_unread_makes_everybody_read_anew(settings: Settings, world: World) -> None:
    hub = hub_of(settings)
    client = hub.join(EVERYWHERE)
    await publish(world, batch(world, "dust-north"))
    await hub._turn(world.connection)
    cursor = (await told(hub, client))["cursor"]
    await publish(world, batch(world, "dust-north", at=micros(world.now) + 1))
    await world.connection.execute("DELETE FROM log_entry")
    await publish(world, batch(world, "dust-north", at=micros(world.now) + 2, pm10=7))
    await hub._turn(world.connection)
    hello = await told(hub, client)
    assert (hello["type"], hello["resumed"]) == ("hello", False)
    assert (await told(hub, hub.join(EVERYWHERE, cursor)))["resumed"] is False
    await publish(world, batch(world, "dust-north", at=micros(world.now) + 3, pm10=8))
    await hub._turn(world.connection)
    assert (await told(hub, client))["readings"][0]["values"]["pm10"]["value"] == 8


async def test_after_a_long_time_without_anybody_nothing_is_kept(settings: Settings, world: World) -> None:
    clock = FakeClock(world.now)
    hub = Hub(settings.database, clock=clock)
    client = hub.join(EVERYWHERE)
    await hub._turn(world.connection)
    cursor = (await told(hub, client))["cursor"]
    hub.leave(client)
    await clock.advance(121)
    await hub._turn(world.connection)
    back = hub.join(EVERYWHERE, cursor)
    await hub._turn(world.connection)
    assert (await told(hub, back))["resumed"] is False


def narrow(server: str) -> socket.socket:
    """A connection whose end here takes little in."""
    channel = socket.socket()
    channel.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    host, _, port = server.rpartition(":")
    channel.connect((host, int(port)))
    channel.setblocking(False)
    return channel


def crowd(world: World, value: float) -> NewEntry:
    """Readings of so many devices that a few batches of them fill every buffer on the way."""
    site, rows, now = world.ids["north"], 3000, micros(world.now) + round(value * 1e6)
    readings = ReadingBatch(
        kind="dust",
        device=np.arange(1_000_000, 1_000_000 + rows, dtype=np.int32),
        site=np.full(rows, site, np.int32),
        time=np.full(rows, now, np.int64),
        values={"pm10": np.full(rows, value)},
        quality={"pm10": np.full(rows, ord("N"), np.uint8)},
        flags=np.zeros(rows, np.uint8),
        arrived=now,
    )
    return NewEntry(log.shard_of(site), Kind.READINGS, encode([readings]))


def values_of(found: dict[str, Any]) -> set[float]:
    return {one["values"]["pm10"]["value"] for one in found["readings"]}


async def test_a_slow_client_gets_the_newest_and_holds_up_nobody(
    server: str, cookie_of: CookieOf, current_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.live._STUCK_S", 600.0)
    headers, batches = await cookie_of("operator"), 12
    async with (
        connect(
            f"ws://{server}/api/v1/live", additional_headers=headers, proxy=None, sock=narrow(server), max_queue=1,
            max_size=None, compression=None,
        ) as slow,
        connect(f"ws://{server}/api/v1/live", additional_headers=headers, proxy=None, max_size=None) as quick,
    ):  # fmt: skip
        await message(quick, "hello")
        await message(slow, "hello")
        for n in range(1, batches + 1):
            await publish(current_world, crowd(current_world, n))
            assert values_of(await message(quick, part="readings")) == {n}
        # It reads again: what was under way, and of all the rest the newest alone.
        taken = [values_of(await message(slow, part="readings"))]
        while batches not in taken[-1]:
            taken.append(values_of(await message(slow, part="readings")))
    assert all(len(one) == 1 for one in taken)
    assert len(taken) < batches / 2


async def test_a_client_that_stops_reading_is_closed(
    server: str, cookie_of: CookieOf, current_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.live._STUCK_S", 3.0)
    headers, dropped = await cookie_of("operator"), LIVE_DROPPED._value.get()
    async with connect(f"ws://{server}/api/v1/live", additional_headers=headers, proxy=None, max_size=None) as quick:
        await message(quick, "hello")
        stuck = await connect(
            f"ws://{server}/api/v1/live", additional_headers=headers, proxy=None, sock=narrow(server), max_queue=1,
            max_size=None, compression=None, ping_interval=None,
        )  # fmt: skip
        await message(stuck, "hello")
        n = 0
        async with asyncio.timeout(60):
            while LIVE_DROPPED._value.get() == dropped:
                n += 1
                await publish(current_world, crowd(current_world, n))
                assert values_of(await message(quick, part="readings")) == {n}
        with pytest.raises(ConnectionClosed):
            while True:
                await asyncio.wait_for(stuck.recv(), 15)
        # The other one goes on.
        await publish(current_world, crowd(current_world, n + 1))
        assert values_of(await message(quick, part="readings")) == {n + 1}


async def test_who_is_stuck_is_told_why() -> None:
    closed = []

    class StuckSocket:
        async def send_text(self, text: str) -> None:
            raise TimeoutError

        async def close(self, code: int, reason: str) -> None:
            closed.append((code, reason))

    class Chatty:
        async def next_message(self, client: Client) -> str:
            return "x"

    channel: Any = StuckSocket()
    hub: Any = Chatty()
    await asyncio.wait_for(_serve(channel, hub, Client(None)), 5)
    assert closed == [(1013, "too_slow")]


def test_a_late_reading_never_replaces_a_newer_one() -> None:
    world: Any = SimpleNamespace(ids={"north": 1, "dust-north": 5})
    readings = Readings()
    readings.add(batch(world, "dust-north", pm10=2, at=2_000_000).payload)
    readings.add(batch(world, "dust-north", pm10=1, at=1_000_000).payload)
    assert [one["values"]["pm10"]["value"] for one in readings.drain()] == [2]
    assert readings.drain() == []
    readings.add(batch(world, "dust-north", pm10=1, at=1_500_000).payload)
    assert readings.drain() == []
