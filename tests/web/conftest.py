"""The built page served by the real API over a real database, and Chromium to look at it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, Request, async_playwright, expect

from api.service import serve
from benchmarks import chromium
from core.database import connect
from core.evidence import EvidenceStore
from core.settings import AlertsSettings, ApiSettings, Settings
from tests.api.world import PASSWORD, World
from tests.support.wait import eventually
from tests.web.city import furnish_city
from tests.web.live import vision_worker

LINKAGES = Path(__file__).parents[2] / "docs" / "examples" / "linkages.toml"

# A loaded machine takes its time.
expect.set_options(timeout=20_000)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(
        update={"api": ApiSettings(port=0), "alerts": AlertsSettings(linkages=[LINKAGES])},
    )


@pytest_asyncio.fixture(loop_scope="module")
async def connection(settings: Settings) -> AsyncIterator[psycopg.AsyncConnection]:
    async with await connect(settings.database, application="tests") as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="module")
async def city(connection: psycopg.AsyncConnection, settings: Settings) -> World:
    """The rows that the page shows; they are as old as the system's clock says."""
    return await furnish_city(World(connection, datetime.now(UTC)), EvidenceStore(settings.evidence_dir))


@pytest_asyncio.fixture(loop_scope="module")
async def address(settings: Settings, city: World, connection: psycopg.AsyncConnection) -> AsyncIterator[str]:
    """Origin of the running service, which relays the cameras of a vision worker of the test."""
    stop = asyncio.Event()
    async with vision_worker(connection):
        running = asyncio.create_task(serve(settings, stop))

        async def origin() -> str:
            if running.done():
                running.result()
            row = await (await connection.execute("SELECT detail FROM worker WHERE room = 'api'")).fetchone()
            return f"http://{row[0]['host']}:{row[0]['port']}" if row else ""

        yield await eventually(origin)
        stop.set()
        await running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    """Started once for the file; each test gets a context of its own."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium.PROGRAM, args=chromium.ARGUMENTS)
        yield browser
        await browser.close()


async def told(connection: psycopg.AsyncConnection, statement: str, *values: Any) -> list[tuple[Any, ...]]:
    """Rows of a statement."""
    return await (await connection.execute(statement.encode(), values)).fetchall()


@dataclass
class Visit:
    """A browser window at the page, and everything that went wrong in it."""

    context: BrowserContext
    page: Page
    origin: str
    faults: list[str] = field(default_factory=list)

    def watch(self) -> None:
        """Take down errors of the console and of scripts, and requests that leave the origin."""

        def console(message: ConsoleMessage) -> None:
            if message.type in ("error", "warning"):
                self.faults.append(f"console {message.type}: {message.text}")

        def request(request: Request) -> None:
            # A clip that is played lies in the page's own memory.
            if urlsplit(request.url.removeprefix("blob:")).netloc != urlsplit(self.origin).netloc:
                self.faults.append(f"request elsewhere: {request.url}")

        self.page.on("console", console)
        self.page.on("pageerror", lambda error: self.faults.append(f"script: {error}"))
        self.page.on("request", request)

    async def log_in(self, login: str = "operator", *, at: str = "/") -> None:
        await self.page.goto(self.origin + at)
        await self.log_in_here(login)

    async def log_in_here(self, login: str = "operator") -> None:
        await self.page.fill("input[name=login]", login)
        await self.page.fill("input[name=password]", PASSWORD)
        await self.page.click("button[type=submit]")
        await self.page.wait_for_selector("[data-test=log-out]")

    async def shot(self, name: str, *, full_page: bool = False, page: Page | None = None) -> None:
        """A picture of the page, or of another one, for whoever asks for one by SMARTSITE_SHOTS."""
        if folder := os.environ.get("SMARTSITE_SHOTS"):
            await (page or self.page).screenshot(path=str(Path(folder) / f"{name}.png"), full_page=full_page)

    async def text(self, selector: str) -> str:
        return (await self.page.locator(selector).first.inner_text()).strip()


@pytest_asyncio.fixture(loop_scope="module")
async def visit(browser: Browser, address: str) -> AsyncIterator[Visit]:
    """A fresh window far from the sites' time zone; the test fails where the page did anything that it should not."""
    context = await browser.new_context(
        viewport={"width": 1920, "height": 1080}, locale="zh-CN", timezone_id="America/New_York"
    )
    # As over plain HTTP: what a service worker answers cannot be routed by a test. tests/web/test_shell.py has it.
    await context.add_init_script("delete Navigator.prototype.serviceWorker")
    async for visit in visiting(context, address):
        yield visit


async def visiting(context: BrowserContext, address: str) -> AsyncIterator[Visit]:
    context.set_default_timeout(20_000)
    visit = Visit(context, await context.new_page(), address)
    visit.watch()
    yield visit
    await context.close()
    assert visit.faults == []
