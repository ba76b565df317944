"""The video wall of chosen cameras: picked, put in order, kept and shared; and one of them moved over its tile."""

from __future__ import annotations

from collections.abc import AsyncIterator

import psycopg
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Locator, Page, expect
from psycopg.types.json import Jsonb

from tests.api.world import World
from tests.support.onvif import FakeCamera, fake_camera
from tests.support.wait import eventually
from tests.web.conftest import Visit, told
from tests.web.test_accessibility import serious

# One loop for all tests of the file, since they share the browser.
pytestmark = [pytest.mark.needs("browser"), pytest.mark.asyncio(loop_scope="module")]

MOVED = ("gate-riverside", "gate-metro")


@pytest_asyncio.fixture(loop_scope="module")
async def fakes(city: World, connection: psycopg.AsyncConnection) -> AsyncIterator[dict[str, FakeCamera]]:
    """What two gates' cameras are moved by."""
    async with fake_camera() as one, fake_camera() as other:
        fakes = dict(zip(MOVED, (one, other), strict=True))
        for code, fake in fakes.items():
            await connection.execute(
                "UPDATE camera SET url = %s, options = %s WHERE id = %s",
                [fake.stream, Jsonb({"onvif": fake.service}), city.ids[code]],
            )
        yield fakes


def tile(page: Page, city: World, code: str) -> Locator:
    link = page.locator(f"a[href='/cameras/{city.ids[code]}']")
    return page.locator("[data-test=wall-tile]", has=link)


async def shown(page: Page) -> list[int]:
    """Ids of the tiles' cameras, in their order."""
    links = await page.locator("[data-test=wall-tile] header a").evaluate_all("all => all.map(one => one.pathname)")
    return [int(path.rsplit("/", 1)[1]) for path in links]


async def shows(page: Page, *cameras: int) -> None:
    async def so() -> bool:
        return await shown(page) == list(cameras)

    await eventually(so)


async def stopped(fake: FakeCamera) -> None:
    await eventually(lambda: bool(fake.names) and fake.names[-1] == "Stop")


async def test_cameras_are_picked_put_in_order_kept_and_shared(
    visit: Visit, city: World, browser: Browser, address: str
) -> None:
    page = visit.page
    gate, deck, school = (city.ids[code] for code in ("gate-riverside", "deck-riverside", "gate-school"))
    await visit.log_in(at="/wall")
    await expect(page.locator("[data-test=wall-tile]")).to_have_count(4)
    await page.click("[data-test=wall-choose]")
    picker = page.locator("[data-test=wall-picker]")
    await expect(picker.locator("[data-test=picker-camera]")).to_have_count(4)
    # Every word counts, of site or camera, in either language, or the code.
    for text, count in (("gate SCHOOL", 1), ("滨江", 2), ("gate-metro", 1), ("滨江 nowhere", 0)):
        await page.fill("[data-test=picker-look]", text)
        await expect(picker.locator("[data-test=picker-camera]")).to_have_count(count)
    await expect(picker).to_contain_text("没有符合的摄像机")
    await page.fill("[data-test=picker-look]", "gate school")
    await picker.locator("[data-test=picker-camera]").click()
    await shows(page, school)
    await page.fill("[data-test=picker-look]", "riverside")
    await picker.locator("[data-test=picker-site]").click()
    rows = picker.locator("[data-test=picker-chosen]")
    await expect(rows).to_have_count(3)
    await expect(picker.locator("[data-test=picker-site]")).to_be_disabled()
    await shows(page, school, deck, gate)
    await rows.nth(2).locator("[data-test=picker-earlier]").click()
    await rows.nth(0).locator("[data-test=picker-later]").press("Enter")
    await shows(page, gate, school, deck)
    await visit.shot("wall-picker-zh")
    assert await serious(page) == []
    await page.keyboard.press("Escape")
    await expect(picker).to_be_hidden()
    await page.locator("[data-test=wall-size]").get_by_text("9", exact=True).click()
    link = f"{visit.origin}/wall?cameras={gate},{school},{deck}&size=9"
    await expect(page).to_have_url(link)

    # Kept while the wall shows something else, and over a visit.
    await page.click("[data-test=wall-site]")
    await page.get_by_role("option", name="全部工地").click()
    await expect(page.locator("[data-test=wall-tile]")).to_have_count(4)
    await page.click("[data-test=wall-site]")
    await page.get_by_role("option", name="自选摄像机").click()
    await shows(page, gate, school, deck)
    await page.goto(f"{visit.origin}/wall")
    await shows(page, gate, school, deck)

    # Given to somebody of one site only, who is told what they do not see; their own wall stays theirs.
    context = await browser.new_context(locale="en-US", viewport={"width": 390, "height": 844})
    officer = Visit(context, await context.new_page(), address)
    officer.watch()
    await officer.log_in("officer", at=link.removeprefix(visit.origin))
    if await officer.page.locator("[data-test=language]").inner_text() == "English":
        await officer.page.click("[data-test=language]")
    await shows(officer.page, gate, deck)
    await expect(officer.page.locator("[data-test=wall-missing]")).to_contain_text("1 chosen cameras are switched off")
    await officer.page.click("[data-test=wall-choose]")
    await expect(officer.page.locator("[data-test=picker-chosen]").nth(1)).to_contain_text(f"Camera {school} (switched")
    await officer.shot("wall-picker-phone-en")
    assert await serious(officer.page) == []
    assert await officer.page.evaluate("document.documentElement.scrollWidth") <= 390
    await officer.page.keyboard.press("Escape")
    await officer.page.goto(f"{visit.origin}/wall")
    await expect(officer.page.locator("[data-test=wall-missing]")).to_have_count(0)
    assert "cameras" not in officer.page.url
    assert officer.faults == []
    await context.close()


