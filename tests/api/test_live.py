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

from alerts import life
from api.live import Client, Readings
from core import log
from core.clock import SystemClock, micros
from core.log import Kind, NewEntry
from sensors.batch import ReadingBatch, encode
from sensors.entries import AlertEntry
from sensors.entries import encode as encode_entry
from tests.api.conftest import CookieOf
from tests.api.world import World


@contextlib.asynccontextmanager
async def listening(server: str, headers: dict[str, str]) -> AsyncIterator[ClientConnection]:
    async with connect(f"ws://{server}/api/v1/live", additional_headers=headers, proxy=None) as socket:
        yield socket


async def message(socket: ClientConnection, kind: str = "batch", part: str = "") -> dict[str, Any]:
    """The next message of the kind that has something in `part`."""
    async with asyncio.timeout(15):
        while True:
            found = json.loads(await socket.recv())
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
    async with listening(server, await cookie_of("officer")) as socket:
        hello = await message(socket, "hello")
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
    async with listening(server, await cookie_of("officer")) as socket:
        await message(socket, "hello")
        async with world.connection.transaction():
            number = await world.alert("a", device="dust-north")
            entry = AlertEntry(alert=number, site=world.ids["north"], event="raised", at=micros(world.now))
            shard = log.shard_of(world.ids["north"])
            await log.append(world.connection, "alerts-engine", [NewEntry(shard, Kind.ALERT, encode_entry(entry))])
        raised = await message(socket, part="alerts")
        assert [alert["id"] for alert in raised["alerts"]] == [number]
        assert [site["state"] for site in raised["sites"]] == ["red"]
        async with world.connection.transaction():
            await life.acknowledge(world.connection, number, "code-officer", SystemClock())
        acknowledged = await message(socket, part="alerts")
        assert acknowledged["alerts"][0]["acknowledged_by"] == "code-officer"


async def test_states_that_change_without_a_word_are_noticed(
    server: str, cookie_of: CookieOf, current_world: World
) -> None:
    async with listening(server, await cookie_of("officer")) as socket:
        await message(socket, "hello")
        await current_world.camera_state("cam-north", "unreachable", reason="timeout")
        told = await message(socket, part="cameras")
        assert [(camera["state"], camera["reason"]) for camera in told["cameras"]] == [("unreachable", "timeout")]
        assert told["sites"][0]["state"] == "yellow"
        assert "devices" in told
        assert told["devices"] == []


async def test_nobody_gets_in_without_a_session(server: str, current_world: World) -> None:
    async with listening(server, {}) as socket:
        with pytest.raises(ConnectionClosed):
            await socket.recv()
    assert (socket.close_code, socket.close_reason) == (1008, "unauthenticated")


async def test_a_foreign_page_cannot_listen(server: str, cookie_of: CookieOf) -> None:
    headers = await cookie_of("officer")
    async with connect(
        f"ws://{server}/api/v1/live", additional_headers=headers, origin="https://evil.example", proxy=None
    ) as socket:
        with pytest.raises(ConnectionClosed):
            await socket.recv()
    assert (socket.close_code, socket.close_reason) == (4403, "forbidden")


async def test_log_out_closes_the_live_connection(server: str, cookie_of: CookieOf) -> None:
    headers = await cookie_of("officer")
    async with listening(server, headers) as socket, httpx.AsyncClient(trust_env=False) as client:
        await message(socket, "hello")
        assert (await client.delete(f"http://{server}/api/v1/session", headers=headers)).status_code == 204
        with pytest.raises(ConnectionClosed):
            while True:
                await socket.recv()
    assert (socket.close_code, socket.close_reason) == (1008, "unauthenticated")


async def test_the_push_survives_the_loss_of_its_database_sessions(
    server: str, cookie_of: CookieOf, current_world: World
) -> None:
    world = current_world
    async with listening(server, await cookie_of("officer")) as socket:
        await message(socket, "hello")
        await world.connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name LIKE 'smartsite %%' AND pid <> pg_backend_pid() AND datname = current_database()"
        )
        async with world.connection.transaction():
            await log.append(world.connection, "ingest-1", [batch(world, "dust-north")])
        assert (await message(socket, part="readings"))["readings"][0]["device_id"] == world.ids["dust-north"]


def test_a_client_that_reads_too_slowly_is_given_up() -> None:
    client = Client(None)
    offered = 0
    while client.offer("x"):
        offered += 1
        assert offered < 1000
    assert offered == client.waiting.maxsize
    assert client.dropped.is_set()


def test_a_late_reading_never_replaces_a_newer_one() -> None:
    world: Any = SimpleNamespace(ids={"north": 1, "dust-north": 5})
    readings = Readings()
    readings.add(batch(world, "dust-north", pm10=2, at=2_000_000).payload)
    readings.add(batch(world, "dust-north", pm10=1, at=1_000_000).payload)
    assert [one["values"]["pm10"]["value"] for one in readings.drain()] == [2]
    assert readings.drain() == []
    readings.add(batch(world, "dust-north", pm10=1, at=1_500_000).payload)
    assert readings.drain() == []
