"""Administration in the page: people, tokens, devices from a sheet, the audit log."""

from __future__ import annotations

import json

import psycopg
import pytest
from playwright.async_api import expect
from psycopg.types.json import Jsonb

from tests.api.world import PASSWORD, World
from tests.web.conftest import Visit, told
from tests.web.test_accessibility import serious

CAMERA_OPTIONS = "SELECT options FROM camera WHERE code = 'gate-riverside'"

pytestmark = [pytest.mark.needs("browser"), pytest.mark.asyncio(loop_scope="module")]


async def test_a_person_is_made_and_a_stale_form_changes_nothing(
    visit: Visit, city: World, connection: psycopg.AsyncConnection
) -> None:
    await city.person("leader", "leader", sites=None, name="周建国", name_en="Zhou Jianguo")
    page = visit.page
    await visit.log_in("leader", at="/administration/people")
    await expect(page.locator("[data-test=account]")).to_have_count(4)
    await page.locator("[data-test=account-new]").click()
    await page.locator("[data-test=account-code]").fill("new person")
    await page.locator("[data-test=account-password]").fill("short")
    await page.locator("[data-test=form-send]").click()
    await expect(page.locator("[data-test=field-fault]")).to_have_count(4)
    await page.locator("[data-test=account-code]").fill("newcomer")
    await page.locator("[data-test=account-name]").fill("孙新")
    await page.locator("[data-test=account-login]").fill("operator")
    await page.locator("[data-test=account-password]").fill("long enough")
    await page.locator("[data-test=site-riverside]").check()
    await page.locator("[data-test=form-send]").click()
    await expect(page.locator("[data-test=field-fault]")).to_have_text("登录名已被使用或不可用")
    await visit.shot("account-form")
    await page.locator("[data-test=account-login]").fill("sun")
    await page.locator("[data-test=form-send]").dblclick()
    await expect(page.locator("[data-test=account]")).to_have_count(5)
    await visit.shot("accounts")
    rows = await told(connection, "SELECT role, login, all_sites FROM person WHERE code = 'newcomer'")
    assert rows == [("officer", "sun", False)]
    assert await told(connection, "SELECT count(*) FROM audit WHERE action = 'account.make'") == [(1,)]

    await page.locator("[data-test=edit-newcomer]").press("Enter")
    await page.locator("[data-test=account-role]").select_option("supervisor")
    await connection.execute("UPDATE person SET phone = '13800000000' WHERE code = 'newcomer'")
    await page.locator("[data-test=form-send]").click()
    await expect(page.locator("[data-test=form-failure]")).to_contain_text("已被他人修改")
    assert await told(connection, "SELECT role FROM person WHERE code = 'newcomer'") == [("officer",)]
    # The browser itself reports the refusals; nothing else may stand in the console.
    visit.faults[:] = [fault for fault in visit.faults if "422" not in fault and "412" not in fault]


async def test_a_token_is_shown_once_and_revoked(
    visit: Visit, city: World, connection: psycopg.AsyncConnection
) -> None:
    await city.person("integrator", "integrator", sites=None)
    page = visit.page
    await visit.log_in("integrator")
    await page.click("[data-test=language]")
    await page.goto(f"{visit.origin}/administration/tokens")
    await page.locator("[data-test=token-new]").click()
    await page.locator("[data-test=form-send]").click()
    await expect(page.locator("[data-test=field-fault]")).to_have_text("Say what it is for")
    await page.locator("[data-test=token-name]").fill("Grafana")
    await page.locator("[data-test=right-command]").check()
    await page.locator("[data-test=token-all]").click()
    await page.locator("[data-test=form-send]").click()
    await expect(page.locator("form .fault")).to_have_text("Choose at least one site")
    (site,), *_ = await told(connection, "SELECT id FROM site WHERE code = 'riverside'")
    await page.locator(f"[data-test=site-{site}]").check()
    await visit.shot("token-form")
    await page.locator("[data-test=form-send]").dblclick()
    await expect(page.locator("[data-test=token-made]")).to_contain_text("sst_")
    await expect(page.locator("[data-test=token]")).to_have_count(1)
    await visit.shot("tokens")
    await page.locator("[data-test=token-revoke]").click()
    await page.locator("[data-test=token] [data-test=form-send]").click()
    await expect(page.locator("[data-test=token]")).to_contain_text("Over")
    rows = await told(connection, "SELECT name, rights, sites, revoked_at IS NOT NULL FROM api_token")
    assert rows == [("Grafana", ["command"], [site], True)]


