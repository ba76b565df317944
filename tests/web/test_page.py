"""The page in a real browser against the real API and database."""

from __future__ import annotations

import asyncio
import json
import re
from urllib.parse import urlsplit

import psycopg
import pytest
from playwright.async_api import WebSocketRoute, expect

from core import log
from core.clock import micros
from sensors.entries import AlertEntry, encode
from tests.api.world import World
from tests.support.wait import eventually
from tests.web.city import DUST
from tests.web.conftest import Visit
from tests.web.live import publish

# One loop for all tests of the file, since they share the browser.
pytestmark = [pytest.mark.needs("browser"), pytest.mark.asyncio(loop_scope="module")]


async def test_a_wrong_password_is_said_in_the_language_of_the_page(visit: Visit) -> None:
    page = visit.page
    await page.goto(visit.origin)
    await page.fill("input[name=login]", "operator")
    await page.click("button[type=submit]")
    await expect(page.get_by_role("alert")).to_have_text("请输入用户名和密码")
    await page.fill("input[name=password]", "wrong")
    await page.click("button[type=submit]")
    await expect(page.get_by_role("alert")).to_have_text("用户名或密码不正确")
    await page.click("[data-test=language]")
    await page.click("button[type=submit]")
    await expect(page.get_by_role("alert")).to_have_text("Wrong user name or password")
    # The browser itself reports the two refusals; nothing else may stand in the console.
    visit.faults[:] = [fault for fault in visit.faults if "401" not in fault]


async def test_the_big_picture_shows_every_site_with_its_state(visit: Visit) -> None:
    page = visit.page
    await visit.log_in()
    await expect(page.locator(".site-marker")).to_have_count(4)
    assert await page.locator(".site-marker.red").count() == 2
    assert await page.locator(".site-marker.grey").count() == 1
    await expect(page.locator("[data-test=count-alerts]")).to_contain_text("未恢复告警")
    assert re.match(r"未恢复告警\s*3\b", await visit.text("[data-test=count-alerts]"))
    assert "7/8" in await visit.text("[data-test=count-devices]")
    assert "地铁九号线枢纽" in await visit.text("[data-test=rank]")
    await expect(page.locator("[data-test=alert-line]").first).to_contain_text("未佩戴安全帽")
    thumbnail = page.locator("[data-test=alert-line] img").first
    await eventually(lambda: thumbnail.evaluate("image => image.naturalWidth > 0"))
    await expect(page.locator("[data-test=station]").first).to_contain_text("滨江一号地块")


async def test_everything_is_there_in_english_too_and_the_choice_is_kept(visit: Visit) -> None:
    page = visit.page
    await visit.log_in()
    await page.click("[data-test=language]")
    await expect(page).to_have_title("Smart construction site control centre")
    await expect(page.locator("[data-test=rank]").first).to_contain_text("Metro line 9 hub")
    await page.reload()
    await expect(page.locator("[data-test=count-alerts]")).to_contain_text("Open alerts")
    for path, word in {"/alerts": "Alerts", "/system": "Processes", "/sites/1": "Riverside lot 1"}.items():
        await page.goto(visit.origin + path)
        await expect(page.locator("main")).to_contain_text(word)
    chinese = re.findall(r"[\u4e00-\u9fff]+", await page.locator("main").inner_text())
    # What people wrote once, in one language: addresses and stages.
    assert set(chinese) <= {"杭州市滨江一号地块", "主体结构"}


