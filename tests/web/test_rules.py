"""Rules on the page: written with a reason and taken up by the running engine, tried on history, given back."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import psycopg
import pytest
import pytest_asyncio
from playwright.async_api import expect

from alerts.service import serve
from core.settings import Settings
from tests.api.world import World
from tests.web.conftest import Visit, told
from tests.web.test_accessibility import serious

pytestmark = [pytest.mark.needs("browser"), pytest.mark.asyncio(loop_scope="module")]

RULE = "pm10-hour-warning"
LONG_MS = 60_000


@contextlib.asynccontextmanager
async def engine(settings: Settings) -> AsyncIterator[None]:
    """The alerts process."""
    stop = asyncio.Event()
    running = asyncio.create_task(serve(settings, stop))
    try:
        yield
    finally:
        stop.set()
        await running


@pytest_asyncio.fixture(autouse=True, loop_scope="module")
async def chief(city: World) -> None:
    """Who may write rules."""
    await city.person("leader", "leader", sites=None, name="周建国", name_en="Zhou Jianguo")


async def test_a_rule_is_changed_taken_up_and_given_back(
    visit: Visit, city: World, connection: psycopg.AsyncConnection, settings: Settings
) -> None:
    page = visit.page
    async with engine(settings):
        await visit.log_in("leader", at="/administration/rules")
        await page.fill("[data-test=rule-look]", "pm10-hour")
        row = page.locator("[data-test=rule]", has_text=RULE)
        await expect(row.locator("[data-test=rule-state]")).to_contain_text("执行中")
        await visit.shot("rules")
        assert await serious(page) == []
        await page.click(f"[data-test=rule-{RULE}]")
        text = page.locator("[data-test=rule-text]")
        await expect(page.locator("[data-test=rule-does]")).to_contain_text(RULE)
        await page.fill("[data-test=set-raise_above]", "233")
        await page.press("[data-test=set-raise_above]", "Tab")
        assert "raise_above = 233" in await text.input_value()
        # A fault is told with its line while it is typed, and keeps the text from being saved.
        good = await text.input_value()
        await text.fill(good.replace("µg/m³", "mg/m³"))
        problem = page.locator("[data-test=rule-problem]")
        await expect(problem).to_contain_text("mg/m³")
        await visit.shot("rule-fault")
        await page.fill("[data-test=rule-reason]", "按新标准收严")
        await page.click("[data-test=form-send]")
        assert await told(connection, "SELECT 1 FROM rule_written") == []
        await text.fill(good)
        await expect(problem).to_have_count(0)
        await page.dblclick("[data-test=form-send]")
        await expect(page.locator("[data-test=rule-reason]")).to_have_count(0)
        assert await told(connection, "SELECT revision, written_by FROM rule_written") == [(1, "code-leader")]
        await expect(page.locator("[data-test=rule-force]")).to_contain_text("第 2 版", timeout=LONG_MS)
        await page.click("[data-test=rule-part-history]")
        await expect(page.locator("[data-test=rule-revision]").first).to_contain_text("周建国")
        await page.click("[data-test=diff-1]")
        await expect(page.locator("[data-test=rule-diff] .new")).to_have_text("+ raise_above = 233")
        await visit.shot("rule-history")
        assert await serious(page) == []
        await page.click("[data-test=rule-part-text]")
        await page.click("[data-test=rule-withdraw]")
        await page.fill("[data-test=rule-reason]", "恢复")
        await page.click("[data-test=form-send]")
        await expect(page.locator("[data-test=rule-withdraw]")).to_have_count(0)
        await expect(page.locator("[data-test=rule-force]")).to_contain_text("第 3 版", timeout=LONG_MS)
        assert (await told(connection, "SELECT count(*) FROM audit WHERE action IN ('rule.write', 'rule.withdraw')"))[
            0
        ] == (2,)


async def test_of_two_who_change_one_rule_the_second_sees_what_the_first_wrote(
    visit: Visit, city: World, connection: psycopg.AsyncConnection
) -> None:
    page = visit.page
    await visit.log_in("leader", at="/administration/rules")
    await page.click(f"[data-test=rule-{RULE}]")
    text = page.locator("[data-test=rule-text]")
    await expect(page.locator("[data-test=rule-does]")).to_contain_text(RULE)
    before = await text.input_value()
    await page.fill("[data-test=set-raise_above]", "233")
    await page.press("[data-test=set-raise_above]", "Tab")
    await connection.execute(
        "INSERT INTO rule_written VALUES (%s, 1, %s, '先行一步', 'code-integrator', now())", [RULE, before + "# x\n"]
    )
    overtaken = page.locator("[data-test=rule-overtaken]")
    # Nobody is registered under this code any more.
    await expect(overtaken).to_contain_text("code-integrator 已先修改了此规则（先行一步）")
    await visit.shot("rule-overtaken")
    assert "raise_above = 233" in await text.input_value()
    # Leaving asks before anything is lost.
    await page.keyboard.press("Escape")
    await page.locator(".el-message-box").get_by_role("button", name="取消").click()
    await page.click("[data-test=rule-rebase]")
    await page.fill("[data-test=rule-reason]", "收严")
    await page.click("[data-test=form-send]")
    await expect(page.locator("[data-test=rule-reason]")).to_have_count(0)
    assert await told(connection, "SELECT revision, written_by FROM rule_written ORDER BY 1") == [
        (1, "code-integrator"),
        (2, "code-leader"),
    ]


async def test_a_new_rule_is_tried_on_history_and_made_on_a_phone(
    visit: Visit, city: World, connection: psycopg.AsyncConnection, settings: Settings
) -> None:
    page = visit.page
    await page.set_viewport_size({"width": 390, "height": 844})
    (device,) = await told(connection, "SELECT d.id FROM device d WHERE d.kind = 'dust' ORDER BY d.id LIMIT 1")
    await connection.execute(
        """INSERT INTO reading_dust (device_id, time, flags, pm10)
           SELECT %s, now() - interval '2 days' + make_interval(mins => n), 0,
                  CASE WHEN n %% 20 < 5 THEN 300 ELSE 100 END
           FROM generate_series(0, 1000) AS n ON CONFLICT DO NOTHING""",
        [device[0]],
    )
    async with engine(settings):
        await visit.log_in("leader", at="/administration/rules")
        await page.click("[data-test=language]")
        await page.click("[data-test=rule-new]")
        await expect(page.locator("[data-test=rule-does]")).to_contain_text("own-rule")
        await page.click("[data-test=rule-part-trial]")
        await page.click("[data-test=trial-ask]")
        await expect(page.locator("[data-test=trial-drafted]")).to_be_visible(timeout=LONG_MS)
        await expect(page.locator("[data-test=trial-alert]").first).to_contain_text("300")
        await visit.shot("rule-trial-phone", full_page=True)
        assert await page.evaluate("document.documentElement.scrollWidth") <= 390
        assert await serious(page) == []
        assert await told(connection, "SELECT 1 FROM rule_written") == []
        await page.click("[data-test=rule-part-text]")
        await page.fill("[data-test=set-raise_above]", "160")
        await page.press("[data-test=set-raise_above]", "Tab")
        await page.fill("[data-test=rule-reason]", "pilot")
        await page.click("[data-test=form-send]")
        await expect(page.locator("[data-test=rule-force]")).to_contain_text("in force", timeout=LONG_MS)
        await visit.shot("rule-phone", full_page=True)
    assert await told(connection, "SELECT rule, revision FROM rule_written") == [("own-rule", 1)]
