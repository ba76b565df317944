"""Moving a camera on its page: held by pointer and key, stopped when let go of, one person at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator

import psycopg
import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect
from psycopg.types.json import Jsonb

from tests.api.world import World
from tests.support.onvif import FakeCamera, fake_camera
from tests.support.wait import eventually
from tests.web.conftest import Visit

# One loop for all tests of the file, since they share the browser.
pytestmark = [pytest.mark.needs("browser"), pytest.mark.asyncio(loop_scope="module")]

GATE = "gate-riverside"


@pytest_asyncio.fixture(loop_scope="module")
async def fake(city: World, connection: psycopg.AsyncConnection) -> AsyncIterator[FakeCamera]:
    """What the gate's camera is moved by."""
    async with fake_camera() as running:
        await connection.execute(
            "UPDATE camera SET url = %s, options = %s WHERE id = %s",
            [running.stream, Jsonb({"onvif": running.service}), city.ids[GATE]],
        )
        yield running


async def stopped(fake: FakeCamera) -> None:
    await eventually(lambda: bool(fake.names) and fake.names[-1] == "Stop")


async def test_a_camera_moves_while_a_button_or_key_is_held(visit: Visit, city: World, fake: FakeCamera) -> None:
    page = visit.page
    await visit.log_in(at=f"/cameras/{city.ids[GATE]}")
    await page.click("[data-test=motion-take]")
    button = page.locator("[data-test=motion-right]")
    await button.hover()
    await page.mouse.down()
    await eventually(lambda: fake.moving)
    await expect(page.locator("[data-test=motion-state]")).to_have_text("转动")
    assert fake.orders[-1].velocity[0] > 0
    await visit.shot("motion-zh")
    # The pointer slides off the button and is let go of elsewhere.
    await page.mouse.move(5, 5)
    await page.mouse.up()
    await stopped(fake)
    await expect(page.locator("[data-test=motion-state]")).to_have_text("静止")
    # The focus goes from one button to the next, and the next one moves it, too.
    await page.locator("[data-test=motion-left]").hover()
    await page.mouse.down()
    await expect(page.locator("[data-test=motion-left]")).to_be_focused()
    await eventually(lambda: fake.moving)
    assert fake.orders[-1].velocity[0] < 0
    await page.mouse.up()
    await stopped(fake)
    await page.focus("[data-test=motion-hand]")
    await page.keyboard.down("ArrowUp")
    await eventually(lambda: fake.moving)
    assert fake.orders[-1].velocity[1] > 0
    await page.keyboard.up("ArrowUp")
    await stopped(fake)
    await page.keyboard.down("-")
    await eventually(lambda: fake.moving)
    assert fake.orders[-1].velocity[2] < 0
    # Whoever looks away has let go.
    await page.locator("[data-test=motion-leave]").focus()
    await stopped(fake)
    await page.keyboard.up("-")
    # A key is held on a button of the pad, and the window goes away: nobody tells when it is let go of.
    await button.focus()
    await page.keyboard.down("ArrowLeft")
    await eventually(lambda: fake.moving)
    await page.evaluate("window.dispatchEvent(new Event('blur'))")
    await stopped(fake)
    await page.keyboard.up("ArrowLeft")
    await page.locator("[data-test=preset]").filter(has_text="塔吊").click()
    await eventually(lambda: fake.names[-1] == "GotoPreset")
    await page.fill("[data-test=preset-name]", "材料堆场")
    await page.click("[data-test=preset-save]")
    await expect(page.locator("[data-test=preset]").filter(has_text="材料堆场")).to_be_visible()
    await page.click("[data-test=motion-leave]")
    await expect(page.locator("[data-test=motion-take]")).to_be_visible()


async def test_others_see_who_moves_it_and_a_page_that_goes_leaves_it_still(
    visit: Visit, city: World, fake: FakeCamera, browser: Browser, address: str
) -> None:
    page = visit.page
    where = f"/cameras/{city.ids[GATE]}"
    await visit.log_in(at=where)
    await page.click("[data-test=motion-take]")
    await expect(page.locator("[data-test=motion-hand]")).to_be_visible()
    context = await browser.new_context(locale="en-US", viewport={"width": 390, "height": 844})
    officer = Visit(context, await context.new_page(), address)
    officer.watch()
    await officer.log_in("officer", at=where)
    if await officer.page.locator("[data-test=language]").inner_text() == "English":
        await officer.page.click("[data-test=language]")
    await expect(officer.page.locator("[data-test=motion-holder]")).to_have_text("Li Operator is moving the camera")
    await expect(officer.page.locator("[data-test=motion-take], [data-test=motion-over]")).to_have_count(0)
    await officer.page.locator("[data-test=motion-holder]").scroll_into_view_if_needed()
    await officer.shot("motion-held-en")
    await page.locator("[data-test=motion-left]").hover()
    await page.mouse.down()
    await eventually(lambda: fake.moving)
    await page.close()
    await stopped(fake)
    await officer.page.click("[data-test=motion-take]")
    await expect(officer.page.locator("[data-test=motion-hand]")).to_be_visible()
    await officer.page.locator("[data-test=motion-hand]").scroll_into_view_if_needed()
    await officer.shot("motion-phone-en")
    assert officer.faults == []
    await context.close()


async def test_a_camera_that_does_not_answer_says_why(visit: Visit, city: World, fake: FakeCamera) -> None:
    fake.moods["*"] = "fault"
    await visit.log_in(at=f"/cameras/{city.ids[GATE]}")
    await expect(visit.page.locator("[data-test=motion]")).to_contain_text("摄像机拒绝了该操作")
    await expect(visit.page.locator("[data-test=motion-take]")).to_have_count(0)
