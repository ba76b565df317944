"""The officer's phone: what concerns one at a glance, and what is sent on a network that goes away."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import psycopg
import pytest
from playwright.async_api import Page, Route, expect

from tests.api.world import World
from tests.support.wait import eventually
from tests.web.conftest import Visit, told

# One loop for all tests of the file, since they share the browser.
pytestmark = [pytest.mark.needs("browser"), pytest.mark.asyncio(loop_scope="module")]

PHONE = {"width": 390, "height": 844}
# How a browser tells in its console that there was no network, or no session.
EXPECTED = ("ERR_INTERNET_DISCONNECTED", "401", "WebSocket", "409")


async def order(connection: psycopg.AsyncConnection, city: World, state: str = "rectifying") -> int:
    """An order for the officer of the riverside site."""
    cursor = await connection.execute(
        """INSERT INTO rectification (site_id, person_id, number, source, level, title, requirement, state,
                                      ordered_at, term_from, ordered_by, deadline_at)
           VALUES (%s, %s, 'Z-1', 'free', 'general', '3 号楼临边防护缺失', '恢复防护', %s, now(), now(),
                   'code-operator', now() + interval '1 day') RETURNING id""",
        [city.ids["riverside"], city.ids["officer"], state],
    )
    found = await cursor.fetchone()
    assert found is not None
    return int(found[0])


async def assigned(connection: psycopg.AsyncConnection, city: World) -> None:
    await connection.execute("UPDATE alert SET assigned_to = %s WHERE id = %s", [city.ids["officer"], city.ids["dust"]])


def photo(folder: Path, *, side: int = 480) -> str:
    path = folder / f"photo-{side}.jpg"
    noise = np.random.default_rng(1).integers(0, 255, (side, side * 4 // 3, 3), np.uint8)
    path.write_bytes(bytes(cv2.imencode(".jpg", noise, [cv2.IMWRITE_JPEG_QUALITY, 95])[1]))
    return str(path)


def forgive(visit: Visit) -> None:
    visit.faults[:] = [fault for fault in visit.faults if not any(word in fault for word in EXPECTED)]


async def rows(page: Page, count: int) -> None:
    await expect(page.locator("[data-test=waiting-row]")).to_have_count(count)


async def test_an_officer_begins_at_what_concerns_them(
    visit: Visit, city: World, connection: psycopg.AsyncConnection
) -> None:
    number = await order(connection, city)
    await assigned(connection, city)
    page = visit.page
    await page.set_viewport_size(PHONE)
    await visit.log_in("officer")
    await expect(page).to_have_url(visit.origin + "/mine")
    await expect(page.locator("[data-test=mine-alerts] [data-test=alert-line]")).to_have_count(1)
    await expect(page.locator("[data-test=mine-order]")).to_contain_text("3 号楼临边防护缺失")
    await expect(page.locator("[data-test=mine-site]")).to_have_count(1)
    await expect(page.locator("[data-test=mine-duty]")).to_contain_text("没有排班")
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    await visit.shot("mine-zh", full_page=True)
    await page.click("[data-test=language]")
    await expect(page.locator("h1")).to_have_text("Mine")
    await visit.shot("mine-en", full_page=True)
    await page.click("[data-test=mine-order]")
    await expect(page).to_have_url(f"{visit.origin}/rectifications/{number}")


async def test_whoever_sees_the_city_begins_at_its_picture(visit: Visit) -> None:
    await visit.log_in("operator")
    await expect(visit.page).to_have_url(visit.origin + "/")
    await expect(visit.page.locator("[data-test=nav-mine]")).to_have_count(0)


async def test_a_submission_without_network_arrives_once(
    visit: Visit, city: World, connection: psycopg.AsyncConnection, tmp_path: Path
) -> None:
    number = await order(connection, city)
    page = visit.page
    await page.set_viewport_size(PHONE)
    await visit.log_in("officer", at=f"/rectifications/{number}")
    await page.set_input_files("[data-test=photos]", photo(tmp_path))
    await expect(page.locator("[data-test=fresh-photos] img")).to_have_count(1)
    await visit.context.set_offline(True)
    await page.set_input_files("[data-test=photos]", photo(tmp_path, side=300))
    await expect(page.locator("[data-test=held-photos] img")).to_have_count(1)
    await page.fill("[data-test=order-text]", "已恢复防护栏")
    await page.dblclick("[data-test=order-submit]")
    await expect(page.locator("[data-test=waits]")).to_be_visible()
    await expect(page.locator("[data-test=waiting-count]")).to_have_text("1")
    await page.click("[data-test=nav-mine]")
    await rows(page, 1)
    await expect(page.locator("[data-test=waiting-row]")).to_contain_text("1 张照片待上传")
    await visit.shot("waiting", full_page=True)
    await visit.context.set_offline(False)
    await rows(page, 0)
    assert await told(connection, "SELECT state, version FROM rectification WHERE id = %s", number) == [
        ("submitted", 2)
    ]
    assert await told(connection, "SELECT count(*) FROM rectification_photo WHERE rectification_id = %s", number) == [
        (2,)
    ]
    assert await told(connection, "SELECT kind FROM rectification_event WHERE rectification_id = %s", number) == [
        ("submitted",)
    ]
    forgive(visit)


async def test_what_waits_outlives_the_page_and_belongs_to_its_person(
    visit: Visit, city: World, connection: psycopg.AsyncConnection
) -> None:
    await assigned(connection, city)
    dust = city.ids["dust"]
    page = visit.page
    await visit.log_in("officer", at=f"/alerts/{dust}")
    # The server is there, but nothing that is said of an alert reaches it.
    await page.route("**/acknowledge", lambda route: route.abort("internetdisconnected"))
    await page.click("[data-test=acknowledge]")
    await expect(page.locator("[data-test=waits]")).to_be_visible()
    await page.keyboard.press("Escape")
    await page.click("[data-test=log-out]")
    await page.unroute("**/acknowledge")
    await visit.log_in("operator")
    await expect(page.locator("[data-test=waiting-count]")).to_have_count(0)
    assert await told(connection, "SELECT acknowledged_by FROM alert WHERE id = %s", dust) == [(None,)]
    await page.click("[data-test=log-out]")
    await visit.log_in("officer", at="/mine")

    async def by() -> str | None:
        return (await told(connection, "SELECT acknowledged_by FROM alert WHERE id = %s", dust))[0][0]

    assert await eventually(by) == "code-officer"
    await rows(page, 0)
    forgive(visit)


async def test_a_session_that_is_over_loses_nothing(
    visit: Visit, city: World, connection: psycopg.AsyncConnection, tmp_path: Path
) -> None:
    number = await order(connection, city)
    page = visit.page
    await page.set_viewport_size(PHONE)
    await visit.log_in("officer", at=f"/rectifications/{number}")
    await page.set_input_files("[data-test=photos]", photo(tmp_path))
    await expect(page.locator("[data-test=fresh-photos] img")).to_have_count(1)
    await connection.execute("DELETE FROM session")
    await page.click("[data-test=order-submit]")
    await expect(page.locator("input[name=login]")).to_be_visible()
    await visit.log_in_here("officer")

    async def state() -> bool:
        return (await told(connection, "SELECT state FROM rectification WHERE id = %s", number))[0][0] == "submitted"

    assert await eventually(state)
    forgive(visit)


async def test_what_the_server_refuses_is_the_persons_to_judge(
    visit: Visit, city: World, connection: psycopg.AsyncConnection, tmp_path: Path
) -> None:
    number = await order(connection, city)
    page = visit.page
    await page.set_viewport_size(PHONE)
    await visit.log_in("officer", at=f"/rectifications/{number}")
    await page.set_input_files("[data-test=photos]", photo(tmp_path))
    await expect(page.locator("[data-test=fresh-photos] img")).to_have_count(1)
    await visit.context.set_offline(True)
    await page.click("[data-test=order-submit]")
    await expect(page.locator("[data-test=waits]")).to_be_visible()
    # Meanwhile somebody withdraws the order.
    await connection.execute(
        "UPDATE rectification SET state = 'withdrawn', version = version + 1, closed_at = now() WHERE id = %s", [number]
    )
    await page.click("[data-test=nav-mine]")
    await visit.context.set_offline(False)
    await expect(page.locator("[data-test=waiting-row]")).to_contain_text("未被接受")
    await visit.shot("waiting-refused", full_page=True)
    await page.click("[data-test=waiting-discard]")
    await rows(page, 0)
    forgive(visit)


async def test_an_order_that_was_changed_meanwhile_is_submitted_as_it_stands(
    visit: Visit, city: World, connection: psycopg.AsyncConnection, tmp_path: Path
) -> None:
    number = await order(connection, city)
    page = visit.page
    await page.set_viewport_size(PHONE)
    await visit.log_in("officer", at=f"/rectifications/{number}")
    await visit.context.set_offline(True)
    await page.set_input_files("[data-test=photos]", photo(tmp_path))
    await page.fill("[data-test=order-text]", "已恢复防护栏")
    await page.click("[data-test=order-submit]")
    await expect(page.locator("[data-test=waits]")).to_be_visible()
    # Meanwhile its deadline is put off.
    await connection.execute("UPDATE rectification SET version = version + 1 WHERE id = %s", [number])
    await page.click("[data-test=nav-mine]")
    await visit.context.set_offline(False)
    await expect(page.locator("[data-test=waiting-row]")).to_contain_text("未被接受")
    await page.click("[data-test=waiting-again]")
    await rows(page, 0)
    stands = await told(connection, "SELECT state, version FROM rectification WHERE id = %s", number)
    assert stands == [("submitted", 3)]
    photos = await told(connection, "SELECT event_id IS NOT NULL FROM rectification_photo")
    assert photos == [(True,)]
    forgive(visit)


async def test_a_photo_of_fifty_megabytes_is_scaled_before_it_leaves(
    visit: Visit, city: World, connection: psycopg.AsyncConnection, tmp_path: Path
) -> None:
    number = await order(connection, city)
    large = photo(tmp_path, side=5600)
    assert Path(large).stat().st_size > 40_000_000
    page = visit.page
    await page.set_viewport_size(PHONE)
    await visit.log_in("officer", at=f"/rectifications/{number}")
    await page.set_input_files("[data-test=photos]", large)
    await expect(page.locator("[data-test=fresh-photos] img")).to_have_count(1, timeout=90_000)
    # As it was the server would have refused it: it takes 10 MiB at most.
    (stored,) = await told(
        connection,
        "SELECT e.bytes FROM rectification_photo p JOIN evidence e USING (sha256) WHERE rectification_id = %s",
        number,
    )
    assert 0 < stored[0] < 10_000_000


async def test_the_page_can_be_put_on_the_home_screen(visit: Visit, city: World) -> None:
    page = visit.page
    await visit.log_in("officer")
    session = await visit.context.new_cdp_session(page)
    found = await session.send("Page.getAppManifest")
    assert (found["url"], found["errors"]) == (f"{visit.origin}/app.webmanifest", [])
    refused = {one["errorId"] for one in (await session.send("Page.getInstallabilityErrors"))["installabilityErrors"]}
    # A window of a test is a private one.
    assert refused <= {"in-incognito"}
    # Where it begins decides who it is.
    await page.goto(f"{visit.origin}/login")
    await expect(page).to_have_url(f"{visit.origin}/mine")
    for name in ("apple-touch-icon.png", "icon-192.png", "icon-512.png", "icon-mask-512.png"):
        assert (await page.request.get(f"{visit.origin}/{name}")).headers["content-type"] == "image/png"


async def test_what_was_written_and_photographed_outlives_a_log_in_in_between(
    visit: Visit, city: World, connection: psycopg.AsyncConnection, tmp_path: Path
) -> None:
    number = await order(connection, city)
    page = visit.page
    await page.set_viewport_size(PHONE)
    await visit.log_in("officer", at=f"/rectifications/{number}")
    await page.fill("[data-test=order-text]", "已恢复防护栏")
    await connection.execute("DELETE FROM session")
    await page.set_input_files("[data-test=photos]", photo(tmp_path))
    await expect(page.locator("input[name=login]")).to_be_visible()
    await visit.log_in_here("officer")
    await expect(page.locator("[data-test=order-text]")).to_have_value("已恢复防护栏")
    await expect(page.locator("[data-test=held-photos] img")).to_have_count(1)
    await page.click("[data-test=order-submit]")
    await expect(page.locator("[data-test=order-state]").first).to_have_text("待复查")
    forgive(visit)


async def test_an_answer_that_is_cut_off_is_asked_for_again(
    visit: Visit, city: World, connection: psycopg.AsyncConnection
) -> None:
    page = visit.page
    dust = city.ids["dust"]
    keys: list[str] = []

    async def cut(route: Route) -> None:
        keys.append(await route.request.header_value("idempotency-key") or "")
        answer = await route.fetch()
        # The first answer comes from a portal on the way, after the server has done it.
        if len(keys) == 1:
            await route.fulfill(status=200, content_type="text/html", body="<html>log in to the wi-fi</html>")
        else:
            await route.fulfill(response=answer)

    await visit.log_in("officer", at=f"/alerts/{dust}")
    await page.route("**/comments", cut)
    await page.fill("[data-test=remark]", "已通知分包")
    await page.keyboard.press("Enter")
    await eventually(lambda: _later(keys, 2))
    assert len(set(keys)) == 1
    said = await told(connection, "SELECT actor FROM alert_event WHERE alert_id = %s AND kind = 'commented'", dust)
    assert said == [("code-officer",)]
    await expect(page.locator("[data-test=waiting-count]")).to_have_count(0)


async def _later(found: list[str], count: int) -> bool:
    return len(found) >= count