async def test_a_person_changes_their_own_password(visit: Visit, city: World) -> None:
    page = visit.page
    await visit.log_in("officer")
    await page.locator("[data-test=person]").click()
    await page.locator("[data-test=own-begin]").click()
    await page.locator("[data-test=own-old]").fill("a guess")
    await page.locator("[data-test=own-new]").fill("short")
    await page.locator("[data-test=form-send]").click()
    await expect(page.locator("[data-test=field-fault]")).to_have_text(["至少 8 个字符", "两次输入不一致"])
    new = "another horse, another staple"
    await page.locator("[data-test=own-new]").fill(new)
    await page.locator("[data-test=own-again]").fill(new)
    await page.locator("[data-test=form-send]").click()
    await expect(page.locator("[data-test=field-fault]")).to_have_text("原密码不正确")
    await visit.shot("own-password")
    await page.locator("[data-test=own-old]").fill(PASSWORD)
    await page.locator("[data-test=form-send]").dblclick()
    await expect(page.locator("[data-test=own-changed]")).to_contain_text("已退出其他登录：0 处")
    await page.set_viewport_size({"width": 390, "height": 844})
    await page.click("[data-test=language]")
    await expect(page.locator("nav a", has_text="My account")).to_be_visible()
    await visit.shot("own-phone")
    assert await page.evaluate("document.documentElement.scrollWidth") <= 390
    await page.click("[data-test=log-out]")
    await page.fill("input[name=login]", "officer")
    await page.fill("input[name=password]", new)
    await page.keyboard.press("Enter")
    await expect(page.locator("[data-test=log-out]")).to_be_visible()
    # The browser itself reports the refusal; nothing else may stand in the console.
    visit.faults[:] = [fault for fault in visit.faults if "422" not in fault]


