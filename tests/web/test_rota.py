"""The shift rota on a site's page."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import psycopg
import pytest
from playwright.async_api import expect

from alerts.notices import duty
from tests.api.world import World
from tests.web.conftest import Visit, told

pytestmark = [pytest.mark.needs("browser"), pytest.mark.asyncio(loop_scope="module")]


async def test_who_is_on_duty_now_and_this_week(visit: Visit, city: World, connection: psycopg.AsyncConnection) -> None:
    page, site = visit.page, city.ids["riverside"]
    await visit.log_in(at=f"/sites/{site}")
    panel = page.locator("[data-test=rota]")
    await expect(panel).to_contain_text("没有排班")
    always = {"weekdays": list(range(1, 8)), "starts": time(0), "ends": time(0)}
    today = datetime.now(UTC).astimezone(ZoneInfo("Asia/Shanghai")).date()
    rota = duty.Rota(
        shifts=[duty.Shift.model_validate({"person": "code-officer", **always})],
        # Of the next day too, so that a turn of the day meanwhile finds the same person.
        changes=[
            duty.Change(day=day, person="code-officer", substitute="code-inspector", note="培训")
            for day in (today, today + timedelta(days=1))
        ],
    )
    await duty.save(connection, site, rota, version=0, by="code-operator", at=datetime.now(UTC))
    await page.reload()
    await expect(panel.locator("[data-day]")).to_have_count(7)
    day = panel.locator(f"[data-day='{today}']")
    await expect(day).to_contain_text("00:00–00:00 陈监督 · 替 王安全 · 培训")
    await expect(panel.locator("[data-test=on-duty]")).to_have_text("陈监督")
    await visit.shot("rota")


async def test_the_rota_is_written_on_the_page(visit: Visit, city: World, connection: psycopg.AsyncConnection) -> None:
    page, site = visit.page, city.ids["riverside"]
    yesterday = datetime.now(UTC).astimezone(ZoneInfo("Asia/Shanghai")).date() - timedelta(days=2)
    gone = duty.Change(day=yesterday, person="code-officer", note="病假")
    await duty.save(connection, site, duty.Rota(changes=[gone]), version=0, by="x", at=datetime.now(UTC))
    await visit.log_in(at=f"/sites/{site}")
    panel = page.locator("[data-test=rota]")
    await panel.locator("[data-test=rota-edit]").click()
    editor = panel.locator("[data-test=rota-editor]")
    await editor.locator("[data-test=shift-add]").click()
    shift = editor.locator("[data-test=shift]")
    await shift.locator("[data-weekday='7']").click()
    await shift.locator("[data-weekday='6']").press("Space")
    await shift.locator("[data-test=shift-starts]").fill("18:00")
    await shift.locator("[data-test=shift-ends]").fill("06:00")
    await editor.locator("[data-test=form-send]").click()
    await expect(editor.locator("[data-test=rota-fault]")).to_have_text("请选择人员")
    await shift.locator("[data-test=shift-person]").select_option(label="王安全")
    await editor.locator("[data-test=change-add]").click()
    change = editor.locator("[data-test=change]")
    await change.locator("[data-test=change-kind]").select_option("further")
    await change.locator("[data-test=change-day]").fill("2090-01-02")
    await change.locator("[data-test=change-substitute]").select_option(label="陈监督")
    await change.locator("[data-test=change-starts]").fill("08:00")
    await change.locator("[data-test=change-ends]").fill("12:00")
    await change.locator("[data-test=change-note]").fill("混凝土浇筑")
    await expect(editor.locator("[data-test=rota-fault]")).to_have_count(0)
    await editor.scroll_into_view_if_needed()
    await visit.shot("rota-editor")
    await editor.locator("[data-test=form-send]").dblclick()
    await expect(editor).to_have_count(0)
    await expect(panel.locator("[data-day]").first).to_contain_text("18:00–06:00 王安全")
    ((definition, version),) = await told(connection, "SELECT definition, version FROM rota WHERE site_id = %s", site)
    stored = duty.Rota.model_validate(definition)
    assert version == 2
    assert stored.shifts == [duty.Shift(person="code-officer", weekdays=[1, 2, 3, 4, 5], starts=time(18), ends=time(6))]
    assert [one.day.year for one in stored.changes] == [yesterday.year, 2090]
    assert (stored.changes[1].substitute, stored.changes[1].note) == ("code-inspector", "混凝土浇筑")


async def test_a_rota_that_somebody_else_changed_is_not_overwritten(
    visit: Visit, city: World, connection: psycopg.AsyncConnection
) -> None:
    page, site = visit.page, city.ids["riverside"]
    await page.set_viewport_size({"width": 390, "height": 844})
    await visit.log_in(at="/")
    await page.click("[data-test=language]")
    await page.goto(f"{visit.origin}/sites/{site}")
    panel = page.locator("[data-test=rota]")
    await panel.locator("[data-test=rota-edit]").click()
    editor = panel.locator("[data-test=rota-editor]")
    await editor.locator("[data-test=shift-add]").click()
    await editor.locator("[data-test=shift-person]").select_option("code-officer")
    shift = duty.Shift(person="code-inspector", weekdays=[1], starts=time(8), ends=time(9))
    await duty.save(connection, site, duty.Rota(shifts=[shift]), version=0, by="x", at=datetime.now(UTC))
    for _ in range(2):
        await editor.locator("[data-test=form-send]").click()
        await expect(editor.locator("[data-test=rota-refusal]")).to_contain_text("Somebody else has changed the rota")
    await editor.scroll_into_view_if_needed()
    await visit.shot("rota-editor-phone")
    ((version,),) = await told(connection, "SELECT version FROM rota")
    assert version == 1
    await editor.locator("[data-test=form-cancel]").click()
    await panel.locator("[data-test=rota-edit]").click()
    await expect(panel.locator("[data-test=shift-person]")).to_have_value("code-inspector")
    visit.faults[:] = [fault for fault in visit.faults if "409" not in fault]


async def test_who_may_not_change_the_rota_is_not_offered_it(visit: Visit, city: World) -> None:
    await visit.log_in("inspector", at=f"/sites/{city.ids['riverside']}")
    await expect(visit.page.locator("[data-test=rota]")).to_contain_text("没有排班")
    assert await visit.page.locator("[data-test=rota-edit]").count() == 0
