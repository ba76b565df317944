"""Zones drawn on a camera's picture: by mouse, by keyboard on a phone, and what is refused."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from playwright.async_api import Page, expect

from tests.api.world import World
from tests.web.conftest import Visit, told
from tests.web.test_accessibility import serious

pytestmark = [pytest.mark.needs("browser"), pytest.mark.asyncio(loop_scope="module")]

CODE = "gate-riverside"


async def stored(connection: psycopg.AsyncConnection) -> Any:
    ((options,),) = await told(connection, "SELECT options FROM camera WHERE code = %s", CODE)
    return options


async def drag(page: Page, corner: int, to: tuple[float, float]) -> None:
    """Drag a corner to a place in shares of the picture."""
    box = await page.locator("[data-test=zone-frame]").bounding_box()
    assert box is not None
    await page.locator(f"[data-test=zone-corner-{corner}]").hover()
    await page.mouse.down()
    await page.mouse.move(box["x"] + to[0] * box["width"], box["y"] + to[1] * box["height"], steps=4)
    await page.mouse.up()


async def test_a_zone_is_drawn_by_mouse_and_one_that_crosses_itself_is_refused(
    visit: Visit, city: World, connection: psycopg.AsyncConnection
) -> None:
    page = visit.page
    await city.person("chief", "leader", sites=None)
    await connection.execute("UPDATE camera SET options = '{\"fps\": 1}' WHERE code = %s", [CODE])
    await visit.log_in("chief", at="/administration/cameras")
    await page.locator(f"[data-test='zones-riverside/{CODE}']").click()
    await expect(page.locator("[data-test=zone-picture]")).to_be_visible()
    await page.locator("[data-test=zone-add]").click()
    await page.locator("[data-test=zone-name]").fill("大门口")
    await drag(page, 0, (0.9, 0.6))
    await expect(page.locator("[data-test=zone-fault]")).to_contain_text("自相交")
    await visit.shot("zones-crossing")
    await page.locator("[data-test=form-send]").click()
    assert await stored(connection) == {"fps": 1}, "what crosses itself is not sent"

    await drag(page, 0, (0.1, 0.2))
    await expect(page.locator("[data-test=zone-fault]")).to_have_count(0)
    await page.locator("[data-test=zone-side-1]").click()
    await page.locator("[data-test=zone-add]").click()
    await page.locator("[data-test=zone-use]").select_option("post")
    await page.locator("[data-test=zone-absent] input").fill("120")
    await visit.shot("zones")
    await page.locator("[data-test=form-send]").dblclick()
    await expect(page.locator("[data-test=zone-frame]")).to_have_count(0)
    options = await stored(connection)
    assert options["fps"] == 1
    gate, post = options["zones"]
    assert (gate["name"], gate["use"], len(gate["polygon"])) == ("大门口", "include", 5)
    assert gate["polygon"][0] == pytest.approx([0.1, 0.2], abs=0.01)
    assert (post["use"], post["absent_s"]) == ("post", 120)
    rows = await told(connection, "SELECT count(*) FROM audit WHERE action = 'camera.change'")
    assert rows == [(1,)]


async def test_a_zone_is_drawn_by_keyboard_on_a_phone(
    visit: Visit, city: World, connection: psycopg.AsyncConnection
) -> None:
    page = visit.page
    await city.person("chief", "leader", sites=None)
    await page.set_viewport_size({"width": 390, "height": 844})
    await visit.log_in("chief")
    await page.click("[data-test=language]")
    await page.goto(f"{visit.origin}/administration/cameras")
    await page.locator(f"[data-test='zones-riverside/{CODE}']").press("Enter")
    await expect(page.locator("[data-test=zone-picture]")).to_be_visible()
    await page.locator("[data-test=zone-add]").press("Enter")
    await page.locator("[data-test=zone-use]").select_option("forbidden")
    corner = page.locator("[data-test=zone-corner-2]")
    await corner.press("Shift+ArrowDown")
    await corner.press("ArrowRight")
    await page.locator("[data-test=zone-side-0]").press("Enter")
    await page.locator("[data-test=zone-corner-1]").press("Delete")
    assert await page.evaluate("document.documentElement.scrollWidth") <= 390
    assert await serious(page) == []
    await visit.shot("zones-phone")
    await page.locator("[data-test=form-send]").press("Enter")
    await expect(page.locator("[data-test=zone-frame]")).to_have_count(0)
    (zone,) = (await stored(connection))["zones"]
    assert zone == {
        "name": "Zone 1",
        "use": "forbidden",
        "polygon": [[0.3, 0.3], [0.7, 0.3], [0.705, 0.75], [0.3, 0.7]],
    }
