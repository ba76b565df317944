"""The API in memory with a clock that stands still, and as a real server on a free port."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime

import httpx
import psycopg
import pytest
from fastapi import FastAPI

from api.app import build
from api.service import opened, serve
from core.database import connect
from core.settings import ApiSettings, Settings
from tests.api.world import PASSWORD, World, furnish
from tests.support.clock import FakeClock
from tests.support.wait import eventually

CookieOf = Callable[[str], Awaitable[dict[str, str]]]
LogIn = Callable[[str], Awaitable[httpx.AsyncClient]]
BASE = "http://smartsite.test"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"api": ApiSettings(port=0, web_dir=settings.data_dir / "page")})


@pytest.fixture
async def connection(settings: Settings) -> AsyncIterator[psycopg.AsyncConnection]:
    async with await connect(settings.database, application="tests") as opened_connection:
        yield opened_connection


@pytest.fixture
async def world(connection: psycopg.AsyncConnection, clock: FakeClock) -> World:
    return await furnish(World(connection, clock.now()))


@pytest.fixture
async def app(settings: Settings, clock: FakeClock) -> AsyncIterator[FastAPI]:
    async with opened(settings, clock) as context:
        assert settings.api.web_dir is not None
        yield build(context, web_dir=settings.api.web_dir)


@pytest.fixture
async def visitor(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client that nobody is logged in to."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url=BASE) as client:
        yield client


@pytest.fixture
async def log_in(app: FastAPI) -> AsyncIterator[LogIn]:
    """Makes clients of logged-in people; they send the CSRF token with everything."""
    async with contextlib.AsyncExitStack() as stack:

        async def enter(login: str) -> httpx.AsyncClient:
            transport = httpx.ASGITransport(app, raise_app_exceptions=False)
            client = await stack.enter_async_context(httpx.AsyncClient(transport=transport, base_url=BASE))
            answer = await client.post("/api/v1/session", json={"login": login, "password": PASSWORD})
            assert answer.status_code == 200, answer.text
            client.headers["X-CSRF-Token"] = answer.json()["csrf"]
            return client

        yield enter


@pytest.fixture
async def server(settings: Settings, connection: psycopg.AsyncConnection) -> AsyncIterator[str]:
    """Address (host:port) of the real service, which runs on the system's clock."""
    stop = asyncio.Event()
    running = asyncio.create_task(serve(settings, stop))

    async def address() -> str:
        if running.done():
            running.result()
        row = await (await connection.execute("SELECT detail FROM worker WHERE room = 'api'")).fetchone()
        return f"{row[0]['host']}:{row[0]['port']}" if row else ""

    yield await eventually(address)
    stop.set()
    await running


@pytest.fixture
async def current_world(connection: psycopg.AsyncConnection) -> World:
    """The world for the real server, which goes by the system's clock."""
    return await furnish(World(connection, datetime.now(UTC)))


@pytest.fixture
async def cookie_of(server: str, current_world: World) -> AsyncIterator[CookieOf]:
    """Logs people in to the real server; gives the Cookie header for WebSockets."""
    async with httpx.AsyncClient(base_url=f"http://{server}", trust_env=False) as client:

        async def enter(login: str) -> dict[str, str]:
            client.cookies.clear()
            answer = await client.post("/api/v1/session", json={"login": login, "password": PASSWORD})
            assert answer.status_code == 200, answer.text
            cookie = f"smartsite_session={client.cookies['smartsite_session']}"
            return {"Cookie": cookie, "X-CSRF-Token": answer.json()["csrf"]}

        yield enter
