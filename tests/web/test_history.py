"""A device's past on the page: chosen, zoomed, compared, and taken away as files."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import cv2
import psycopg
import pytest
from playwright.async_api import expect

from sensors.profiles import load_profiles
from sensors.tables import maintain
from tests.api.world import World
from tests.web.conftest import Visit

pytestmark = [pytest.mark.needs("browser"), pytest.mark.asyncio(loop_scope="module")]

PROFILES = {"dust": load_profiles()["dust"]}


async def fill(connection: psycopg.AsyncConnection, world: World) -> None:
    """Thirty days of readings each ten minutes before the two hours that the city has."""
    await maintain(connection, PROFILES, world.now)
    for code, level in (("dust-riverside", 100), ("dust-metro", 60)):
        await connection.execute(
            "INSERT INTO reading_dust (device_id, time, flags, pm10, laeq) SELECT %(id)s, moment, 0, "
            "%(level)s + 30 * sin(extract(epoch FROM moment) / 86400 * 6.2832), 58 "
            "FROM generate_series(%(from)s, %(to)s, interval '10 min') AS moment",
            {
                "id": world.ids[code],
                "level": level,
                "from": world.now - timedelta(days=30),
                "to": world.now - timedelta(hours=3),
            },
        )


async def test_a_past_is_looked_at_from_minutes_to_a_month(
    visit: Visit, city: World, connection: psycopg.AsyncConnection, tmp_path: Path
) -> None:
    await fill(connection, city)
    page = visit.page
    await visit.log_in(at=f"/sites/{city.ids['riverside']}")
    await page.locator(f"[data-device='{city.ids['dust-riverside']}'] [data-test=history]").click()
    chart = page.locator("[data-test=history-chart][data-channel=pm10]")
    await expect(chart).to_have_attribute("data-source", "raw")
    day = await chart.get_attribute("data-points")
    assert day
    await page.get_by_text("30 天", exact=True).click()
    # Until the month has come the curve is that of the day, and dragging over it chooses a part of that.
    await expect(chart).not_to_have_attribute("data-points", day)

    def span() -> tuple[int, int]:
        query = parse_qs(urlsplit(page.url).query)
        return int(query["from"][0]), int(query["to"][0])

    await page.wait_for_function("new URL(location.href).searchParams.get('from') < Date.now() - 29 * 86400000")
    whole = span()
    # Dragging over the curve zooms to what was dragged over; the way back is remembered.
    area = chart.locator("[role=img]")
    box = await area.bounding_box()
    assert box is not None
    await page.mouse.move(box["x"] + 0.4 * box["width"], box["y"] + 100)
    await page.mouse.down()
    await page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 100, steps=5)
    await page.mouse.up()
    await page.wait_for_function(f"Number(new URL(location.href).searchParams.get('from')) > {whole[0]}")
    part = span()
    assert 5 <= (part[1] - part[0]) / 86_400_000 <= 7.5
    assert whole[0] < part[0] < part[1] < whole[1]
    await page.click("[data-test=history-undo]")
    await page.wait_for_function(f"Number(new URL(location.href).searchParams.get('from')) == {whole[0]}")

    await page.locator("[data-test=history-channel]").filter(has_text="噪声").first.click()
    await expect(page.locator("[data-test=history-chart]")).to_have_count(2)
    await page.click("[data-test=history-compare]")
    await page.get_by_role("option").filter(has_text="枢纽").first.click()
    await expect(chart).not_to_have_attribute("data-compared", "0")
    await visit.shot("history", full_page=True)

    async with page.expect_download() as csv:
        await page.click("[data-test=history-csv]")
    await (await csv.value).save_as(tmp_path / "history.csv")
    lines = (tmp_path / "history.csv").read_text(encoding="utf-8-sig").splitlines()
    assert lines[0].startswith("site,")
    assert len(lines) > 500
    async with page.expect_download() as png:
        await page.click("[data-test=history-png]")
    await (await png.value).save_as(tmp_path / "history.png")
    picture = cv2.imread(str(tmp_path / "history.png"))
    assert picture is not None
    assert picture.shape[1] > 1000

    # The address alone shows the same to whoever gets it.
    await page.reload()
    await expect(page.locator("[data-test=history-chart]")).to_have_count(2)
    await expect(chart).not_to_have_attribute("data-compared", "0")
    assert span() == whole
    await page.click("[data-test=language]")
    await page.set_viewport_size({"width": 390, "height": 844})
    await visit.shot("history-phone-en", full_page=True)


async def test_a_device_that_is_not_there_says_so(visit: Visit) -> None:
    await visit.log_in(at="/devices/999999")
    await expect(visit.page.get_by_text("没有这台设备")).to_be_visible()
