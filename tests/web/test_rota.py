"""The shift rota on a site's page."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import psycopg
import pytest
from playwright.async_api import expect

from alerts.notices import duty
from tests.api.world import World
from tests.web.conftest import Visit

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