async def test_a_site_with_hundreds_of_devices_costs_what_is_seen_of_it(
    visit: Visit, city: World, connection: psycopg.AsyncConnection
) -> None:
    page = visit.page
    await city.site("crowded", name="群塔", name_en="Crowded")
    for number in range(150):
        await city.device(f"crowd-{number}", "crowded", name=f"{number:03} 号", name_en=f"{number:03}")
    asked: set[str] = set()
    page.on("request", lambda request: asked.update(re.findall(r"/devices/(\d+)/series", request.url)))
    await visit.log_in(at=f"/sites/{city.ids['crowded']}")
    first, last = str(city.ids["crowd-0"]), str(city.ids["crowd-149"])
    await expect(page.locator(f"[data-device='{last}']")).to_have_count(1)
    await eventually(lambda: first in asked)
    assert last not in asked
    assert len(asked) < 30
    await page.locator(f"[data-device='{last}'] [data-test=chart]").scroll_into_view_if_needed()
    await eventually(lambda: last in asked)
    await page.goto(visit.origin)
    await connection.execute("DELETE FROM device WHERE code LIKE 'crowd-%'")
    await connection.execute("DELETE FROM site WHERE code = 'crowded'")


async def test_a_reading_arrives_on_the_site_page_and_stands_out_over_its_limit(
    visit: Visit, city: World, connection: psycopg.AsyncConnection
) -> None:
    page, ids = visit.page, city.ids
    await visit.log_in(at=f"/sites/{ids['riverside']}")
    tile = page.locator(f"[data-device='{ids['dust-riverside']}'] [data-channel=pm10]")
    await expect(tile).to_contain_text("限值")
    chart = page.locator(f"[data-device='{ids['dust-riverside']}'] [data-test=chart]")
    await expect(chart).to_have_attribute("aria-label", re.compile(r"PM10的曲线，[1-9]\d* 个点"))

    async def arrived() -> bool:
        await publish(
            connection,
            device=ids["dust-riverside"],
            site=ids["riverside"],
            kind="dust",
            values=DUST | {"pm10": 987.4},
        )
        return "987" in await tile.inner_text()

    await eventually(arrived, every=0.5)
    await expect(tile).to_have_class(re.compile(r"\bover\b"))


async def looks(connection: psycopg.AsyncConnection) -> set[str]:
    """Roles of the originals that somebody looked at."""
    cursor = await connection.execute(
        "SELECT f.role FROM audit a JOIN episode_evidence f ON a.object = 'evidence:' || f.sha256 "
        "WHERE a.action = 'evidence.original'"
    )
    return {role for (role,) in await cursor.fetchall()}


async def test_an_alert_is_acknowledged_and_reviewed(
    visit: Visit, city: World, connection: psycopg.AsyncConnection
) -> None:
    page, number = visit.page, city.ids["hat"]
    await visit.log_in(at=f"/alerts/{number}")
    detail = page.locator("[data-test=alert-detail]")
    await expect(detail.locator("[data-test=acknowledged]")).to_have_text("未确认")
    await expect(detail.locator("[data-test=evidence]")).to_have_count(2)
    await expect(detail.locator("[data-role=frame_shown]")).to_be_visible()
    await expect(detail.locator("[data-test=scores] li")).to_have_count(6)
    await expect(detail.locator("[data-test=history] line")).to_have_count(7)
    await visit.shot("alert-history")
    assert await looks(connection) == set()
    await detail.locator("[data-test=original]").click()
    await expect(detail.locator("[data-role=frame]")).to_be_visible()
    await detail.locator("[data-test=play]").click()
    clip = detail.locator("[data-test=clip]")
    await expect(clip).to_be_visible()
    await eventually(lambda: clip.evaluate("video => video.readyState >= 2 && video.videoWidth === 320"))
    assert await looks(connection) == {"frame", "crop", "clip"}
    await expect(detail.locator("[data-test=delivery]")).to_contain_text("等待人工复核")
    await page.get_by_placeholder("备注（可不填）").fill("已通知班组")
    await page.click("[data-test=acknowledge]")
    await expect(detail.locator("[data-test=acknowledged]")).to_have_text("已确认")
    await page.locator("[data-test=seen]").click()
    await page.get_by_role("option", name="不是人头").click()
    await page.click("[data-test=false-alarm]")
    await expect(detail.locator("[data-test=verdict]")).to_have_text("已复核：误报")
    await expect(detail.locator("[data-test=event]").filter(has_text="确认收到")).to_contain_text("已通知班组")
    assert await page.locator("[data-test=acknowledge]").count() == 0
    cursor = await connection.execute("SELECT acknowledged_by, verdict FROM alert WHERE id = %s", [number])
    assert await cursor.fetchone() == ("code-operator", "false_alarm")
    cursor = await connection.execute(
        "SELECT detail ->> 'seen' FROM alert_event WHERE alert_id = %s AND kind = 'reviewed'", [number]
    )
    assert await cursor.fetchone() == ("nothing",)


