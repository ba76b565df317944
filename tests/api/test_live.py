"""The live push over a real WebSocket: hello, batches of what changed, scope, ends of sessions, slow clients."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from alerts import desk
from api.live import Client, Hub, Readings, _serve
from core import log
from core.clock import SystemClock, micros
from core.log import Kind, NewEntry
from core.settings import Settings
from sensors.batch import ReadingBatch, encode
from sensors.entries import AlertEntry
from sensors.entries import encode as encode_entry
from tests.api.conftest import CookieOf
from tests.api.world import World


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


async def test_who_does_not_read_is_dropped_and_holds_up_nobody(settings: Settings, world: World) -> None:
    hub = Hub(settings.database, clock=SystemClock())
    viewer: Any = SimpleNamespace(all_sites=True)
    idle, reading = hub.join(viewer), hub.join(viewer)
    for n in range(50):
        async with world.connection.transaction():
            at = micros(world.now) + 1000 * n
            await log.append(world.connection, "ingest-1", [batch(world, "dust-north", at=at)])
        await hub._turn(world.connection)
        while not reading.waiting.empty():
            last = json.loads(reading.waiting.get_nowait())
    assert last["readings"][0]["time"] == at // 1000
    assert idle.dropped.is_set()
    assert idle.waiting.full()
    assert not reading.dropped.is_set()


async def test_a_dropped_client_is_told_although_its_socket_is_stuck() -> None:
    client, closed = Client(None), []

    class StuckSocket:
        async def send_text(self, text: str) -> None:
            await asyncio.Event().wait()

        async def close(self, code: int, reason: str) -> None:
            closed.append((code, reason))

    socket: Any = StuckSocket()
    serving = asyncio.create_task(_serve(socket, client))
    while client.offer("x"):
        pass
    await asyncio.wait_for(serving, 5)
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
