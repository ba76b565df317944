"""Which base map the page is told to draw, and the file that it may read."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from pmtiles.reader import MmapSource, Reader
from pmtiles.tile import TileType
from pydantic import ValidationError

from api.basemap import header_of
from core.settings import ApiSettings, MapSettings, Settings
from tests.api.conftest import LogIn
from tests.api.world import World
from tests.support import maptiles

TILES = "http://tiles.city.test/{z}/{x}/{y}.png"


@pytest.fixture
def base_map(request: pytest.FixtureRequest, tmp_path: Path) -> MapSettings:
    wanted: MapSettings = getattr(request, "param", MapSettings())
    return wanted.model_copy(update={"file": tmp_path / wanted.file}) if wanted.file else wanted


@pytest.fixture
def settings(settings: Settings, base_map: MapSettings) -> Settings:
    return settings.model_copy(update={"api": settings.api.model_copy(update={"map": base_map})})


async def test_without_settings_the_page_draws_its_own(log_in: LogIn, world: World) -> None:
    client = await log_in("officer")
    assert (await client.get("/api/v1/map")).json() == {
        "kind": "own",
        "url": "",
        "credit": "",
        "deepest_zoom": 0,
        "fault": None,
    }
    assert (await client.get("/api/v1/map/file")).status_code == 404


@pytest.mark.parametrize("base_map", [MapSettings(tiles=TILES, zoom=15, credit="GS(2024)0650")], indirect=True)
async def test_tiles_of_the_house_are_named_and_allowed(log_in: LogIn, world: World) -> None:
    client = await log_in("officer")
    answer = await client.get("/api/v1/map")
    assert answer.json() == {
        "kind": "tiles",
        "url": TILES,
        "credit": "GS(2024)0650",
        "deepest_zoom": 15,
        "fault": None,
    }
    pictures = next(
        part for part in answer.headers["Content-Security-Policy"].split("; ") if part.startswith("img-src")
    )
    assert pictures == "img-src 'self' blob: data: http://tiles.city.test"


@pytest.mark.parametrize("base_map", [MapSettings(file=Path("city.pmtiles"), credit="测绘院")], indirect=True)
async def test_a_file_is_read_in_ranges_by_who_is_logged_in(
    log_in: LogIn, world: World, visitor: httpx.AsyncClient, base_map: MapSettings
) -> None:
    client = await log_in("officer")
    # The file may come later: nothing needs to be started again.
    assert (await client.get("/api/v1/map")).json()["fault"] == "missing"
    assert base_map.file is not None
    path = maptiles.archive(base_map.file, maptiles.vector(), TileType.MVT)
    told = (await client.get("/api/v1/map")).json()
    assert (told["kind"], told["deepest_zoom"], told["credit"]) == ("vector_file", maptiles.DEEPEST, "测绘院")
    part = await client.get(told["url"], headers={"Range": "bytes=0-6"})
    assert (part.status_code, part.content) == (206, b"PMTiles")
    assert (await client.get(told["url"])).content == path.read_bytes()
    assert (await visitor.get(told["url"])).status_code == 401


def test_the_header_tells_kind_and_depth(tmp_path: Path) -> None:
    path = maptiles.archive(tmp_path / "city.pmtiles", maptiles.picture(), TileType.PNG)
    assert header_of(path) == ("raster_file", maptiles.DEEPEST)
    with path.open("rb") as file:
        assert Reader(MmapSource(file)).header()["max_zoom"] == maptiles.DEEPEST


@pytest.mark.parametrize("content", [b"", b"PMTiles\x03", b"PMTiles\x02" + bytes(200), b"PMTiles\x03" + bytes(200)])
def test_what_is_no_map_is_told(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "city.pmtiles"
    path.write_bytes(content)
    assert header_of(path) == "no_pmtiles"
    assert header_of(tmp_path) == "missing"


@pytest.mark.parametrize(
    "wanted",
    [
        {"tiles": "http://tiles.city.test/{z}/{x}.png"},
        {"tiles": "tiles.city.test/{z}/{x}/{y}.png"},
        {"tiles": "ftp://tiles.city.test/{z}/{x}/{y}.png"},
        # Nothing that ends up in the policy may open it.
        {"tiles": "http://tiles.city.test;script-src/{z}/{x}/{y}.png"},
        {"tiles": "http://tiles.city.test /{z}/{x}/{y}.png"},
        {"tiles": TILES, "file": "city.pmtiles"},
    ],
)
def test_settings_that_make_no_map_are_refused(wanted: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        MapSettings.model_validate(wanted)


def test_tiles_behind_the_same_proxy_widen_nothing() -> None:
    assert ApiSettings(map=MapSettings(tiles="/tiles/{z}/{x}/{y}.png")).map.origin == ""
