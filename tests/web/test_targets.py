"""Regulators on the page: how they stand, switched off with a reason, tested by the delivery worker's own code."""

from __future__ import annotations

import psycopg
import pytest
from playwright.async_api import expect

from core.clock import SystemClock
from core.settings import AlertsSettings, Settings
from tests.alerts.outgoing import delivering, target
from tests.api.world import World
from tests.support.ports import free_port
from tests.web.conftest import Visit
from tests.web.test_accessibility import serious

pytestmark = [pytest.mark.needs("browser"), pytest.mark.asyncio(loop_scope="module")]

LONG_MS = 120_000


@pytest.fixture
def settings(settings: Settings) -> Settings:
    targets = [
        target("https://nowhere.invalid", timeout_s=20),
        target(f"http://127.0.0.1:{free_port()}", name="city", adapter="alertmanager", timeout_s=20, per_minute=30),
    ]
    return settings.model_copy(update={"alerts": AlertsSettings(targets=targets)})


async def test_a_regulator_is_switched_off_with_a_reason_and_tested(
    visit: Visit, city: World, connection: psycopg.AsyncConnection, settings: Settings
) -> None:
    page = visit.page
    await visit.log_in("operator")
    # It is all that an operator administers.
    await page.click("header a[href='/administration']")
    panel = page.locator("[data-test=target-bureau]")
    await expect(panel.locator("[data-test=target-state]")).to_contain_text("尚未调用")
    await page.click("[data-test=switch-bureau]")
    await page.click("[data-test=form-send]")
    await expect(panel.locator("[data-test=field-fault]")).to_be_visible()
    await page.fill("[data-test=switch-reason]", "局方平台升级至周五")
    await page.dblclick("[data-test=form-send]")
    await expect(panel.locator("[data-test=target-off]")).to_contain_text("局方平台升级至周五")
    await expect(panel.locator("[data-test=target-off]")).to_contain_text("李操作 于")
    cursor = await connection.execute("SELECT count(*) FROM audit WHERE action = 'target.off'")
    assert await cursor.fetchone() == (1,)

    await page.click("[data-test=test-bureau]")
    await expect(panel.locator("[data-test=test-state]")).to_contain_text("等待告警进程")
    await page.click("[data-test=test-city]")
    async with delivering(settings, SystemClock()):
        await expect(panel.locator("[data-test=test-step]").last).to_contain_text(
            "无法解析域名 nowhere.invalid", timeout=LONG_MS
        )
        other = page.locator("[data-test=target-city]")
        await expect(other.locator("[data-test=test-step]").last).to_contain_text("无法连接", timeout=LONG_MS)
    await visit.shot("targets", full_page=True)
    assert await serious(page) == []

    # Somebody else switches it on while the form is open: what was read is stale, and the page tells so.
    await page.click("[data-test=switch-bureau]")
    await connection.execute("UPDATE target_state SET off_since = NULL, switched_by = 'else', switch_reason = 'done'")
    await page.fill("[data-test=switch-reason]", "升级完成")
    await page.click("[data-test=form-send]")
    await expect(panel.locator("[data-test=form-failure]")).to_be_visible()
    await expect(panel.locator("[data-test=target-off]")).to_have_count(0)
    # A refusal is the answer wanted here; the browser notes it as an error of the console.
    assert len(visit.faults) == 1
    assert "412" in visit.faults.pop()


async def test_a_phone_shows_it_in_english(
    visit: Visit, city: World, connection: psycopg.AsyncConnection, settings: Settings
) -> None:
    page = visit.page
    await page.set_viewport_size({"width": 390, "height": 844})
    await visit.log_in("operator")
    await page.click("[data-test=language]")
    await page.goto(f"{visit.origin}/administration/targets")
    panel = page.locator("[data-test=target-bureau]")
    await page.click("[data-test=switch-bureau]")
    await page.fill("[data-test=switch-reason]", "maintenance of their platform until Friday")
    await page.click("[data-test=form-send]")
    await expect(panel.locator("[data-test=target-off]")).to_contain_text("Switched off since")
    await expect(panel.locator("[data-test=target-off]")).to_contain_text("by Li Operator: maintenance")
    await page.click("[data-test=test-bureau]")
    await expect(panel.locator("[data-test=test-asked]")).to_contain_text("by Li Operator")
    async with delivering(settings, SystemClock()):
        await expect(panel.locator("[data-test=test-step]").last).to_contain_text("was not found", timeout=LONG_MS)
    await visit.shot("targets-phone", full_page=True)
    assert await page.evaluate("document.documentElement.scrollWidth") <= 390
    assert await serious(page) == []
    # Its alert's page tells why nothing goes out.
    await city.delivery(city.ids["dust"], "pending", phase="end")
    await page.goto(f"{visit.origin}/alerts/{city.ids['dust']}")
    await expect(page.locator("[data-test=delivery-off]").first).to_contain_text("the regulator is switched off since")
    await page.locator("[data-test=delivery-off]").first.scroll_into_view_if_needed()
    await visit.shot("targets-alert-phone")
    assert await serious(page) == []
