"""What is done to an alert on the page: severity and end by hand, a mute, an order, deliveries taken up again."""

from __future__ import annotations

import psycopg
import pytest
from playwright.async_api import expect

from core.settings import AlertsSettings, ApiSettings, Settings, TargetSettings
from tests.api.world import World
from tests.web.conftest import Visit, told

pytestmark = [pytest.mark.needs("browser"), pytest.mark.asyncio(loop_scope="module")]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    city = TargetSettings(name="city", url="http://127.0.0.1:9", requires=[])
    return settings.model_copy(update={"api": ApiSettings(port=0), "alerts": AlertsSettings(targets=[city])})


async def test_severity_and_end_by_hand_with_the_keyboard(
    visit: Visit, city: World, connection: psycopg.AsyncConnection
) -> None:
    page, number = visit.page, city.ids["dust"]
    await visit.log_in(at=f"/alerts/{number}")
    detail = page.locator("[data-test=alert-detail]")
    await detail.locator("[data-measure=severity]").press("Enter")
    await expect(page.locator("[data-test=new-severity]")).to_be_focused()
    await page.keyboard.press("Escape")
    await expect(page.locator("[data-test=new-severity]")).to_have_count(0)
    await detail.locator("[data-measure=severity]").press("Enter")
    await page.locator("[data-test=new-severity]").select_option("critical")
    await page.locator("[data-test=measure-reason]").fill("紧邻学校")
    await visit.shot("measure-severity")
    await page.keyboard.press("Enter")
    await expect(detail.locator("[data-test=event]").filter(has_text="级别变化")).to_contain_text("紧邻学校")

    await detail.locator("[data-measure=clear]").press("Enter")
    await page.locator("[data-test=form-send]").click()
    await expect(page.locator("[data-test=field-fault]")).to_have_text("必须填写")
    await page.locator("[data-test=measure-reason]").fill("误触发，现场已核实")
    await page.locator("[data-test=form-send]").dblclick()
    await expect(detail.locator("[data-test=event]").filter(has_text="告警恢复")).to_contain_text("现场已核实")
    await expect(detail.locator("[data-measure=clear], [data-measure=severity]")).to_have_count(0)
    rows = await told(connection, "SELECT severity, cleared_by FROM alert WHERE id = %s", number)
    assert rows == [("critical", "code-operator")]
    ends = await told(connection, "SELECT 1 FROM alert_event WHERE alert_id = %s AND kind = 'cleared'", number)
    assert len(ends) == 1


async def test_a_rule_is_muted_until_a_moment_of_the_sites_clock(
    visit: Visit, city: World, connection: psycopg.AsyncConnection
) -> None:
    page, number = visit.page, city.ids["dust"]
    await visit.log_in()
    await page.click("[data-test=language]")
    await page.goto(f"{visit.origin}/alerts/{number}")
    await page.click("[data-measure=mute]")
    until = page.locator("[data-test=mute-until]")
    suggested = await until.input_value()
    await until.fill("2026-01-01T08:00")
    await page.click("[data-test=form-send]")
    await expect(page.locator("[data-test=field-fault]")).to_have_text(["must lie ahead", "is needed"])
    await until.fill(suggested)
    await page.fill("[data-test=measure-reason]", "gateway replaced")
    await visit.shot("measure-mute")
    await page.locator("[data-test=form-send]").dblclick()
    await expect(page.locator("[data-test=form-send]")).to_have_count(0)
    rows = await told(
        connection,
        "SELECT site_id, device_id, rule, reason, made_by,"
        " to_char(ends_at AT TIME ZONE 'Asia/Shanghai', 'YYYY-MM-DD\"T\"HH24:MI')"
        " FROM mute",
    )
    device = city.ids["dust-riverside"]
    assert rows == [(city.ids["riverside"], device, "pm10-high", "gateway replaced", "code-operator", suggested)]


async def test_an_order_is_given_from_the_alert(visit: Visit, city: World, connection: psycopg.AsyncConnection) -> None:
    page, number = visit.page, city.ids["dust"]
    await visit.log_in(at=f"/alerts/{number}")
    await page.click("[data-measure=order]")
    title = await page.locator("[data-test=order-title]").input_value()
    await page.fill("[data-test=order-requirement]", "裸土覆盖，增加喷淋")
    await page.click("[data-test=order-person]")
    await page.get_by_role("option").filter(has_text="王安全").first.click()
    await visit.shot("measure-order")
    await page.click("[data-test=order-place]")
    await expect(page.locator("[data-test=page-title]")).to_have_text(title)
    rows = await told(connection, "SELECT alert_id, source, site_id FROM rectification")
    assert rows == [(number, "alert", city.ids["riverside"])]


