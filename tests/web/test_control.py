"""The downlink on the page: what was given and decided, giving a command, taking a device over; who may not."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import psycopg
import pytest
from playwright.async_api import Route, expect

from core.clock import micros
from sensors import commands
from sensors.commands import Reply
from tests.api.world import World
from tests.web.conftest import Visit

# One loop for all tests of the file, since they share the browser.
pytestmark = [pytest.mark.needs("browser"), pytest.mark.asyncio(loop_scope="module")]


async def newest(connection: psycopg.AsyncConnection, device: int) -> tuple[int, str, dict[str, object], str]:
    row = await (
        await connection.execute(
            "SELECT id, name, arguments, requested_by FROM command WHERE device_id = %s ORDER BY id DESC LIMIT 1",
            [device],
        )
    ).fetchone()
    assert row is not None
    return row


async def test_a_command_is_confirmed_given_and_followed_to_its_reply(
    visit: Visit, city: World, connection: psycopg.AsyncConnection
) -> None:
    page, device = visit.page, city.ids["spray-riverside"]
    await visit.log_in(at=f"/sites/{city.ids['riverside']}")
    panel = page.locator(f"[data-control='{device}']")
    await expect(panel.locator("[data-test=automatic]")).to_contain_text("扬尘喷淋联动 开启中")
    given = panel.locator("[data-test=command]")
    await expect(given).to_have_count(2)
    await expect(given.nth(0)).to_contain_text(re.compile("开启喷淋.*联动 扬尘喷淋联动.*0.4 秒.*已执行", re.DOTALL))
    await expect(given.nth(1)).to_contain_text(
        re.compile("王安全.*已过期.*没有联系上设备: RabbitMQ 没有接收", re.DOTALL)
    )

    await panel.locator("[data-order=spray_on]").click()
    await expect(panel.locator("[data-test=order]")).to_contain_text("确认执行“开启喷淋”：1 号雾炮？")
    await expect(panel.locator("[data-test=order]")).to_contain_text("自动联动暂停 30 分钟")
    minutes = panel.locator("input[data-argument=minutes]")
    for wrong, fault in {"500": "应为 0.1–120\u202fmin", "five": "不是数字"}.items():
        await minutes.fill(wrong)
        await panel.locator("[data-test=form-send]").click()
        await expect(panel.locator("[data-test=field-fault]")).to_have_text(fault)
    await minutes.fill("5")
    await panel.locator("[data-test=form-send]").click()
    await expect(given.first.locator("[data-test=command-state]")).to_have_text("排队中")
    await expect(given.first).to_contain_text(re.compile("时长 5.*人工 李操作", re.DOTALL))
    number, *rest = await newest(connection, device)
    assert rest == ["spray_on", {"minutes": 5}, "code-operator"]
    reply = Reply(id=number, ok=False, detail="no water")
    await commands.settle(connection, [(device, reply, micros(datetime.now(UTC)))])
    await expect(given.first.locator("[data-test=command-state]")).to_have_text("失败")
    await expect(given.first).to_contain_text("设备拒绝 · no water")


async def test_a_device_is_taken_over_and_given_back(visit: Visit, city: World) -> None:
    page, device = visit.page, city.ids["spray-riverside"]
    await visit.log_in("officer", at=f"/sites/{city.ids['riverside']}")
    panel = page.locator(f"[data-control='{device}']")
    await panel.locator("[data-test=take-over]").click()
    await expect(panel.locator("[data-test=automatic]")).to_contain_text(re.compile(r"暂停至 \d\d:\d\d：王安全已接管"))
    await panel.locator("[data-test=give-back]").click()
    await expect(panel.locator("[data-test=automatic]")).to_contain_text("开启中")


async def test_what_linkages_decided_is_told_in_english_and_no_role_without_the_right_switches(
    visit: Visit, city: World
) -> None:
    page = visit.page
    await visit.log_in("inspector", at=f"/sites/{city.ids['riverside']}")
    await page.click("[data-test=language]")
    decisions = page.locator("[data-test=decision]")
    await expect(decisions).to_have_count(2)
    await expect(decisions.nth(0)).to_contain_text(re.compile("On.*Fog cannon 1 for PM10 over the limit", re.DOTALL))
    await expect(decisions.nth(1)).to_contain_text(re.compile("Withheld.*it rests until", re.DOTALL))
    await expect(page.locator("[data-test=control]")).to_contain_text("the device was not reached")
    assert await page.locator("[data-order], [data-test=take-over], [data-test=give-back]").count() == 0
    await decisions.nth(0).get_by_role("link").click()
    await expect(page.locator("[data-test=alert-detail]")).to_contain_text("PM10 over the limit")


async def test_a_refusal_stands_where_it_was_asked(visit: Visit, city: World) -> None:
    page, device = visit.page, city.ids["spray-riverside"]

    async def refuse(route: Route) -> None:
        fault = {"field": "body.arguments.minutes", "message": "must be at most 1 min"}
        error = {"code": "invalid_input", "message": "the request does not fit", "hint": "", "fields": [fault]}
        await route.fulfill(status=422, json={"error": error})

    await page.route(f"**/devices/{device}/commands", refuse)
    await visit.log_in(at=f"/sites/{city.ids['riverside']}")
    await page.click("[data-test=language]")
    panel = page.locator(f"[data-control='{device}']")
    await panel.locator("[data-order=spray_on]").click()
    await panel.locator("input[data-argument=minutes]").fill("100")
    await panel.locator("[data-test=form-send]").click()
    await expect(panel.locator("[data-test=field-fault]")).to_have_text("must be 0.1–120\u202fmin")
    await expect(panel.get_by_text("Invalid input")).to_be_visible()
    await panel.locator("[data-test=form-cancel]").click()
    await expect(panel.locator("[data-test=order]")).to_have_count(0)
    # The browser itself reports the refusal; nothing else may stand in the console.
    visit.faults[:] = [fault for fault in visit.faults if "422" not in fault]
