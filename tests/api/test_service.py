"""The process as a whole: state of the platform, an outage of the database, start and stop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
from collections.abc import AsyncIterator

import httpx
import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from api.service import serve
from core.errors import ConfigurationError
from core.settings import Settings
from tests.api.conftest import CookieOf, LogIn
from tests.api.world import World
from tests.support.wait import eventually


async def test_system_tells_processes_and_counts(log_in: LogIn, world: World) -> None:
    await world.connection.execute(
        "INSERT INTO worker VALUES ('ingest-1', 'ingest', 'h', 7, %(at)s, %(at)s), "
        "('vision-1', 'vision', 'h', 8, %(at)s, %(at)s - interval '11 s')",
        {"at": world.now},
    )
    await world.connection.execute("INSERT INTO ingest_count VALUES ('1', 10, 7, 1, 1, 1), ('2', 5, 5, 0, 0, 0)")
    await world.alert("a", device="dust-north")
    found = (await (await log_in("operator")).get("/api/v1/system")).json()
    assert {worker["name"]: worker["healthy"] for worker in found["workers"]} == {"ingest-1": True, "vision-1": False}
    counts = found["counts"]
    assert (counts["messages"], counts["stored"], counts["alerts_open"]) == (15, 12, 1)
    assert found["log"] == {"streams": 0, "lag": 0}


async def test_what_is_there_at_the_start_is_left_out_of_garbage_collection(server: str) -> None:
    assert gc.get_freeze_count() > 100_000


async def test_quarantine_shows_reason_and_bytes(log_in: LogIn, world: World) -> None:
    for n in range(3):
        await world.connection.execute(
            "INSERT INTO quarantine (arrived_at, source, device_id, reason, payload, payload_bytes) "
            "VALUES (%s, 'mqtt', %s, 'malformed', %s, 3)",
            [world.now, world.ids["dust-north"] if n else None, b"\xff{" + str(n).encode()],
        )
    client = await log_in("operator")
    page = (await client.get("/api/v1/quarantine", params={"limit": 2})).json()
    assert [row["payload"] for row in page["items"]] == ["\ufffd{2", "\ufffd{1"]
    rest = (await client.get("/api/v1/quarantine", params={"limit": 2, "cursor": page["next"]})).json()
    assert [row["device_id"] for row in rest["items"]] == [None]
    assert rest["next"] is None


@contextlib.asynccontextmanager
async def outage(settings: Settings) -> AsyncIterator[None]:
    """The test's database lets nobody in."""
    assert settings.database.url is not None
    url = settings.database.url.get_secret_value()
    name = str(conninfo_to_dict(url)["dbname"])
    allow = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
    async with await psycopg.AsyncConnection.connect(make_conninfo(url, dbname="postgres"), autocommit=True) as admin:
        await admin.execute(allow.format(sql.Identifier(name), sql.SQL("false")))
        await admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        yield
        await admin.execute(allow.format(sql.Identifier(name), sql.SQL("true")))


async def test_an_outage_of_the_database_is_told_and_outlived(
    server: str, cookie_of: CookieOf, settings: Settings
) -> None:
    headers = await cookie_of("operator")
    async with httpx.AsyncClient(base_url=f"http://{server}", trust_env=False, timeout=30) as client:
        assert (await client.get("/api/v1/sites", headers=headers)).status_code == 200
        async with outage(settings):
            for method, path in [("GET", "/api/v1/sites"), ("POST", "/api/v1/session")]:
                answer = await client.request(method, path, headers=headers, json={"login": "x", "password": "y"})
                assert (answer.status_code, answer.json()["error"]["code"]) == (503, "unavailable")
                assert "retry-after" in answer.headers
            health = await client.get("/healthz")
            assert (health.status_code, health.json()["database"]) == (503, "away")
            assert (await client.get("/metrics")).status_code == 200

        async def back() -> bool:
            return (await client.get("/api/v1/sites", headers=headers)).status_code == 200

        await eventually(back, timeout=30)


async def test_it_stops_while_the_database_is_away(settings: Settings, connection: psycopg.AsyncConnection) -> None:
    stop = asyncio.Event()
    running = asyncio.create_task(serve(settings, stop))
    await eventually(lambda: workers(connection))
    async with outage(settings):
        stop.set()
        async with asyncio.timeout(15):
            await running


async def test_an_address_in_use_is_a_configuration_error(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        taken_settings = settings.model_copy(update={"api": settings.api.model_copy(update={"port": port})})
        with pytest.raises(ConfigurationError, match=f"cannot listen on 127.0.0.1 port {port}"):
            await serve(taken_settings, asyncio.Event())


async def workers(connection: psycopg.AsyncConnection) -> int:
    row = await (await connection.execute("SELECT count(*) FROM worker")).fetchone()
    assert row is not None
    return int(row[0])


async def test_the_worker_row_goes_with_the_process(settings: Settings, connection: psycopg.AsyncConnection) -> None:
    stop = asyncio.Event()
    running = asyncio.create_task(serve(settings, stop))
    await eventually(lambda: workers(connection))
    stop.set()
    async with asyncio.timeout(15):
        await running
    assert await workers(connection) == 0