async def test_the_alert_list_is_filtered_and_paged(visit: Visit) -> None:
    page = visit.page
    await visit.log_in(at="/alerts")
    await expect(page.locator("[data-test=alert-row]")).to_have_count(3)
    await page.get_by_text("全部", exact=True).click()
    await expect(page.locator("[data-test=alert-row]")).to_have_count(50)
    await page.get_by_role("button", name="加载更多").click()
    await expect(page.locator("[data-test=alert-row]")).to_have_count(64)
    await page.locator("[data-test=filter-severity]").click()
    await page.get_by_role("option", name="紧急").click()
    await expect(page.locator("[data-test=alert-row]")).to_have_count(2)
    assert page.url.endswith("/alerts?state=all&severity=critical")
    await page.locator("[data-test=alert-row]").first.click()
    await expect(page.locator("[data-test=alert-detail]")).to_contain_text("未佩戴安全帽")


async def test_a_camera_is_drawn_live_with_its_boxes(visit: Visit, city: World) -> None:
    page = visit.page
    await visit.log_in(at=f"/cameras/{city.ids['gate-riverside']}")
    canvas = page.locator("[data-test=live-canvas]")
    await eventually(lambda: canvas.evaluate("canvas => Number(canvas.dataset.frames) >= 3"))
    assert await canvas.evaluate("canvas => [canvas.width, canvas.height]") == [1280, 720]
    await expect(page.locator("[data-test=bare]")).to_have_text("未戴安全帽 1 人")
    # The colour of a bare head's box is nowhere in the picture itself.
    red = """canvas => {
        const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height)
        let count = 0
        for (let i = 0; i < data.length; i += 4) if (data[i] > 240 && data[i + 1] < 110 && data[i + 2] < 110) count += 1
        return count
    }"""
    assert await canvas.evaluate(red) > 500
    await visit.shot("camera-live")


async def test_a_camera_that_cannot_be_reached_says_why(visit: Visit, city: World) -> None:
    page = visit.page
    await visit.log_in(at=f"/sites/{city.ids['school']}")
    await expect(page.locator("[data-test=camera]")).to_contain_text("无法连接")
    await page.locator("[data-test=camera]").click()
    await expect(page.locator("[data-test=camera-state]")).to_contain_text("连接被拒绝")


async def test_a_camera_whose_view_has_moved_is_not_simply_online(visit: Visit, city: World) -> None:
    page = visit.page
    await visit.log_in(at=f"/sites/{city.ids['metro']}")
    await expect(page.locator("[data-test=camera]")).to_contain_text("画面异常")
    await page.locator("[data-test=camera]").click()
    await expect(page.locator("[data-test=camera-reason]")).to_have_text("画面位置已变，请检查摄像机方向和区域")


async def test_a_person_in_a_forbidden_zone_is_told_by_its_own_name(visit: Visit, city: World) -> None:
    page = visit.page
    rows = await city.connection.execute("SELECT role, sha256 FROM episode_evidence")
    files = dict(await rows.fetchall())
    episode = await city.episode("pit", camera="deck-riverside", kind="intrusion", zone="pit", files=files)
    number = await city.alert(
        "pit", camera="deck-riverside", rule="intrusion", metric="intrusion", max_value=0.8, episode_id=episode
    )
    await visit.log_in(at=f"/alerts/{number}")
    detail = page.locator("[data-test=alert-detail]")
    await expect(detail).to_contain_text("人员进入禁入区域")
    await expect(detail.locator("[data-test=scores]")).to_contain_text("6 次观察中 5 次在禁入区域内")
    await expect(detail.locator("[data-test=confirm]")).to_be_visible()
    await expect(detail.locator("[data-test=seen]")).to_have_count(0)  # asks of a hat
    await expect(detail).not_to_contain_text("安全帽")


