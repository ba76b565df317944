"""The video wall on the page: real cameras over RTSP, the real vision room, Chromium's own player."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import psycopg
import pytest
import pytest_asyncio
from playwright.async_api import Locator, expect

from api.service import serve as serve_api
from core.settings import CameraSettings, Settings
from smartsite.demo import scene
from smartsite.demo.clip import Clip, Codec
from smartsite.demo.rtsp import RtspServer, Stream
from tests.api.world import World
from tests.support.wait import eventually
from tests.web.conftest import Visit, told
from vision.service import serve as serve_vision

# One loop for all tests of the file, since they share the browser.
pytestmark = [pytest.mark.needs("browser"), pytest.mark.asyncio(loop_scope="module")]

FPS = 10
# As many pixels of a bare head's red, which the scene itself does not have.
RED = """canvas => {
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height)
    let count = 0
    for (let i = 0; i < data.length; i += 4) if (data[i] > 240 && data[i + 1] < 110 && data[i + 2] < 110) count += 1
    return count
}"""


@pytest.fixture(scope="module")
def clips() -> dict[str, Clip]:
    """The surveyor without a hard hat, in the codec that browsers play and in the one that they do not."""
    surveyor = [scene.view(scene.panorama(), 1.0)] * (2 * FPS)
    small = [image[::2, ::2] for image in surveyor]
    codecs: dict[str, Codec] = {"h264": "h264", "hevc": "hevc"}
    return {name: scene.encode(small, fps=FPS, codec=codec) for name, codec in codecs.items()}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    camera = CameraSettings(fps=4, attentive_fps=5, open_timeout_s=3, read_timeout_s=2, cool_down_s=0)
    return settings.model_copy(
        update={"vision": settings.vision.model_copy(update={"live_port": 0, "camera": camera})},
    )


@pytest_asyncio.fixture(loop_scope="module")
async def cameras(clips: dict[str, Clip]) -> AsyncIterator[RtspServer]:
    server = RtspServer({name: Stream(clip) for name, clip in clips.items()})
    await server.start("127.0.0.1", 0)
    yield server
    await server.close()


@pytest_asyncio.fixture(loop_scope="module")
async def address(
    settings: Settings, city: World, connection: psycopg.AsyncConnection, cameras: RtspServer
) -> AsyncIterator[str]:
    """Origin of the running service; of the city's cameras one sends H.264, one H.265, and the others nothing."""
    urls = {"gate-riverside": "h264", "deck-riverside": "hevc"}
    for code in ("gate-riverside", "deck-riverside", "gate-metro", "gate-school"):
        where = f"rtsp://127.0.0.1:{cameras.port}/{urls.get(code, 'nothing')}"
        await connection.execute("UPDATE camera SET url = %s WHERE id = %s", [where, city.ids[code]])
    stop = asyncio.Event()
    running = [asyncio.create_task(serve_api(settings, stop)), asyncio.create_task(serve_vision(settings, stop))]

    async def origin() -> str:
        for task in running:
            if task.done():
                task.result()
        statement = "SELECT detail FROM worker WHERE room IN ('api', 'vision') ORDER BY room"
        found = await told(connection, statement)
        return f"http://{found[0][0]['host']}:{found[0][0]['port']}" if len(found) == 2 else ""

    yield await eventually(origin, timeout=60)
    stop.set()
    await asyncio.gather(*running)


def tile(visit: Visit, name: str) -> Locator:
    return visit.page.locator("[data-test=wall-tile]", has=visit.page.get_by_role("link", name=name, exact=False))


async def plays(one: Locator, *, form: str) -> None:
    """Pictures come and go on coming."""
    await expect(one).to_have_attribute("data-form", form)

    async def frames() -> int:
        return int(await one.get_attribute("data-frames") or 0)

    before = await eventually(frames, timeout=60)

    async def more() -> bool:
        return await frames() > before + 3

    await eventually(more)


async def shows_a_bare_head(one: Locator) -> None:
    await eventually(lambda: one.locator("canvas").evaluate(f"canvas => ({RED})(canvas) > 100"))