async def test_a_delivery_that_stopped_is_sent_again_or_settled(
    visit: Visit, city: World, connection: psycopg.AsyncConnection
) -> None:
    page, number = visit.page, city.ids["dust"]
    for key, target, state in (("k8", "gone", "dead"), ("k9", "city", "uncertain")):
        await connection.execute(
            "INSERT INTO delivery (alert_id, target, phase, idempotency_key, payload, pending_since, created_at, state,"
            " reason) VALUES (%s, %s, 'end', %s, '{}', now(), now(), %s, 'HTTP 500')",
            [number, target, key, state],
        )
    await visit.log_in(at=f"/alerts/{number}")
    rows = page.locator("[data-test=delivery]")
    await expect(rows).to_have_count(3)
    gone, city_row = rows.filter(has_text="gone"), rows.filter(has_text="结果未知")
    await gone.locator("[data-test=resend]").click()
    await expect(gone.locator("[data-test=resend-failure]")).to_contain_text("不能重新发送")
    await city_row.locator("[data-test=settle]").click()
    await city_row.locator("[data-test=settle-reason]").fill("局方来电确认已收到")
    await city_row.scroll_into_view_if_needed()
    await visit.shot("deliveries")
    await page.keyboard.press("Enter")
    await expect(rows.filter(has_text="局方来电确认已收到")).to_contain_text("已接收")
    await connection.execute("UPDATE delivery SET target = 'city', amendment = 1 WHERE target = 'gone'")
    await expect(page.locator("[data-test=resend]")).to_have_count(1)
    await page.locator("[data-test=resend]").dblclick()
    await expect(page.locator("[data-test=resend]")).to_have_count(0)
    found = await told(connection, "SELECT state FROM delivery WHERE idempotency_key IN ('k8', 'k9') ORDER BY 1")
    assert found == [("accepted",), ("pending",)]
    # The browser itself reports the refusal; nothing else may stand in the console.
    visit.faults[:] = [fault for fault in visit.faults if "409" not in fault]


async def test_who_may_not_is_offered_nothing(visit: Visit, city: World) -> None:
    await visit.log_in("officer", at=f"/alerts/{city.ids['dust']}")
    await expect(visit.page.locator("[data-test=alert-detail]")).to_be_visible()
    await expect(visit.page.locator("[data-test=notification]")).to_contain_text("首次触发")
    assert await visit.page.locator("[data-measure], [data-test=resend]").count() == 0


async def test_what_became_of_a_message_is_told_with_its_error(
    visit: Visit, city: World, connection: psycopg.AsyncConnection
) -> None:
    page, number = visit.page, city.ids["dust"]
    for person, state, error in (
        ("inspector", "uncertain", "no reply: nothing within 10 s"),
        ("operator", "failed", "errcode 310000: sign not match"),
    ):
        await connection.execute(
            "INSERT INTO notification (alert_id, phase, person_id, channel, state, reason, attempts, error,"
            " next_attempt_at, created_at) VALUES (%s, 'raised', %s, 'feishu', %s, 'first_raise', 3, %s, now(), now())",
            [number, city.ids[person], state, error],
        )
    await visit.log_in(at=f"/alerts/{number}")
    rows = page.locator("[data-test=notification]")
    doubted, failed = rows.filter(has_text="未知是否送达"), rows.filter(has_text="sign not match")
    await expect(doubted).to_contain_text("已试 3 次，最近一次：no reply: nothing within 10 s")
    await expect(failed).to_contain_text("失败")
    await failed.scroll_into_view_if_needed()
    await visit.shot("notification-errors")
    await page.goto(visit.origin)
    await page.click("[data-test=language]")
    await page.goto(f"{visit.origin}/alerts/{number}")
    await expect(rows.filter(has_text="Delivery unknown")).to_contain_text(
        "Tried 3 times, the last time: no reply: nothing within 10 s"
    )