async def test_a_site_with_device_and_camera_is_registered(
    visit: Visit, city: World, connection: psycopg.AsyncConnection
) -> None:
    page = visit.page
    await city.person("chief", "leader", sites=None)
    await visit.log_in("chief", at="/administration/sites")
    await page.locator("[data-test=registry-new]").click()
    await page.locator("[data-test=form-send]").click()
    await expect(page.locator("[data-test=field-fault]")).to_have_text(["缺少该项，请填写"] * 2)
    for name, value in (("code", "harbour"), ("name", "港口区"), ("time_zone", "Mars/Base"), ("latitude", "30.2")):
        await page.locator(f"[data-test=field-{name}]").fill(value)
    await page.locator("[data-test=form-send]").click()
    await expect(page.locator("[data-test=field-fault]").first).to_be_visible()
    await visit.shot("registry-site")
    await page.locator("[data-test=field-time_zone]").fill("Asia/Shanghai")
    await page.locator("[data-test=map-point]").click(position={"x": 90, "y": 60})
    # Left of the middle and above it: of the country's middle, which the map shows at first.
    assert 60 < float(await page.locator("[data-test=field-longitude]").input_value()) < 104.5
    assert 35.5 < float(await page.locator("[data-test=field-latitude]").input_value()) < 60
    await expect(page.locator(".map-point")).to_have_count(1)
    await visit.shot("registry-map")
    await page.locator("[data-test=field-latitude]").fill("30.2")
    await page.locator("[data-test=field-longitude]").fill("120.1")
    await page.locator("[data-test=form-send]").dblclick()
    await expect(page.locator("[data-test='edit-harbour']")).to_be_visible()
    assert await told(connection, "SELECT name, latitude, longitude FROM site WHERE code = 'harbour'") == [
        ("港口区", 30.2, 120.1)
    ]

    await page.goto(f"{visit.origin}/administration/devices")
    await page.locator("[data-test=registry-new]").click()
    await page.locator("[data-test=field-site]").select_option("riverside")
    await page.locator("[data-test=field-kind]").select_option("dust")
    await page.locator("[data-test=field-code]").fill("dust-7")
    await page.locator("[data-test=field-name]").fill("七号站")
    await page.locator("[data-test=form-send]").click()
    await expect(page.locator("[data-test=registry-secret]")).not_to_be_empty()
    secret = await page.locator("[data-test=registry-secret]").inner_text()
    await visit.shot("registry-devices")
    ((hashed,),) = await told(connection, "SELECT secret_hash FROM device WHERE code = 'dust-7'")
    await page.locator("[data-test='renew-riverside/dust-7']").click()
    await page.get_by_role("button", name="更换密钥").last.click()
    await expect(page.locator("[data-test=registry-secret]")).not_to_have_text(secret)
    assert await told(connection, "SELECT secret_hash FROM device WHERE code = 'dust-7'") != [(hashed,)]

    await connection.execute("UPDATE camera SET url = 'rtsp://admin:pa55@10.0.0.8/s1' WHERE code = 'gate-riverside'")
    await page.goto(f"{visit.origin}/administration/cameras")
    await page.locator("[data-test='edit-riverside/gate-riverside']").click()
    await expect(page.locator("[data-test=field-url]")).to_have_value("rtsp://admin:***@10.0.0.8/s1")
    await page.locator("[data-test=options-detection] summary").click()
    await page.locator("[data-test=option-score]").fill("0.6")
    await page.locator("[data-test=field-zone]").fill("北门")
    await visit.shot("registry-camera")
    # Somebody else is quicker.
    await connection.execute("UPDATE camera SET name = '改名' WHERE code = 'gate-riverside'")
    await connection.execute("UPDATE camera SET zone = '南门' WHERE code = 'gate-riverside'")
    await page.locator("[data-test=form-send]").click()
    await expect(page.locator("[data-test=theirs]")).to_contain_text("改名")
    await expect(page.locator("[data-test=theirs]")).to_contain_text("南门")
    await expect(page.locator("[data-test=field-name]")).to_have_value("改名")
    await expect(page.locator("[data-test=field-zone]")).to_have_value("北门")
    await visit.shot("registry-theirs")
    await page.locator("[data-test=form-send]").click()
    await expect(page.locator("[data-test=form-send]")).to_have_count(0)
    assert await told(connection, "SELECT url, options, name, zone FROM camera WHERE code = 'gate-riverside'") == [
        ("rtsp://admin:pa55@10.0.0.8/s1", {"onvif": "off", "score": 0.6}, "改名", "北门")
    ]
    await page.set_viewport_size({"width": 390, "height": 844})
    await page.click("[data-test=language]")
    await page.goto(f"{visit.origin}/administration/devices")
    await expect(page.locator("[data-test=registered]").first).to_be_visible()
    await visit.shot("registry-phone")
    assert await page.evaluate("document.documentElement.scrollWidth") <= 390
    visit.faults[:] = [fault for fault in visit.faults if "422" not in fault and "412" not in fault]