async def test_an_officer_sees_one_site_and_no_system_page(visit: Visit) -> None:
    page = visit.page
    await visit.log_in("officer")
    await page.click(".brand")
    await expect(page.locator(".site-marker")).to_have_count(1)
    assert await page.get_by_role("link", name="系统").count() == 0
    await expect(page.locator("[data-test=alert-line]").first).to_contain_text("PM10 超标")


async def test_what_was_missed_while_the_connection_was_lost_is_sent_on_its_return(visit: Visit, city: World) -> None:
    page = visit.page
    sockets: list[WebSocketRoute] = []
    asked: list[str] = []
    raised = asyncio.Event()

    async def relay(socket: WebSocketRoute) -> None:
        sockets.append(socket)
        if len(sockets) > 1:
            await raised.wait()
        socket.connect_to_server()

    await page.route_web_socket("**/api/v1/live*", relay)
    await visit.log_in()
    await expect(page.locator("[data-test=count-alerts] .figure")).to_have_text("3")
    await expect(page.locator(".connection.online")).to_be_visible()
    page.on("request", lambda request: asked.append(urlsplit(request.url).path))
    await sockets[0].close(code=1013, reason="too_slow")
    number = await city.alert("missed", device="crane-metro", rule="crane-moment", ago_s=1)
    entry = AlertEntry(alert=number, site=city.ids["metro"], event="raised", at=micros(city.now))
    shard = log.shard_of(city.ids["metro"])
    async with city.connection.transaction():
        await log.append(city.connection, "alerts-engine", [log.NewEntry(shard, log.Kind.ALERT, encode(entry))])
    raised.set()
    await expect(page.locator("[data-test=alert-line]").first).to_contain_text("塔机力矩超载")
    await expect(page.locator(".connection.online")).to_be_visible()
    assert len(sockets) == 2
    assert not {"/api/v1/sites", "/api/v1/alerts", "/api/v1/cameras"} & set(asked)


async def test_where_the_server_cannot_tell_what_was_missed_everything_is_read_again(visit: Visit, city: World) -> None:
    page = visit.page
    sockets: list[WebSocketRoute] = []
    told: list[str] = []

    def relay(socket: WebSocketRoute) -> None:
        def of_a_process_that_is_no_more(text: str | bytes) -> None:
            told.append(json.dumps({**json.loads(text), "cursor": "00000000.1.00000000"}))
            socket.send(told[-1])

        socket.connect_to_server().on_message(of_a_process_that_is_no_more)
        sockets.append(socket)

    await page.route_web_socket("**/api/v1/live*", relay)
    await visit.log_in()
    await expect(page.locator("[data-test=count-alerts] .figure")).to_have_text("3")
    await expect(page.locator(".connection.online")).to_be_visible()
    # Until then the cursor of the session counts.
    await eventually(lambda: told)
    # A row that no entry of the log announces: only reading the list again can find it.
    await city.alert("missed", device="crane-metro", rule="crane-moment", ago_s=1)
    await sockets[0].close(code=1013, reason="too_slow")
    await expect(page.locator("[data-test=alert-line]").first).to_contain_text("塔机力矩超载")
    await expect(page.locator(".connection.online")).to_be_visible()
    assert len(sockets) == 2


async def test_a_session_that_is_over_leads_to_the_log_in_and_back(
    visit: Visit, city: World, connection: psycopg.AsyncConnection
) -> None:
    page = visit.page
    await visit.log_in()
    await expect(page.locator("[data-test=rank]").first).to_contain_text("地铁九号线枢纽")
    await connection.execute("DELETE FROM session")
    await page.locator("[data-test=rank]").first.click()
    await page.wait_for_selector("input[name=login]")
    await visit.log_in_here()
    await expect(page.locator("[data-test=page-title]")).to_have_text("地铁九号线枢纽")
    visit.faults[:] = [fault for fault in visit.faults if "401" not in fault]


