"""Documents on a site's page: uploaded once, faults told at the file, changed, withdrawn, downloaded; seen by axe."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest
from playwright.async_api import Locator, expect

from core.settings import Settings
from tests.api.world import World
from tests.support import office
from tests.web.conftest import Visit, told
from tests.web.test_accessibility import PHONE, serious

pytestmark = [pytest.mark.needs("browser"), pytest.mark.asyncio(loop_scope="module")]

PDF = {"name": "施工许可证 2026.pdf", "mimeType": "application/pdf", "buffer": office.PDF}
STORED = "SELECT title, kind, file_name, uploaded_by, version FROM site_document ORDER BY id"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"documents": settings.documents.model_copy(update={"max_mb": 1})})


async def panel_of(visit: Visit, city: World, login: str = "operator") -> Locator:
    await visit.log_in(login, at=f"/sites/{city.ids['riverside']}")
    return visit.page.locator("[data-test=documents]")


def forgive(visit: Visit, *statuses: str) -> None:
    """The browser itself reports refusals; nothing else may stand in the console."""
    visit.faults[:] = [fault for fault in visit.faults if not any(status in fault for status in statuses)]


async def test_a_document_is_uploaded_once_changed_downloaded_and_withdrawn(
    visit: Visit, city: World, connection: psycopg.AsyncConnection
) -> None:
    page, panel = visit.page, await panel_of(visit, city)
    await expect(panel).to_contain_text("没有资料")
    await panel.locator("[data-test=document-add]").press("Enter")
    await expect(panel.locator("[data-test=document-file]")).to_be_focused()
    await page.keyboard.press("Escape")
    await expect(panel.locator("[data-test=document-file]")).to_have_count(0)
    await panel.locator("[data-test=document-add]").click()
    await panel.locator("[data-test=document-file]").set_input_files(files=[PDF])
    await expect(panel.locator("[data-test=document-title]")).to_have_value("施工许可证 2026")
    await panel.locator("[data-test=document-until]").fill("2090-06-30")
    await visit.shot("documents-form")
    await panel.locator("[data-test=form-send]").dblclick()
    row = panel.locator("[data-test=document]")
    await expect(row).to_have_count(1)
    await expect(row).to_contain_text("有效至 2090-06-30")
    await expect(row).to_contain_text("施工许可证 2026.pdf")
    assert await told(connection, STORED) == [
        ("施工许可证 2026", "construction_permit", "施工许可证 2026.pdf", "code-operator", 1)
    ]

    async with page.expect_download() as download:
        await row.locator("[data-test=document-download]").click()
    file = await download.value
    assert file.suggested_filename == "施工许可证 2026.pdf"
    assert Path(await file.path()).read_bytes() == office.PDF

    await row.locator("[data-test=document-edit]").press("Enter")
    await row.locator("[data-test=document-kind]").select_option("other")
    await row.locator("[data-test=form-send]").click()
    await expect(row.locator("[data-test=field-fault]")).to_have_count(1)
    await row.locator("[data-test=document-kind-text]").fill("消防验收")
    await row.locator("[data-test=document-until]").fill("")
    await row.locator("[data-test=form-send]").click()
    await expect(row).to_contain_text("消防验收 · 施工许可证")
    await expect(row).to_contain_text("无期限")

    await row.locator("[data-test=document-withdraw]").click()
    await row.locator("[data-test=form-send]").click()
    await expect(row.locator("[data-test=field-fault]")).to_have_count(1)
    await row.locator("[data-test=document-reason]").fill("已换发新证")
    await visit.shot("documents-withdraw")
    await row.locator("[data-test=form-send]").click()
    await expect(panel).to_contain_text("没有资料")
    await panel.locator("[data-test=document-show]").select_option("withdrawn")
    await expect(row).to_contain_text("已换发新证")
    await expect(row).to_contain_text("李操作 于")
    assert await row.locator("[data-test=document-edit]").count() == 0
    await visit.shot("documents-withdrawn")
    actions = [action for (action,) in await told(connection, "SELECT action FROM audit ORDER BY id")]
    assert [one for one in actions if one.startswith("document.")] == [
        "document.upload", "document.download", "document.change", "document.withdraw",
    ]  # fmt: skip


async def test_what_is_wrong_with_a_file_is_said_at_it(
    visit: Visit, city: World, connection: psycopg.AsyncConnection
) -> None:
    page, panel = visit.page, await panel_of(visit, city)
    await panel.locator("[data-test=document-add]").click()
    chooser, fault = panel.locator("[data-test=document-file]"), panel.locator("[data-test=field-fault]")
    send = panel.locator("[data-test=form-send]")
    await send.click()
    await expect(fault.first).to_have_text("请选择文件")
    large = office.PDF.ljust(1024 * 1024 + 1, b"\n")
    refused: list[tuple[bytes, str]] = [
        (b"", "文件为空"),
        (large, "最大 1.0 MB"),
        (b"<html><script>alert(1)</script></html>", "不支持这种文件：内容须为 pdf, png"),
        (office.macros(), "含有宏或控件"),
    ]
    for data, text in refused:
        await chooser.set_input_files(files=[{**PDF, "buffer": data}])
        await send.click()
        await expect(fault).to_contain_text(text)
    await visit.shot("documents-fault")

    # The network breaks off, and what is sent again comes once.
    await chooser.set_input_files(files=[PDF])
    arrived: list[str] = []

    async def lose(route: Any) -> None:
        if route.request.method != "POST":
            await route.continue_()
            return
        arrived.append(await route.request.header_value("idempotency-key"))
        await route.fetch()
        await route.abort("connectionreset")

    await page.route("**/documents?*", lose)
    await send.click()
    await expect(fault).to_contain_text("网络中断")
    await page.unroute("**/documents?*")
    async with page.expect_request(lambda one: one.method == "POST" and "/documents?" in one.url) as again:
        await send.click()
    assert [await (await again.value).header_value("idempotency-key")] == arrived
    await expect(panel.locator("[data-test=document]")).to_have_count(1)
    assert len(await told(connection, STORED)) == 1
    forgive(visit, "415", "ERR_CONNECTION_RESET", "ERR_FAILED")


async def test_how_far_a_large_file_is_is_shown_and_it_can_be_stopped(
    visit: Visit, city: World, connection: psycopg.AsyncConnection
) -> None:
    page, panel = visit.page, await panel_of(visit, city)
    await panel.locator("[data-test=document-add]").click()
    large = {**PDF, "buffer": office.PDF.ljust(1024 * 1024, b"\n")}
    await panel.locator("[data-test=document-file]").set_input_files(files=[large])
    network = await visit.context.new_cdp_session(page)
    slow = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 100_000}
    await network.send("Network.enable")
    await network.send("Network.emulateNetworkConditions", slow)
    await panel.locator("[data-test=form-send]").click()
    await expect(panel.locator(".progress .number")).to_have_text(re.compile(r"^[1-9]\d? %$"), timeout=60_000)
    await visit.shot("documents-progress")
    await panel.locator("[data-test=document-stop]").press("Enter")
    await expect(panel.locator("[data-test=field-fault]")).to_contain_text("已停止上传")
    assert await told(connection, STORED) == []
    await network.send("Network.emulateNetworkConditions", {**slow, "uploadThroughput": -1})
    await panel.locator("[data-test=form-send]").click()
    await expect(panel.locator("[data-test=document]")).to_have_count(1)
    assert len(await told(connection, STORED)) == 1


async def test_of_two_who_change_it_the_second_is_told(
    visit: Visit, city: World, connection: psycopg.AsyncConnection
) -> None:
    await city.document("图纸", "riverside", kind="drawing")
    panel = await panel_of(visit, city)
    row = panel.locator("[data-test=document]")
    await row.locator("[data-test=document-edit]").click()
    await connection.execute("UPDATE site_document SET title = '总平面图', version = 2")
    await expect(row).to_contain_text("总平面图")
    await row.locator("[data-test=document-title]").fill("mine")
    await row.locator("[data-test=form-send]").click()
    await expect(row.locator("[data-test=form-failure]")).to_contain_text("已被他人修改")
    assert [title for (title, *_) in await told(connection, STORED)] == ["总平面图"]
    forgive(visit, "412")


@pytest.mark.parametrize("phone", [False, True], ids=["desktop", "phone"])
async def test_what_ends_soon_is_told_by_shape_and_words(
    visit: Visit, city: World, connection: psycopg.AsyncConnection, phone: bool
) -> None:
    today = datetime.now(UTC).astimezone(ZoneInfo("Asia/Shanghai")).date()
    for title, days in (("Old permit", -3), ("Dust plan", 12), ("Contract", 400), ("Site plan", None)):
        until = None if days is None else today + timedelta(days=days)
        await city.document(title, "riverside", valid_until=until, uploaded_by="code-officer")
    for number in range(9):
        await city.document(f"Drawing {number}", "riverside", kind="drawing")
    page = visit.page
    await visit.log_in()
    await page.click("[data-test=language]")
    if phone:
        await page.set_viewport_size(PHONE)
    await page.goto(f"{visit.origin}/sites/{city.ids['riverside']}")
    panel = page.locator("[data-test=documents]")
    row = panel.locator("[data-test=document]")
    await expect(panel).to_contain_text("2 over or ending soon")
    await expect(row).to_have_count(10)
    await panel.locator("[data-test=document-older]").click()
    await expect(row).to_have_count(3)
    await expect(row.locator("[data-validity=expired]")).to_contain_text("over for 3 days")
    await expect(row.locator("[data-validity=due]")).to_contain_text("12 days left")
    shapes = {
        one: await panel.locator(f"[data-validity={one}] .body").first.get_attribute("d") for one in ("expired", "due")
    }
    assert len(set(shapes.values())) == 2
    await panel.locator("[data-test=document-filter]").select_option("drawing")
    await expect(row).to_have_count(9)
    await panel.locator("[data-test=document-filter]").select_option("")
    await panel.locator("[data-test=document-show]").select_option("due")
    await expect(row).to_have_count(2)
    await panel.locator("[data-test=document-add]").click()
    await row.first.locator("[data-test=document-edit]").click()
    await panel.locator("[data-test=form-send]").first.click()
    await expect(panel.locator("[data-test=field-fault]").first).to_be_visible()
    await panel.scroll_into_view_if_needed()
    await visit.shot(f"documents-{'phone' if phone else 'desktop'}", full_page=True)
    assert await page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    found = await serious(page, "[data-test=documents]")
    assert not found, json.dumps(found, indent=1, ensure_ascii=False)


async def test_who_may_not_reads_them_only(visit: Visit, city: World) -> None:
    await city.document("合同", "riverside", kind="contract")
    await city.person("auditor", "auditor", sites=None)
    panel = await panel_of(visit, city, "auditor")
    await expect(panel.locator("[data-test=document]")).to_contain_text("合同")
    offered = "[data-test=document-add], [data-test=document-edit], [data-test=document-withdraw]"
    assert await panel.locator(offered).count() == 0