async def test_the_options_of_a_camera_are_fields_with_their_defaults(
    visit: Visit, city: World, connection: psycopg.AsyncConnection
) -> None:
    page = visit.page
    zones = [{"name": "pit", "use": "forbidden", "polygon": [[0.1, 0.1], [0.9, 0.1], [0.9, 0.9]]}]
    await connection.execute(
        "UPDATE camera SET options = %s WHERE code = 'gate-riverside'",
        [Jsonb({"fps": 2, "loop": True, "zones": zones, "colour": "red"})],
    )
    await city.person("chief", "leader", sites=None)
    await visit.log_in("chief", at="/administration/cameras")
    await page.locator("[data-test='edit-riverside/gate-riverside']").click()
    # What is set is unfolded, and what nobody knows is shown; the rest has its default in the empty field.
    await expect(page.locator("[data-test=option-fps]")).to_have_value("2")
    await expect(page.locator("[data-test=option-loop]")).to_have_value("true")
    await expect(page.locator("[data-test=option-attentive_fps]")).to_have_value("")
    await expect(page.locator("[data-test=option-attentive_fps]")).to_have_attribute("placeholder", "默认：5")
    await expect(page.locator("[data-test=option-score]")).to_be_hidden()
    await expect(page.locator("[data-test=options-zones]")).to_contain_text("1 个")
    stranger = page.locator("[data-test=options-stranger]")
    await expect(stranger).to_contain_text("colour = red")
    await visit.shot("camera-options")
    assert await serious(page) == []
    await stranger.get_by_role("button").click()
    await expect(stranger).to_have_count(0)

    # The page's own limits first, then what only the server knows; both at the field, which is unfolded.
    await page.locator("[data-test=option-fps]").fill("31")
    await page.locator("[data-test=form-send]").click()
    await expect(page.locator("[data-test=field-fault]")).to_have_text("不得大于 30")
    await page.locator("[data-test=default-fps]").click()
    await expect(page.locator("[data-test=field-fault]")).to_have_count(0)
    await expect(page.locator("[data-test=option-fps]")).to_be_focused()
    await page.locator("[data-test=options-episode] summary").click()
    await page.locator("[data-test=option-vote_positive]").fill("9")
    await page.locator("[data-test=options-episode] summary").click()
    await page.locator("[data-test=options-ptz] summary").click()
    await page.locator("[data-test=option-onvif]").fill("ftp://10.0.0.8")
    await page.locator("[data-test=form-send]").click()
    faults = page.locator("[data-test=field-fault]")
    said = ["表决总数 8 少于表决票数 9", "请填写 http://主机/onvif/device_service、off，或不填"]
    await expect(faults).to_have_text(said)
    await expect(faults.first).to_be_visible()
    await visit.shot("camera-options-faults")
    await page.locator("[data-test=option-vote_window]").fill("12")
    await page.locator("[data-test=option-onvif]").fill("off")
    await page.locator("[data-test=option-transport]").select_option("udp")

    # Somebody else is quicker: option by option what was not entered here is theirs.
    theirs = {"loop": True, "zones": zones, "colour": "red", "fps": 2, "score": 0.7, "onvif": "http://10.0.0.8/o"}
    await connection.execute("UPDATE camera SET options = %s WHERE code = 'gate-riverside'", [Jsonb(theirs)])
    await page.locator("[data-test=form-send]").click()
    await expect(page.locator("[data-test=theirs]")).to_contain_text("score: 0.7")
    await expect(page.locator("[data-test=theirs]")).to_contain_text("onvif: http://10.0.0.8/o （您填写了其他内容")
    await expect(page.locator("[data-test=option-onvif]")).to_have_value("off")
    await page.locator("[data-test=form-send]").click()
    await expect(page.locator("[data-test=form-send]")).to_have_count(0)
    saved = {"loop": True, "zones": zones, "vote_positive": 9, "vote_window": 12, "transport": "udp", "score": 0.7}
    rows = await told(connection, CAMERA_OPTIONS)
    assert rows == [(saved | {"onvif": "off"},)]

    # In English, on a phone: fields, or all of it as JSON.
    await page.set_viewport_size({"width": 390, "height": 844})
    await page.click("[data-test=language]")
    await page.locator("[data-test='edit-riverside/gate-riverside']").click()
    await expect(page.locator("[data-test=options-stream] summary")).to_contain_text("Stream 2 set")
    assert await serious(page) == []
    await visit.shot("camera-options-phone")
    assert await page.evaluate("document.documentElement.scrollWidth") <= 390
    await page.locator("[data-test=options-json]").click()
    text = page.locator("[data-test=field-options]")
    assert json.loads(await text.input_value()) == saved | {"onvif": "off"}
    await text.fill('{"score": 2')
    await expect(page.locator("[data-test=options-json]")).to_be_disabled()
    await page.locator("[data-test=form-send]").click()
    await expect(faults).to_have_text("Must be a JSON object")
    await text.fill('{"zones": [{"name": "x", "polygon": []}], "head_px": 0.5}')
    await page.locator("[data-test=form-send]").click()
    await expect(faults).to_have_text("head_px: must be 1 at least")
    await visit.shot("camera-options-json")
    await text.fill('{"zones": [{"name": "x", "polygon": []}], "head_px": 18.5}')
    await page.locator("[data-test=form-send]").click()
    await expect(faults).to_contain_text("zones: 0.polygon: ")
    await page.locator("[data-test=options-json]").click()
    await expect(faults).to_contain_text("0.polygon: ")
    await page.locator("[data-test=options-json]").click()
    await text.fill('{"head_px": 18.5}')
    await page.locator("[data-test=options-json]").click()
    await expect(page.locator("[data-test=option-head_px]")).to_have_value("18.5")
    await page.locator("[data-test=form-send]").click()
    await expect(page.locator("[data-test=form-send]")).to_have_count(0)
    assert await told(connection, CAMERA_OPTIONS) == [({"head_px": 18.5},)]
    visit.faults[:] = [fault for fault in visit.faults if "422" not in fault and "412" not in fault]