async def test_the_system_page_shows_processes_and_what_was_set_aside(visit: Visit) -> None:
    page = visit.page
    await visit.log_in(at="/system")
    await expect(page.locator("[data-test=worker]")).to_have_count(4)
    await expect(page.locator("[data-test=quarantine]")).to_contain_text("格式错误")


async def test_it_is_usable_at_the_width_of_a_phone(visit: Visit) -> None:
    page = visit.page
    await page.set_viewport_size({"width": 390, "height": 844})
    await visit.log_in()
    for path in ("/", "/sites/1", "/alerts", "/alerts/1", "/cameras/1", "/system"):
        await page.goto(visit.origin + path)
        await page.wait_for_selector("main section, main h1")
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
        assert await page.evaluate("document.querySelector('main').scrollWidth <= innerWidth"), path


async def test_the_sites_time_is_shown_wherever_the_browser_is(visit: Visit, city: World) -> None:
    page = visit.page
    await visit.log_in(at="/alerts")
    row = page.locator(f"[data-alert='{city.ids['dust']}']")
    cursor = await city.connection.execute(
        "SELECT to_char(raised_at AT TIME ZONE 'Asia/Shanghai', 'HH24:MI:SS') FROM alert WHERE id = %s",
        [city.ids["dust"]],
    )
    raised = await cursor.fetchone()
    assert raised is not None
    await expect(row).to_contain_text(raised[0])


async def test_an_alert_is_assigned_and_remarked_on(
    visit: Visit, city: World, connection: psycopg.AsyncConnection
) -> None:
    page, number = visit.page, city.ids["hat"]
    await visit.log_in(at=f"/alerts/{number}")
    detail = page.locator("[data-test=alert-detail]")
    await detail.locator("[data-test=assign]").focus()
    await expect(detail.locator("[data-test=assign] option[value=code-operator]")).to_have_count(1)
    await detail.locator("[data-test=assign]").select_option("code-operator")
    await expect(detail.locator("[data-test=event]").filter(has_text="指派")).to_contain_text("李操作李操作")
    await page.get_by_placeholder("添加备注").fill("已通知分包单位")
    await detail.locator("[data-test=comment]").click()
    await expect(detail.locator("[data-test=event]").filter(has_text="备注")).to_contain_text("已通知分包单位")
    cursor = await connection.execute(
        "SELECT p.code FROM alert a JOIN person p ON p.id = a.assigned_to WHERE a.id = %s", [number]
    )
    assert await cursor.fetchone() == ("code-operator",)


PUSHED = """mark => {
  const nav = document.querySelector("header.bar nav")
  mark.style.paddingRight = "1.5rem"
  const over = nav.scrollWidth - nav.clientWidth
  mark.style.paddingRight = ""
  return over
}"""


async def test_the_way_out_is_in_sight_at_every_width_and_in_both_languages(visit: Visit, city: World) -> None:
    page = visit.page
    await city.person("leader", "leader", sites=None, name="周建国", name_en="Zhou Jianguo")
    await visit.log_in("leader", at="/administration/cameras")
    for language in ("zh", "en"):
        for width in (1024, 1280, 1366, 1440, 1600, 1920):
            await page.set_viewport_size({"width": width, "height": 800})
            assert await page.evaluate("document.documentElement.scrollWidth") <= width, (language, width)
            box = await page.locator("[data-test=log-out]").bounding_box()
            assert box is not None
            assert box["x"] + box["width"] <= width, (language, width)
            # All pages are in sight without being pushed aside.
            nav = page.locator("header.bar nav")
            assert await nav.evaluate("nav => nav.scrollWidth - nav.clientWidth") <= 1, (language, width)
            # Nor by a longer date or another word for the connection.
            longer = await page.locator("header.bar .connection").evaluate(PUSHED)
            assert longer <= 1 or width < 1920, (language, width)
            await visit.shot(f"bar-{language}-{width}")
        await page.click("[data-test=language]")
