"""The base map in a real browser: the page's own, tiles of another host, PMTiles files, and what stands in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Locator, expect
from pmtiles.tile import TileType

from core.settings import MapSettings, Settings
from tests.support import maptiles
from tests.support.ports import free_port
from tests.support.wait import eventually
from tests.web.conftest import Visit

# One loop for all tests of the file, since they share the browser.
pytestmark = [pytest.mark.needs("browser"), pytest.mark.asyncio(loop_scope="module")]

CREDIT = "测绘院 GS(2024)0650 <b>"
# Pixels that are neither clear nor black.
DRAWN = """canvas => {
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height)
    let count = 0
    for (let i = 0; i < data.length; i += 4) if (data[i + 3] > 0 && data[i] > 0) count += 1
    return count / (data.length / 4)
}"""


@pytest_asyncio.fixture(loop_scope="module")
async def tile_host() -> AsyncIterator[str]:
    """Origin of a host that answers every request with a picture."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = maptiles.picture()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()
    await server.wait_closed()


@pytest.fixture
def settings(settings: Settings, request: pytest.FixtureRequest, tmp_path: Path, tile_host: str) -> Settings:
    made = {
        "tiles": lambda: MapSettings(tiles=f"{tile_host}/{{z}}/{{x}}/{{y}}.png", zoom=6, credit=CREDIT),
        "silent": lambda: MapSettings(tiles=f"http://127.0.0.1:{free_port()}/{{z}}/{{x}}/{{y}}.png"),
        "pictures": lambda: MapSettings(
            file=maptiles.archive(tmp_path / "pictures.pmtiles", maptiles.picture(), TileType.PNG), credit=CREDIT
        ),
        "vector": lambda: MapSettings(
            file=maptiles.archive(tmp_path / "vector.pmtiles", maptiles.vector(), TileType.MVT), credit=CREDIT
        ),
        "missing": lambda: MapSettings(file=tmp_path / "nowhere.pmtiles"),
    }
    return settings.model_copy(
        update={"api": settings.api.model_copy(update={"map": made[request.node.callspec.params["kind"]]()})}
    )


def tiles(visit: Visit, element: str) -> Locator:
    return visit.page.locator(f"[data-test=map] .leaflet-tile-pane {element}")


async def house_map_alone(visit: Visit) -> None:
    """Its credit is shown as text; nothing of the page's own map lies below it."""
    await expect(visit.page.locator(".leaflet-control-attribution")).to_have_text(CREDIT)
    await expect(visit.page.locator(".leaflet-ground-pane")).to_have_count(0)
    await expect(visit.page.locator(".site-marker")).to_have_count(4)


@pytest.mark.parametrize("kind", ["tiles"])
async def test_tiles_of_another_host_are_drawn(visit: Visit, kind: str, tile_host: str) -> None:
    await visit.log_in()
    await eventually(lambda: tiles(visit, "img.leaflet-tile-loaded").first.evaluate("image => image.naturalWidth > 0"))
    await house_map_alone(visit)
    await visit.shot("basemap-tiles")
    # That host was allowed by the settings; no other was asked.
    assert all(tile_host in fault for fault in visit.faults)
    visit.faults.clear()


@pytest.mark.parametrize("kind", ["pictures"])
async def test_a_file_of_pictures_is_drawn(visit: Visit, kind: str) -> None:
    await visit.log_in()
    await eventually(lambda: tiles(visit, "img.leaflet-tile-loaded").first.evaluate("image => image.naturalWidth > 0"))
    await house_map_alone(visit)


@pytest.mark.parametrize("kind", ["vector"])
async def test_a_file_of_vector_tiles_is_drawn_in_either_language(visit: Visit, kind: str) -> None:
    await visit.log_in()
    canvas = tiles(visit, "canvas").first
    await eventually(lambda: canvas.evaluate(f"canvas => ({DRAWN})(canvas) > 0.9"))
    await house_map_alone(visit)
    await visit.page.click("[data-test=language]")
    await eventually(lambda: canvas.evaluate(f"canvas => ({DRAWN})(canvas) > 0.9"))
    await visit.shot("basemap-vector")


@pytest.mark.parametrize(
    ("kind", "word"),
    [("silent", "地图瓦片无法加载，暂用自带底图"), ("missing", "设置中的地图文件不存在或不可读，暂用自带底图")],
)
async def test_the_pages_own_map_stands_in_and_says_why(visit: Visit, kind: str, word: str) -> None:
    await visit.log_in()
    await expect(visit.page.get_by_role("alert").filter(has_text=word)).to_be_visible()
    await expect(visit.page.locator(".leaflet-ground-pane canvas").first).to_be_visible()
    # The browser itself tells of tiles that it could not get.
    visit.faults[:] = [fault for fault in visit.faults if ".png" not in fault and "ERR_CONNECTION" not in fault]