async def test_options_whose_fields_are_not_to_be_had_are_json(
    visit: Visit, city: World, connection: psycopg.AsyncConnection
) -> None:
    page = visit.page
    await city.person("chief", "leader", sites=None)
    await visit.log_in("chief", at="/administration/cameras")
    await page.route("**/registry/cameras/options", lambda route: route.abort())
    await page.locator("[data-test='edit-riverside/gate-riverside']").click()
    await expect(page.locator("[data-test=options-away]")).to_contain_text("无法连接服务器")
    await page.locator("[data-test=field-options]").fill('{"score": 2}')
    await page.locator("[data-test=form-send]").click()
    await expect(page.locator("[data-test=field-fault]")).to_have_text("score: 不得大于 1.0")
    await page.locator("[data-test=field-options]").fill('{"score": 0.6}')
    await page.locator("[data-test=form-send]").click()
    await expect(page.locator("[data-test=form-send]")).to_have_count(0)
    assert await told(connection, CAMERA_OPTIONS) == [({"score": 0.6},)]
    visit.faults[:] = [fault for fault in visit.faults if "422" not in fault and "ERR_FAILED" not in fault]


async def test_a_sheet_tells_what_became_of_each_row(
    visit: Visit, city: World, connection: psycopg.AsyncConnection
) -> None:
    await city.person("integrator", "integrator", sites=None)
    page = visit.page
    await visit.log_in("integrator", at="/administration/import")
    await page.locator("[data-test=import-send]").click()
    await expect(page.locator("[data-test=import-failure]")).to_have_text("请选择文件")
    sheet = "site,code,kind,name\nriverside,dust-9,dust,九号站\nriverside,dust-8,unheard,八号站\n"
    file = {"name": "devices.csv", "mimeType": "text/csv", "buffer": sheet.encode()}
    await page.locator("[data-test=import-file]").set_input_files(file)  # type: ignore[arg-type]
    await page.locator("[data-test=import-send]").dblclick()
    await expect(page.locator("[data-test=import-sum]")).to_have_text("1 行正确，1 处错误")
    rows = page.locator("[data-test=import-row]")
    await expect(rows).to_have_count(2)
    await expect(rows.first).to_contain_text("第 3 行")
    await expect(rows.first).to_contain_text("没有设备类型“unheard”；可用的类型：dust, edge_guard")
    await expect(page.locator("[data-test=import-secrets]")).to_contain_text("riverside/dust-9,")
    await visit.shot("import")
    assert await told(connection, "SELECT kind FROM device WHERE code IN ('dust-9', 'dust-8')") == [("dust",)]


async def test_the_audit_log_is_read_on_a_phone(visit: Visit, city: World, connection: psycopg.AsyncConnection) -> None:
    await city.person("auditor", "auditor", sites=None, name="郑审计", name_en="Zheng Auditor")
    page = visit.page
    await page.set_viewport_size({"width": 390, "height": 844})
    await visit.log_in("auditor", at="/administration")
    await expect(page.locator("[data-test=deed]").first).to_contain_text("session.log_in")
    await page.locator("[data-test=audit-actor]").fill("nobody")
    await page.keyboard.press("Enter")
    await expect(page.locator("[data-test=deed]")).to_have_count(0)
    await page.locator("[data-test=audit-actor]").fill("code-auditor")
    await page.locator("[data-test=audit-read]").click()
    await expect(page.locator("[data-test=deed]").first).to_contain_text("郑审计")
    assert await page.evaluate("document.documentElement.scrollWidth") <= 390
    await visit.shot("audit-phone")


async def test_who_may_nothing_of_it_is_told(visit: Visit) -> None:
    await visit.log_in("inspector", at="/administration/people")
    await expect(visit.page.locator("main, body").first).to_contain_text("没有权限")
    assert await visit.page.locator("[data-test=account], nav a[href='/administration']").count() == 0
