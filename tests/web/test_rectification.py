"""Rectification on the page: an order is given, submitted from a phone with photos, and passed."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import psycopg
import pytest
from playwright.async_api import expect

from tests.api.world import World
from tests.web.conftest import Visit

pytestmark = [pytest.mark.needs("browser"), pytest.mark.asyncio(loop_scope="module")]

PHONE = {"width": 390, "height": 844}


async def test_an_order_goes_round_on_the_page(
    visit: Visit, city: World, connection: psycopg.AsyncConnection, tmp_path: Path
) -> None:
    page = visit.page
    await visit.log_in(at="/rectifications")
    await page.click("[data-test=order-new]")
    await page.click("[data-test=order-site]")
    await page.get_by_role("option", name="滨江一号地块").click()
    await page.fill("[data-test=order-title]", "3 号楼临边防护缺失")
    await page.fill("[data-test=order-requirement]", "立即恢复临边防护并设警戒")
    await page.click("[data-test=order-person]")
    await page.get_by_role("option").filter(has_text="王安全").first.click()
    await visit.shot("order-new", full_page=True)
    await page.click("[data-test=order-place]")
    await expect(page.locator("[data-test=page-title]")).to_have_text("3 号楼临边防护缺失")
    await expect(page.locator("[data-test=order-state]").first).to_have_text("已下达")
    address = page.url.removeprefix(visit.origin)
    await page.click("[data-test=log-out]")

    await page.set_viewport_size(PHONE)
    await visit.log_in("officer", at=address)
    photo = tmp_path / "photo.jpg"
    picture = np.linspace(30, 220, 640 * 480 * 3).reshape(480, 640, 3).astype(np.uint8)
    photo.write_bytes(bytes(cv2.imencode(".jpg", picture)[1]))
    await expect(page.locator("[data-test=order-submit]")).to_be_disabled()
    await page.click("[data-test=order-start]")
    await expect(page.locator("[data-test=order-state]").first).to_have_text("整改中")
    await page.set_input_files("[data-test=photos]", str(photo))
    await expect(page.locator("[data-test=fresh-photos] img")).to_have_count(1)
    await page.fill("[data-test=order-text]", "已恢复防护栏")
    await visit.shot("order-phone", full_page=True)
    await page.click("[data-test=order-submit]")
    await expect(page.locator("[data-test=order-state]").first).to_have_text("待复查")
    await expect(page.locator("[data-test=order-event]")).to_have_count(3)
    await page.set_viewport_size({"width": 1920, "height": 1080})
    await page.click("[data-test=log-out]")

    await visit.log_in(at=address)
    await page.click("[data-test=order-pass]")
    await expect(page.locator("[data-test=order-state]").first).to_have_text("已通过")
    await expect(page.locator("[data-test=order-event] img")).to_have_count(1)
    await visit.shot("order-passed", full_page=True)
    await page.goto(visit.origin + "/rectifications")
    await page.get_by_text("全部", exact=True).click()
    await expect(page.locator("[data-test=order-row]")).to_have_count(1)
    await visit.shot("orders", full_page=True)
    # A picture that was still being fetched when somebody logged out is refused; nothing else may stand in the console.
    visit.faults[:] = [fault for fault in visit.faults if "401" not in fault]
    row = await (await connection.execute("SELECT state, version FROM rectification")).fetchone()
    assert row == ("passed", 4)


async def test_how_orders_are_dealt_with_is_counted(
    visit: Visit, city: World, connection: psycopg.AsyncConnection
) -> None:
    page = visit.page
    cursor = await connection.execute(
        "INSERT INTO unit (code, name, name_en, credit_code) VALUES ('u9', '中建三局', 'Third Bureau', '') RETURNING id"
    )
    (unit,) = await cursor.fetchone() or (0,)
    for number, (site, state, age_days, due_days, submitted_days, closed_days) in enumerate(
        [
            ("riverside", "passed", 9, 6, 7, 6),  # in time, closed after three days
            ("riverside", "passed", 9, 8, 6, 5),  # late, closed after four
            ("riverside", "ordered", 5, 3, None, None),  # overdue
            ("metro", "submitted", 2, -1, 1, None),
            ("metro", "withdrawn", 40, 30, None, 39),  # before the period
        ]
    ):
        await connection.execute(
            """INSERT INTO rectification (site_id, unit_id, person_id, number, source, level, title, requirement, state,
                                          ordered_at, term_from, ordered_by, deadline_at, submitted_at, closed_at)
               VALUES (%(site)s, %(unit)s, %(person)s, %(number)s, 'free', 'general', 'x', 'x', %(state)s,
                       now() - make_interval(days => %(age)s), now() - make_interval(days => %(age)s), 'code-operator',
                       now() - make_interval(days => %(due)s),
                       now() - make_interval(days => %(submitted)s), now() - make_interval(days => %(closed)s))""",
            {
                "site": city.ids[site], "unit": unit if site == "riverside" else None, "person": city.ids["officer"],
                "number": f"Z-{number}", "state": state, "age": age_days, "due": due_days,
                "submitted": submitted_days, "closed": closed_days,
            },
        )  # fmt: skip
    await visit.log_in(at="/rectifications")
    await page.get_by_text("统计", exact=True).click()
    rows = page.locator("[data-test=numbers-row]")
    await expect(rows).to_have_count(3)

    async def figures(row: int) -> list[str]:
        return [text.strip() for text in await rows.nth(row).locator("th, td").all_inner_texts()]

    names = [(await figures(row))[0] for row in range(3)]
    river = names.index("滨江一号地块")
    assert (await figures(river))[1:] == ["3", "1", "0", "0", "0", "2", "0", "1", "67 %", "3.5"]
    assert (await figures(2))[:2] == ["合计", "4"]
    assert (await figures(2))[-2:] == ["50 %", "3.5"]
    await visit.shot("order-statistics")
    await page.locator("[data-test=numbers-by]").get_by_text("责任单位").click()
    await expect(rows.filter(has_text="中建三局")).to_have_count(1)
    await expect(rows.filter(has_text="不指定")).to_have_count(1)
    await page.locator("[data-test=numbers-span]").get_by_text("近 90 天").click()
    await expect(rows.filter(has_text="合计").locator("td").first).to_have_text("5")
    await page.click("[data-test=language]")
    await page.set_viewport_size(PHONE)
    await visit.shot("order-statistics-phone")
