"""A camera is checked from the page: asked for, carried out by a worker's own code, shown with picture and advice."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import av
import psycopg
import pytest
from playwright.async_api import expect

from core.clock import SystemClock
from core.settings import Settings
from smartsite.demo import scene
from tests.api.world import World
from tests.web.conftest import Visit
from tests.web.test_accessibility import serious
from vision.checks import Checks

pytestmark = [pytest.mark.needs("browser"), pytest.mark.asyncio(loop_scope="module")]

LONG_MS = 120_000


@contextlib.asynccontextmanager
async def checking(settings: Settings) -> AsyncIterator[None]:
    checks = Checks(settings.database, settings.vision, worker="vision-test", clock=SystemClock())
    task = asyncio.create_task(checks.run())
    try:
        yield
        if task.done():
            task.result()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def film(path: Path) -> None:
    """Two seconds of the surveyor, in a form that wants advice."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 1280, 720, "yuv420p"
        stream.codec_context.gop_size = 100
        picture = av.VideoFrame.from_ndarray(scene.view(scene.panorama(), 1.0), format="bgr24")
        for _ in range(20):
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))


async def test_a_camera_is_checked_and_what_to_change_is_told(
    visit: Visit, city: World, connection: psycopg.AsyncConnection, settings: Settings, tmp_path: Path
) -> None:
    page = visit.page
    await city.person("chief", "leader", sites=None)
    film(tmp_path / "gate.mkv")
    await connection.execute("UPDATE camera SET url = %s WHERE code = 'gate-riverside'", [str(tmp_path / "gate.mkv")])
    await visit.log_in("chief", at="/administration/cameras")
    await page.locator("[data-test='check-riverside/gate-riverside']").click()
    await expect(page.locator("[data-test=check-state]")).to_contain_text("尚未检测")
    await page.locator("[data-test=check-ask]").click()
    await expect(page.locator("[data-test=check-state]")).to_contain_text("等待视频分析进程")
    await expect(page.locator("[data-test=check-asked]")).to_contain_text("人员 chief")
    async with checking(settings):
        await expect(page.locator("[data-test=check-verdict]")).to_have_text("摄像机可用", timeout=LONG_MS)
        await expect(page.locator("[data-test=check-picture]")).to_be_visible()
        await expect(page.locator("[data-test=check-advice]").first).to_contain_text("关键帧（I 帧）间隔设为 1 秒")
        await visit.shot("check")
        assert await serious(page) == []

        await connection.execute("UPDATE camera SET url = 'nowhere.mkv' WHERE code = 'gate-riverside'")
        await page.locator("[data-test=check-ask]").click()
        await expect(page.locator("[data-test=check-verdict]")).to_contain_text("未收到画面", timeout=LONG_MS)
        await expect(page.locator("[data-test=check-remedy]")).to_be_visible()


async def test_what_nobody_answers_is_told_on_a_phone(
    visit: Visit, city: World, connection: psycopg.AsyncConnection
) -> None:
    page = visit.page
    await city.person("chief", "leader", sites=None)
    await page.set_viewport_size({"width": 390, "height": 844})
    await visit.log_in("chief")
    await page.click("[data-test=language]")
    await page.goto(f"{visit.origin}/administration/cameras")
    await page.locator("[data-test='check-riverside/gate-riverside']").click()
    await page.locator("[data-test=check-ask]").click()
    await expect(page.locator("[data-test=check-state]")).to_contain_text("Waiting for a vision worker")
    await expect(page.locator("[data-test=check-asked]")).to_contain_text("by chief")
    await connection.execute("UPDATE camera_check SET asked_by = 'p-gone'")
    await expect(page.locator("[data-test=check-asked]")).to_contain_text("by p-gone")
    await connection.execute("UPDATE camera_check SET due_at = asked_at")
    await expect(page.locator("[data-test=check-state]")).to_contain_text("No vision worker took it")
    await visit.shot("check-phone")
    assert await page.evaluate("document.documentElement.scrollWidth") <= 390
    assert await serious(page) == []