async def test_cameras_play_side_by_side_each_as_it_can(
    visit: Visit, city: World, connection: psycopg.AsyncConnection
) -> None:
    page = visit.page
    await visit.log_in()
    await page.click("text=视频墙")
    tiles = page.locator("[data-test=wall-tile]")
    await expect(tiles).to_have_count(4)
    gate, deck, metro = tile(visit, "大门 · 滨江"), tile(visit, "作业面"), tile(visit, "大门 · 地铁")

    # Chromium says itself what it plays: H.264 as the camera sends it, H.265 not.
    plain = await page.evaluate("MediaSource.isTypeSupported('video/mp4; codecs=\"avc1.42e01e\"')")
    assert plain, "this Chromium plays no H.264: the wall's first path cannot be tried with it"
    await plays(gate, form="video")
    video = gate.locator("video")
    assert await video.evaluate("video => [video.videoWidth, video.videoHeight]") == [640, 360]
    before = await video.evaluate("video => video.currentTime")
    await eventually(lambda: video.evaluate(f"video => video.currentTime > {before} + 1"))
    behind = "video => video.buffered.end(video.buffered.length - 1) - video.currentTime"
    # A machine that paused meanwhile has it catch up.
    await eventually(lambda: video.evaluate(f"video => ({behind})(video) < 2"))
    await shows_a_bare_head(gate)
    await plays(deck, form="pictures")
    await expect(deck.locator("[data-test=wall-why]")).to_contain_text("H.265")
    await expect(deck).to_have_attribute("data-codec", "hevc")
    await shows_a_bare_head(deck)
    await expect(metro.locator("[data-test=wall-cover]")).to_contain_text("无法连接")
    await visit.shot("wall-zh")

    # That somebody looked at unblurred video is on record, once, and only of what was seen.
    looks = await told(connection, "SELECT actor, object FROM audit WHERE action = 'camera.video' ORDER BY object")
    assert ("code-operator", f"camera:{city.ids['gate-riverside']}") in looks
    assert len(looks) == len(set(looks))

    async with page.expect_download() as saving:
        await gate.locator("[data-test=snapshot]").click()
    saved = await saving.value
    assert saved.suggested_filename.startswith("riverside-gate-riverside-2")
    assert (await saved.path()).read_bytes()[:2] == b"\xff\xd8"


async def test_the_layout_is_chosen_and_remembered(visit: Visit, city: World, cameras: RtspServer) -> None:
    page = visit.page
    await visit.log_in(at="/wall")
    await page.click("[data-test=language]")
    tiles = page.locator("[data-test=wall-tile]")
    size = page.locator("[data-test=wall-size]")
    await size.get_by_text("1", exact=True).click()
    await expect(tiles).to_have_count(1)
    await expect(page.locator("[data-test=wall-page]")).to_have_text("Page 1/4")
    await page.click("[data-test=wall-after]")
    await expect(page.locator("[data-test=wall-page]")).to_have_text("Page 2/4")
    await size.get_by_text("9", exact=True).click()
    await expect(tiles).to_have_count(4)
    await page.click("[data-test=wall-site]")
    await page.get_by_role("option", name="Riverside lot 1").click()
    await expect(tiles).to_have_count(2)
    await page.reload()
    await expect(tiles).to_have_count(2)
    await expect(size.locator(".is-selected")).to_have_text("9")

    await size.get_by_text("4", exact=True).click()
    await page.click("[data-test=wall-full]")
    await expect(page.locator("[data-test=wall-full]")).to_have_text("Leave full screen")
    gate = tile(visit, "Gate")
    await plays(gate, form="video")
    await plays(tile(visit, "Working deck"), form="pictures")
    await visit.shot("wall-en-full")
    await page.click("[data-test=wall-full]")

    # A camera that goes is told over its tile, and plays again by itself.
    cameras.streams["h264"].refused = True
    cameras.streams["h264"].drop()
    await expect(gate.locator("[data-test=wall-cover]")).to_be_visible()
    cameras.streams["h264"].refused = False
    await expect(gate.locator("[data-test=wall-cover]")).to_have_count(0, timeout=60_000)
    await plays(gate, form="video")
    await page.set_viewport_size({"width": 390, "height": 844})
    await plays(gate, form="video")
    assert await page.evaluate("document.documentElement.scrollWidth") <= 390
    await visit.shot("wall-en-phone")


async def test_who_may_not_see_originals_gets_pictures_over_the_same_connection(
    visit: Visit, connection: psycopg.AsyncConnection
) -> None:
    sockets: list[str] = []
    visit.page.on("websocket", lambda socket: sockets.append(socket.url))
    await visit.page.set_viewport_size({"width": 390, "height": 844})
    await visit.log_in("officer", at="/wall")
    for name in ("大门", "作业面"):
        await plays(tile(visit, name), form="pictures")
        await expect(tile(visit, name).locator("[data-test=wall-why]")).to_contain_text("无查看原始视频的权限")
    await visit.shot("wall-zh-phone")
    assert len([url for url in sockets if url.endswith("/video")]) == 1
    assert await told(connection, "SELECT * FROM audit WHERE action = 'camera.video'") == []


async def test_a_browser_without_media_source_gets_pictures(visit: Visit) -> None:
    await visit.page.add_init_script("delete window.MediaSource")
    await visit.log_in(at="/wall")
    gate = tile(visit, "大门 · 滨江")
    await plays(gate, form="pictures")
    await expect(gate.locator("[data-test=wall-why]")).to_contain_text("此浏览器不支持")
