"""Reports on the page."""

from __future__ import annotations

from datetime import date

import pytest
from playwright.async_api import expect

from tests.api.world import World
from tests.web.conftest import Visit

pytestmark = [pytest.mark.needs("browser"), pytest.mark.asyncio(loop_scope="module")]


async def test_reports_are_listed_opened_and_fetched(visit: Visit, city: World) -> None:
    page = visit.page
    led = await city.report("metro", first_day=date(2026, 7, 1))
    for site in ("riverside", "metro", None):
        await city.report(site)
    await city.report("riverside", "weekly", first_day=date(2026, 7, 20))
    await visit.log_in(at=f"/reports/{led}")
    rows = page.locator("[data-test=report]")
    await expect(rows).to_have_count(5)
    # The one that a message led to stands first.
    await expect(rows.first).to_contain_text("2026-07-01")
    await expect(rows.filter(has_text="全部工地")).to_contain_text("紧急 1")
    await visit.shot("reports")
    async with page.expect_popup() as opened:
        await rows.filter(has_text="周报").locator("[data-test=report-page]").click()
    sheet = await opened.value
    await expect(sheet.locator("h1")).to_have_text("滨江一号地块周报 2026-07-20 – 2026-07-26")
    await expect(sheet.locator("h2").nth(1)).to_have_text("告警")
    await sheet.close()
    async with page.expect_download() as fetched:
        await rows.filter(has_text="周报").locator("[data-test=report-sheet]").click()
    assert (await fetched.value).suggested_filename.endswith(".csv")
    await page.locator("[data-test=report-kind]").get_by_text("周报").click()
    await expect(rows.filter(has_text="日报")).to_have_count(1)
    await page.click("[data-test=language]")
    await page.set_viewport_size({"width": 390, "height": 844})
    await expect(rows.first).to_contain_text("Minutes beyond limits")
    await visit.shot("reports-phone")
