"""The page without network: kept by a service worker, begun with what the phone knows, replaced by a newer one."""

from __future__ import annotations

import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Error, Page, expect

from core.settings import Settings
from tests.api.world import World
from tests.support.wait import eventually
from tests.web.conftest import Visit, told, visiting
from tests.web.test_accessibility import serious
from tests.web.test_phone import PHONE, assigned, forgive, order, photo, rows

# One loop for all tests of the file, since they share the browser.
pytestmark = [pytest.mark.needs("browser"), pytest.mark.asyncio(loop_scope="module")]

BUILT = Path(__file__).parents[2] / "smartsite" / "static"
CACHES = "caches.keys().then((names) => names.filter((name) => name.startsWith('smartsite-shell-')))"
CACHED = """(async () => {
  const found = []
  for (const name of await caches.keys())
    for (const request of await (await caches.open(name)).keys()) found.push(new URL(request.url).pathname)
  return found
})()"""
COPIES = """new Promise((done) => {
  const opening = indexedDB.open('smartsite-seen')
  opening.onerror = () => done(['no database yet'])
  opening.onupgradeneeded = () => opening.transaction.abort()
  opening.onsuccess = () => {
    const asked = opening.result.transaction('copies').objectStore('copies').getAllKeys()
    asked.onsuccess = () => { opening.result.close(); done(asked.result.map(([, name]) => name)) }
  }
})"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The built page, to be replaced by a test."""
    return Path(shutil.copytree(BUILT, tmp_path / "page"))


@pytest.fixture
def settings(settings: Settings, folder: Path) -> Settings:
    return settings.model_copy(update={"api": settings.api.model_copy(update={"web_dir": folder})})


@pytest_asyncio.fixture(loop_scope="module")
async def phone(browser: Browser, address: str) -> AsyncIterator[Visit]:
    """A phone whose browser keeps the page."""
    context = await browser.new_context(viewport=PHONE, locale="zh-CN", timezone_id="America/New_York")  # type: ignore[arg-type]
    async for visit in visiting(context, address):
        yield visit


async def kept(page: Page) -> None:
    """Until the worker has everything, and this page is under it."""
    await eventually(lambda: page.evaluate("navigator.serviceWorker.controller?.state === 'activated'"))


async def copies(page: Page, *names: str) -> None:
    """Until the phone has these copies."""

    async def there() -> bool:
        return set(await page.evaluate(COPIES)) == set(names)

    assert await eventually(there)


def rebuild(folder: Path) -> None:
    """Another version of the page in the place of the first: other names of its script and of a view."""
    for stem in ("index", "SystemView"):
        for old in sorted((folder / "assets").glob(f"{stem}-*.js")):
            new = old.with_name(f"{stem}-ANOTHER{len(old.name)}.js")
            old.rename(new)
            for path in [*folder.glob("assets/*.js"), folder / "index.html", folder / "worker.js"]:
                text = path.read_text(encoding="utf-8")
                if old.name in text:
                    path.write_text(text.replace(old.name, new.name), encoding="utf-8")
    worker = folder / "worker.js"
    text, changed = re.subn(r"([\"'`])[0-9a-f]{16}\1", r"\1fedcba9876543210\1", worker.read_text(encoding="utf-8"))
    assert changed == 1
    worker.write_text(text, encoding="utf-8")


async def test_the_page_opens_without_network_and_what_is_said_is_sent_once(
    phone: Visit, city: World, connection: psycopg.AsyncConnection
) -> None:
    await assigned(connection, city)
    number = await order(connection, city)
    dust = city.ids["dust"]
    page = phone.page
    await phone.log_in("officer", at="/mine")
    await kept(page)
    await page.reload()
    await copies(page, "mine", f"alert {dust}", f"order {number}")
    assert not [path for path in await page.evaluate(CACHED) if path.startswith("/api")]
    await phone.context.set_offline(True)
    await page.reload()
    await expect(page.locator("[data-test=limited]")).to_be_visible()
    await expect(page.locator("[data-test=as-of]")).to_be_visible()
    await expect(page.locator("[data-test=mine-order]")).to_contain_text("3 号楼临边防护缺失")
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert await serious(page) == []
    await phone.shot("shell-mine", full_page=True)
    await page.click("[data-test=mine-alerts] [data-test=alert-line]")
    await page.click("[data-test=acknowledge]")
    await expect(page.locator("[data-test=waits]")).to_be_visible()
    await phone.shot("shell-alert")
    # Begun anew once more: what was said is still there.
    await page.goto(f"{phone.origin}/mine")
    await rows(page, 1)
    await phone.context.set_offline(False)
    await rows(page, 0)
    await expect(page.locator("[data-test=limited]")).to_have_count(0)
    await expect(page.locator("[data-test=as-of]")).to_have_count(0)
    said = await told(connection, "SELECT actor FROM alert_event WHERE alert_id = %s AND kind = 'acknowledged'", dust)
    assert said == [("code-officer",)]
    forgive(phone)


async def test_an_order_is_submitted_with_photos_after_a_start_without_network(
    phone: Visit, city: World, connection: psycopg.AsyncConnection, tmp_path: Path
) -> None:
    number = await order(connection, city)
    page = phone.page
    await phone.log_in("officer", at="/mine")
    await kept(page)
    await page.reload()
    await copies(page, "mine", f"order {number}")
    await phone.context.set_offline(True)
    await page.goto(f"{phone.origin}/rectifications/{number}")
    await expect(page.locator("[data-test=as-of]")).to_be_visible()
    await page.set_input_files("[data-test=photos]", photo(tmp_path))
    await expect(page.locator("[data-test=held-photos] img")).to_have_count(1)
    await page.click("[data-test=order-submit]")
    await expect(page.locator("[data-test=waits]")).to_be_visible()
    await phone.context.set_offline(False)

    async def state() -> bool:
        found = await told(connection, "SELECT state, version FROM rectification WHERE id = %s", number)
        return found == [("submitted", 2)]

    assert await eventually(state)
    forgive(phone)


