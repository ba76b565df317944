"""axe on every page, in both languages and on a phone: nothing serious that shuts somebody out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.api.world import World
from tests.web.conftest import Visit

pytestmark = [pytest.mark.needs("browser"), pytest.mark.asyncio(loop_scope="module")]

AXE = Path(__file__).parents[2] / "web" / "node_modules" / "axe-core" / "axe.min.js"
RUN = """async (where) => {
  const found = await axe.run(where, { resultTypes: ['violations'] })
  return found.violations.map(({ id, impact, nodes }) => ({
    id, impact, where: nodes.slice(0, 3).map((node) => `${node.target.join(' ')}: ${node.failureSummary}`),
  }))
}"""
PHONE = {"width": 390, "height": 844}


async def serious(page: Page, where: str = "html") -> list[dict[str, Any]]:
    """What axe finds below an element that shuts somebody out."""
    # A message that is fading away has colours of its own.
    await expect(page.locator(".el-message")).to_have_count(0)
    await page.evaluate(AXE.read_text(encoding="utf-8"))
    found = await page.evaluate(RUN, where)
    return [one for one in found if one["impact"] in ("serious", "critical")]


async def test_the_log_in_shuts_nobody_out(visit: Visit) -> None:
    await visit.page.goto(visit.origin + "/login")
    await visit.page.wait_for_selector("input[name=login]")
    assert await serious(visit.page) == []


@pytest.mark.parametrize(("language", "phone"), [("zh", False), ("en", True)])
async def test_no_page_shuts_anybody_out(visit: Visit, city: World, language: str, phone: bool) -> None:
    page = visit.page
    await visit.log_in()
    if language == "en":
        await page.click("[data-test=language]")
    if phone:
        await page.set_viewport_size(PHONE)
    site, device, camera = (city.ids[code] for code in ("riverside", "dust-riverside", "gate-riverside"))
    order = await city.order("riverside", "officer")
    inspection = await city.inspection("riverside", "code-operator")
    pages = {
        "/": "[data-test=counters], canvas, .leaflet-container",
        f"/sites/{site}": "[data-test=device]",
        f"/devices/{device}": "[data-test=history-chart]",
        "/alerts": "[data-test=alert-row]",
        f"/alerts/{city.ids['dust']}": "[data-test=alert-detail]",
        "/rectifications": "[data-test=order-row]",
        f"/rectifications/{order}": "[data-test=order-event], [data-test=page-title]",
        "/inspections": "[data-test=inspection-row]",
        f"/inspections/{inspection}": "[data-test=inspection-item]",
        "/reports": "h1",
        f"/cameras/{camera}": "[data-test=live-canvas]",
        "/wall": "[data-test=wall-tile]",
        "/mine": "[data-test=mine-site]",
        "/administration": "h1",
        "/account": "[data-test=own-begin]",
        "/system": "h1, h2",
    }
    faults = {}
    for path, sign in pages.items():
        await page.goto(visit.origin + path)
        await page.locator(sign).first.wait_for(state="visible")
        if found := await serious(page):
            faults[path] = found
    assert not faults, json.dumps(faults, indent=1, ensure_ascii=False)
