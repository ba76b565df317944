"""A remote inspection on the page: cameras looked through, a picture marked, a finding filed, the report read."""

from __future__ import annotations

import psycopg
import pytest
from playwright.async_api import Page, expect

from tests.api.world import World
from tests.support.wait import eventually
from tests.web.conftest import Visit, told

pytestmark = [pytest.mark.needs("browser"), pytest.mark.asyncio(loop_scope="module")]

PHONE = {"width": 390, "height": 844}
LOADED = "image => image.complete && image.naturalWidth > 0"


async def draw_box(page: Page) -> None:
    # The area is as high as the picture, which is nothing until that has come.
    await eventually(lambda: page.locator("[data-test=picture-marks] .canvas img").evaluate(LOADED))
    area = page.locator("[data-test=picture-marks] .canvas svg")
    await area.scroll_into_view_if_needed()
    box = await area.bounding_box()
    assert box is not None
    await page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.2 * box["height"])
    await page.mouse.down()
    await page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 0.6 * box["height"], steps=4)
    await page.mouse.up()


async def test_an_inspection_is_carried_out_on_the_page(
    visit: Visit, city: World, connection: psycopg.AsyncConnection
) -> None:
    page = visit.page
    await visit.log_in(at="/inspections")
    await page.click("[data-test=inspection-new]")
    await page.click("[data-test=inspection-site]")
    await page.get_by_role("option", name="滨江一号地块").click()
    await page.click("[data-test=inspection-list]")
    await page.get_by_role("option", name="扬尘治理六个百分百").click()
    await visit.shot("inspection-new", full_page=True)
    await page.click("[data-test=inspection-begin]")
    await expect(page.locator("[data-test=inspection-state]")).to_have_text("进行中")

    await page.locator("[data-test=inspection-camera]").filter(has_text="大门").click()
    await expect(page.locator("[data-test=live-canvas]")).not_to_have_attribute("data-frames", "0")
    await page.click("[data-test=picture-take]")
    await expect(page.locator("[data-test=inspection-picture]")).to_have_count(1)
    await draw_box(page)
    await page.fill("[data-test=picture-note]", "大门内裸土未覆盖")
    await page.click("[data-test=picture-item]")
    await page.get_by_role("option", name="裸土").click()
    await page.click("[data-test=marks-save]")
    await expect(page.locator("[data-test=picture-file]")).to_be_enabled()  # once everything is saved
    ((marks, position),) = await told(connection, "SELECT marks, position FROM inspection_picture")
    assert position == 2
    assert [mark["shape"] for mark in marks] == ["box"]
    assert marks[0]["points"] == [pytest.approx([0.3, 0.2], abs=0.01), pytest.approx([0.6, 0.6], abs=0.01)]
    await visit.shot("inspection", full_page=True)

    await page.click("[data-test=picture-file]")
    await expect(page.locator("[data-test=order-title]")).to_have_value("大门内裸土未覆盖")
    await page.click("[data-test=order-person]")
    await page.get_by_role("option").filter(has_text="王安全").first.click()
    await visit.shot("inspection-finding", full_page=True)
    await page.click("[data-test=order-place]")
    await expect(page.locator("[data-test=finding]")).to_contain_text("大门内裸土未覆盖")
    items = page.locator("[data-test=inspection-item]")
    for place in range(6):
        if place != 1:
            await items.nth(place).locator("[data-test=judge-pass]").click()
            await expect(items.nth(place)).to_have_class("pass")
    await expect(items.nth(1)).to_have_class("fail")
    await page.fill("[data-test=inspection-conclusion]", "一项不符合，限期整改。")
    await page.click("[data-test=inspection-finish]")
    await expect(page.locator("[data-test=inspection-state]")).to_have_text("已完成")
    await visit.shot("inspection-finished", full_page=True)

    async with page.context.expect_page() as opened:
        await page.click("[data-test=inspection-report]")
    report = await opened.value
    await expect(report.locator("h1")).to_have_text("远程巡查报告")
    await expect(report.locator("figure img")).to_have_count(1)
    await eventually(lambda: report.locator("figure img").evaluate(LOADED))
    await visit.shot("inspection-report", full_page=True, page=report)
    await report.close()

    await page.set_viewport_size(PHONE)
    await page.goto(visit.origin + "/inspections")
    await expect(page.locator("[data-test=inspection-row]")).to_have_count(1)
    await visit.shot("inspections-phone", full_page=True)


async def test_a_second_window_is_told_that_it_is_behind(visit: Visit, city: World) -> None:
    page = visit.page
    await visit.log_in(at="/inspections")
    await page.get_by_role("button", name="English").click()
    await page.click("[data-test=inspection-new]")
    await page.click("[data-test=inspection-site]")
    await page.get_by_role("option").first.click()
    await page.click("[data-test=inspection-list]")
    await page.get_by_role("option", name="Safety by video").click()
    await page.click("[data-test=inspection-begin]")
    await expect(page.locator("[data-test=inspection-state]")).to_have_text("under way")
    second = await page.context.new_page()
    await second.goto(page.url)
    await expect(second.locator("[data-test=inspection-item]")).to_have_count(7)
    first_item, its_twin = (one.locator("[data-test=inspection-item]").first for one in (page, second))
    await first_item.locator("[data-test=judge-fail]").click()
    await expect(first_item).to_have_class("fail")
    await its_twin.locator("[data-test=judge-pass]").click()
    await expect(second.locator("[data-test=inspection-fault]")).to_be_visible()
    # It shows how things stand now, and nothing was overwritten.
    await expect(its_twin).to_have_class("fail")
    await its_twin.locator("[data-test=judge-pass]").click()
    await expect(its_twin).to_have_class("pass")
    await visit.shot("inspection-en", full_page=True, page=second)
    await second.close()
    visit.faults[:] = [fault for fault in visit.faults if "409" not in fault]