async def test_the_log_out_leaves_nothing_of_the_person(
    phone: Visit, city: World, connection: psycopg.AsyncConnection
) -> None:
    number = await order(connection, city)
    page = phone.page
    await phone.log_in("officer", at="/mine")
    await kept(page)
    await page.reload()
    await copies(page, "mine", f"order {number}")
    assert await page.evaluate("localStorage.getItem('smartsite.person')") is not None
    await page.click("[data-test=log-out]")
    await expect(page.locator("input[name=login]")).to_be_visible()
    await copies(page)
    assert await page.evaluate("localStorage.getItem('smartsite.person')") is None
    await phone.context.set_offline(True)
    await page.goto(f"{phone.origin}/mine")
    await expect(page.locator("input[name=login]")).to_be_visible()
    forgive(phone)


async def test_a_session_that_ended_meanwhile_asks_for_the_log_in_and_loses_nothing(
    phone: Visit, city: World, connection: psycopg.AsyncConnection
) -> None:
    await assigned(connection, city)
    dust = city.ids["dust"]
    page = phone.page
    await phone.log_in("officer", at="/mine")
    await kept(page)
    await page.reload()
    await copies(page, "mine", f"alert {dust}")
    await phone.context.set_offline(True)
    await page.goto(f"{phone.origin}/alerts/{dust}")
    await page.click("[data-test=acknowledge]")
    await expect(page.locator("[data-test=waits]")).to_be_visible()
    await connection.execute("DELETE FROM session")
    await phone.context.set_offline(False)
    await expect(page.locator("input[name=login]")).to_be_visible()
    await copies(page)
    await phone.log_in_here("officer")

    async def by() -> str | None:
        return (await told(connection, "SELECT acknowledged_by FROM alert WHERE id = %s", dust))[0][0]

    assert await eventually(by) == "code-officer"
    forgive(phone)


async def test_a_new_build_takes_over_when_the_person_says_so(phone: Visit, city: World, folder: Path) -> None:
    page = phone.page
    await phone.log_in("officer", at="/mine")
    await kept(page)
    (before,) = await page.evaluate(CACHES)
    await expect(page.locator("[data-test=newer]")).to_have_count(0)
    rebuild(folder)
    await page.evaluate("navigator.serviceWorker.getRegistration().then((one) => one.update())")
    await expect(page.locator("[data-test=newer]")).to_be_visible()
    await phone.shot("shell-newer")
    assert await serious(page) == []
    await page.click("[data-test=reload]")
    await expect(page.locator("[data-test=newer]")).to_have_count(0)
    await page.wait_for_selector("script[src*=ANOTHER]", state="attached")
    await expect(page.locator("[data-test=mine-orders]")).to_be_visible()
    (after,) = await page.evaluate(CACHES)
    assert after != before
    # It is this one that opens without network now.
    await phone.context.set_offline(True)
    await page.reload()
    await expect(page.locator("[data-test=limited]")).to_be_visible()
    assert await page.locator("script[src*=ANOTHER]").count() == 1
    forgive(phone)


async def test_whoever_opens_the_page_anew_has_the_new_build_at_once(phone: Visit, city: World, folder: Path) -> None:
    page = phone.page
    await phone.log_in("officer", at="/mine")
    await kept(page)
    (before,) = await page.evaluate(CACHES)
    rebuild(folder)
    await page.reload()
    await page.wait_for_selector("script[src*=ANOTHER]", state="attached")

    async def replaced() -> bool:
        return before not in await page.evaluate(CACHES)

    assert await eventually(replaced)
    await expect(page.locator("[data-test=newer]")).to_have_count(0)


async def test_a_view_that_is_gone_with_its_build_loads_the_page_anew(phone: Visit, city: World, folder: Path) -> None:
    page = phone.page
    await page.set_viewport_size({"width": 1920, "height": 1080})
    await phone.log_in("operator")
    rebuild(folder)
    await page.click("a[href='/system']")
    await expect(page).to_have_url(phone.origin + "/system")
    await page.wait_for_selector("script[src*=ANOTHER]", state="attached")
    await expect(page.locator("h1, h2").first).to_be_visible()
    # How the browser tells of the file that is gone.
    phone.faults[:] = [fault for fault in phone.faults if "404" not in fault]


async def test_a_view_that_the_phone_does_not_keep_says_so(phone: Visit, city: World) -> None:
    page = phone.page
    await phone.log_in("officer", at="/mine")
    await kept(page)
    await phone.context.set_offline(True)
    await page.click("a[href='/wall']")
    await expect(page.locator(".el-message")).to_contain_text("请检查网络")
    await expect(page).to_have_url(phone.origin + "/mine")
    # The link of a message is the server's own page: this one is not shown in its place.
    with pytest.raises(Error, match="ERR_INTERNET_DISCONNECTED"):
        await page.goto(f"{phone.origin}/a/some-token")
    forgive(phone)


async def test_over_plain_http_everything_goes_on_without_a_worker(visit: Visit, city: World) -> None:
    await visit.log_in("officer", at="/mine")
    assert await visit.page.evaluate("'serviceWorker' in navigator") is False
    await expect(visit.page.locator("[data-test=mine-site]")).to_have_count(1)


async def test_the_worker_is_asked_for_anew_each_time(phone: Visit, city: World) -> None:
    answer = await phone.page.request.get(f"{phone.origin}/worker.js")
    assert answer.status == 200
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["content-type"].startswith("text/javascript")
    assert "worker-src 'self'" in answer.headers["content-security-policy"]