async def test_a_camera_is_moved_over_its_tile_one_at_a_time(
    visit: Visit, city: World, connection: psycopg.AsyncConnection, fakes: dict[str, FakeCamera]
) -> None:
    page = visit.page
    gate, metro = (fakes[code] for code in MOVED)
    await visit.log_in(at="/wall")
    here, there = (tile(page, city, code) for code in MOVED)
    await expect(page.locator("[data-test=wall-steer]")).to_have_count(2)
    assert await tile(page, city, "deck-riverside").locator("[data-test=wall-steer]").count() == 0
    await here.locator("[data-test=wall-steer]").click()
    # It is taken at once, and the keys are at hand.
    await expect(here.locator("[data-test=motion-hand]")).to_be_focused()
    await page.keyboard.down("ArrowRight")
    await eventually(lambda: gate.moving)
    await expect(here.locator("[data-test=motion-state]")).to_have_text("转动")
    await visit.shot("wall-motion-zh")
    await page.keyboard.up("ArrowRight")
    await stopped(gate)
    await here.locator("[data-test=motion-up]").hover()
    await page.mouse.down()
    await eventually(lambda: gate.moving)
    # The pointer slides off and is let go of over another tile.
    await page.mouse.move(5, 400)
    await page.mouse.up()
    await stopped(gate)

    # Another tile's camera is taken: the first one stands still and is free, also in the midst of a move.
    await page.keyboard.down("ArrowLeft")
    await eventually(lambda: gate.moving)
    await there.locator("[data-test=wall-steer]").evaluate("button => button.click()")
    await expect(there.locator("[data-test=motion-hand]")).to_be_focused()
    await stopped(gate)
    await page.keyboard.up("ArrowLeft")
    await expect(page.locator("[data-test=motion]")).to_have_count(1)

    async def holders() -> list[tuple[object, ...]]:
        return await told(connection, "SELECT camera_id FROM camera_ptz WHERE seat IS NOT NULL")

    async def only_metro() -> bool:
        return await holders() == [(city.ids["gate-metro"],)]

    await eventually(only_metro)
    assert await serious(page) == []
    # The window goes away in the midst of a move.
    await page.keyboard.down("ArrowDown")
    await eventually(lambda: metro.moving)
    await page.evaluate("window.dispatchEvent(new Event('blur'))")
    await stopped(metro)
    await page.keyboard.up("ArrowDown")
    # Escape lets go, and the key that opened it has the focus again.
    await page.keyboard.down("+")
    await eventually(lambda: metro.moving)
    await page.keyboard.press("Escape")
    await stopped(metro)
    await page.keyboard.up("+")
    await expect(there.locator("[data-test=wall-steer]")).to_be_focused()

    async def free() -> bool:
        return await holders() == []

    await eventually(free)


