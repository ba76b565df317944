"""Mutes and permits on a site's page: listed, begun and ended by who may, faults told at their fields."""

from __future__ import annotations

import psycopg
import pytest
from playwright.async_api import expect

from tests.api.world import World
from tests.web.conftest import Visit, told

pytestmark = [pytest.mark.needs("browser"), pytest.mark.asyncio(loop_scope="module")]


async def test_rules_of_a_site_are_muted_and_told_again(
    visit: Visit, city: World, connection: psycopg.AsyncConnection
) -> None:
    page = visit.page
    await visit.log_in(at=f"/sites/{city.ids['riverside']}")
    panel = page.locator("[data-test=mutes]")
    await expect(panel).to_contain_text("没有静默")
    await panel.locator("[data-test=mute-add]").press("Enter")
    await expect(panel.locator("[data-test=mute-rule]")).to_be_focused()
    await panel.locator("[data-test=mute-rule]").fill("PM10 超标")
    await panel.locator("[data-test=mute-until]").fill("2026-01-01T08:00")
    await page.keyboard.press("Enter")
    await expect(panel.locator("[data-test=field-fault]")).to_have_count(3)
    await panel.locator("[data-test=mute-add]").click()
    await panel.locator("[data-test=mute-add]").click()
    await panel.locator("[data-test=mute-rule]").fill("pm10-*")
    await panel.locator("[data-test=mute-reason]").fill("网关更换")
    await panel.locator("[data-test=mute-aim]").select_option(f"device:{city.ids['dust-riverside']}")
    await panel.locator("[data-test=form-send]").dblclick()
    row = panel.locator("[data-test=mute]")
    await expect(row).to_have_count(1)
    await expect(row).to_contain_text("pm10-*")
    aim = await told(connection, "SELECT name FROM device WHERE id = %s", city.ids["dust-riverside"])
    await expect(row).to_contain_text(f"{aim[0][0]} · 网关更换 · 李操作")
    await expect(row).to_contain_text("生效中")
    await row.locator("[data-test=mute-end]").click()
    await visit.shot("mutes")
    await row.locator("[data-test=form-send]").press("Enter")
    await expect(row).to_have_count(0)
    rows = await told(connection, "SELECT rule, made_by, ended_by, ends_at <= now(), device_id FROM mute")
    assert rows == [("pm10-*", "code-operator", "code-operator", True, city.ids["dust-riverside"])]


async def test_a_permit_is_entered_by_the_sites_clock_and_withdrawn(
    visit: Visit, city: World, connection: psycopg.AsyncConnection
) -> None:
    page = visit.page
    await visit.log_in()
    await page.click("[data-test=language]")
    await page.goto(f"{visit.origin}/sites/{city.ids['riverside']}")
    panel = page.locator("[data-test=permits]")
    for reference in ("YS-31", "YS-31"):
        await panel.locator("[data-test=permit-add]").click()
        await panel.locator("[data-test=permit-reference]").fill(reference)
        await panel.locator("[data-test=permit-starts]").fill("2090-08-01T22:00")
        await panel.locator("[data-test=permit-ends]").fill("2090-08-01T21:00")
        await panel.locator("[data-test=form-send]").click()
        await expect(panel.locator("[data-test=field-fault]")).to_have_text("must be after the start")
        await panel.locator("[data-test=permit-ends]").fill("2090-08-02T06:00")
        await panel.locator("[data-test=form-send]").click()
        await expect(panel.locator("[data-test=permit]")).to_have_count(1)
        await expect(panel.locator("[data-test=field-fault]", has_text="after the start")).to_have_count(0)
    await expect(panel.locator("[data-test=field-fault]")).to_have_text("this number is entered for this site already")
    await visit.shot("permits")
    await panel.locator("[data-test=permit-reference]").press("Escape")
    await expect(panel.locator("[data-test=permit]")).to_contain_text("Night work")
    await expect(panel.locator("[data-test=permit]")).to_contain_text("to come")
    await panel.locator("[data-test=permit-withdraw]").click()
    await panel.locator("[data-test=permit] [data-test=form-send]").click()
    await expect(panel).to_contain_text("No permit is in force")
    rows = await told(
        connection,
        "SELECT kind, enabled, to_char(starts_at AT TIME ZONE 'Asia/Shanghai', 'DD HH24:MI'),"
        " ends_at - starts_at = interval '8 hours' FROM permit WHERE reference = 'YS-31'",
    )
    assert rows == [("night_work", False, "01 22:00", True)]
    # The browser itself reports the refusal; nothing else may stand in the console.
    visit.faults[:] = [fault for fault in visit.faults if "409" not in fault]


async def test_who_may_not_reads_them_only(visit: Visit, city: World, connection: psycopg.AsyncConnection) -> None:
    await connection.execute(
        "INSERT INTO mute (site_id, rule, starts_at, ends_at, reason, made_by)"
        " VALUES (NULL, '*', now(), now() + interval '1 hour', 'drill', 'code-operator')"
    )
    await visit.log_in("officer", at=f"/sites/{city.ids['riverside']}")
    await expect(visit.page.locator("[data-test=mute]")).to_contain_text("全部工地")
    await expect(visit.page.locator("[data-test=permits]")).to_contain_text("没有有效的许可")
    offered = "[data-test=mute-add], [data-test=mute-end], [data-test=permit-add], [data-test=permit-withdraw]"
    assert await visit.page.locator(offered).count() == 0