@pytest.mark.parametrize("ending", ["another page of the wall", "another page", "a closed window"])
async def test_a_tile_that_goes_leaves_its_camera_still(
    visit: Visit, city: World, fakes: dict[str, FakeCamera], ending: str
) -> None:
    page, gate = visit.page, fakes["gate-riverside"]
    await visit.log_in(at=f"/wall?cameras={city.ids['gate-riverside']},{city.ids['gate-metro']}&size=1")
    await page.click("[data-test=wall-steer]")
    await expect(page.locator("[data-test=motion-hand]")).to_be_focused()
    await page.keyboard.down("ArrowRight")
    await eventually(lambda: gate.moving)
    if ending == "a closed window":
        await page.close()
    elif ending == "another page":
        await page.locator("header a[href='/system']").evaluate("link => link.click()")
    else:
        await page.keyboard.press("PageDown")
        await shows(page, city.ids["gate-metro"])
    await stopped(gate)


async def test_a_camera_that_somebody_moves_is_not_taken_from_them_unasked(
    visit: Visit, city: World, fakes: dict[str, FakeCamera], browser: Browser, address: str
) -> None:
    where = f"/wall?cameras={city.ids['gate-riverside']}&size=1"
    await visit.log_in(at=where)
    await visit.page.click("[data-test=wall-steer]")
    await expect(visit.page.locator("[data-test=motion-hand]")).to_be_visible()
    context = await browser.new_context(locale="en-US", viewport={"width": 390, "height": 844})
    officer = Visit(context, await context.new_page(), address)
    officer.watch()
    await officer.log_in("officer", at=where)
    if await officer.page.locator("[data-test=language]").inner_text() == "English":
        await officer.page.click("[data-test=language]")
    await officer.page.click("[data-test=wall-steer]")
    await expect(officer.page.locator("[data-test=motion-holder]")).to_have_text("Li Operator is moving the camera")
    await officer.shot("wall-motion-held-phone-en")
    assert await officer.page.locator("[data-test=motion-take], [data-test=motion-over]").count() == 0
    # What was opened is closed by Escape, though there is nothing in it to be pressed.
    await officer.page.keyboard.press("Escape")
    await expect(officer.page.locator("[data-test=wall-steer]")).to_be_focused()
    await officer.page.keyboard.press("Enter")
    await expect(officer.page.locator("[data-test=motion-holder]")).to_be_visible()
    await expect(visit.page.locator("[data-test=motion-hand]")).to_be_visible()
    await visit.page.click("[data-test=motion-leave]")
    await expect(visit.page.locator("[data-test=motion]")).to_have_count(0)
    await officer.page.click("[data-test=motion-take]")
    await expect(officer.page.locator("[data-test=motion-hand]")).to_be_visible()
    await officer.shot("wall-motion-phone-en")
    assert await serious(officer.page) == []
    await officer.page.click("[data-test=motion-leave]")
    await expect(officer.page.locator("[data-test=motion]")).to_have_count(0)
    assert officer.faults == []
    await context.close()


async def test_who_may_not_move_cameras_is_offered_nothing(
    visit: Visit, city: World, fakes: dict[str, FakeCamera]
) -> None:
    await city.person("auditor", "auditor", sites=None)
    asked: list[str] = []
    visit.page.on("request", lambda request: asked.append(request.url))
    await visit.log_in("auditor", at="/wall")
    await expect(visit.page.locator("[data-test=wall-tile]")).to_have_count(4)
    # What the wall asks for at its begin it has asked for when a picture is there.
    await expect(tile(visit.page, city, "gate-riverside")).not_to_have_attribute("data-frames", "0")
    assert await visit.page.locator("[data-test=wall-steer]").count() == 0
    assert [url for url in asked if url.endswith("/ptz")] == []
