"""The base map that the page draws sites on: its own, tiles of the house's network, or one PMTiles file.

A PMTiles archive (specification version 3) is read by the browser in ranges of bytes; only its header is read here.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Literal, NamedTuple

from fastapi import APIRouter
from fastapi.responses import FileResponse
from pydantic import BaseModel, Field

from api.access import Seen
from api.context import Here
from api.errors import documented
from core.errors import NotFound
from core.settings import MapSettings

router = APIRouter(prefix="/map", tags=["sites"])

FILE = "/api/v1/map/file"

Kind = Literal["own", "tiles", "raster_file", "vector_file"]
Fault = Literal["missing", "no_pmtiles"]

_HEADER = 127
_MAGIC = b"PMTiles\x03"
_TILE_TYPE, _DEEPEST = 99, 101
_KINDS: dict[int, Kind] = {1: "vector_file", 2: "raster_file", 3: "raster_file", 4: "raster_file", 5: "raster_file"}
_TYPE = "application/vnd.pmtiles"
_CACHE = {"Cache-Control": "private, max-age=3600"}


class BaseMap(BaseModel):
    """What the page draws below the sites."""

    kind: Kind = Field(
        description="own: the page's outlines; tiles: pictures by `url`; raster_file, vector_file: PMTiles at `url`."
    )
    url: str = Field(description="Template with {z}, {x}, {y} or address of the file; empty: own.", examples=[FILE])
    credit: str = Field(description="Shown on the map, such as its approval number.", examples=["GS(2024)0650"])
    deepest_zoom: int = Field(description="Of the tiles; deeper views enlarge them.", examples=[15])
    fault: Fault | None = Field(
        description="Why the map of the settings is not used: the file is missing, or no PMTiles file of version 3."
    )


class Header(NamedTuple):
    """What of a PMTiles file's header counts here."""

    kind: Kind
    deepest_zoom: int


def header_of(path: Path) -> Header | Fault:
    """Kind and deepest zoom of a PMTiles file, or what is wrong with it."""
    try:
        with path.open("rb") as file:
            start = file.read(_HEADER)
    except OSError:
        return "missing"
    kind = _KINDS.get(start[_TILE_TYPE]) if len(start) == _HEADER and start.startswith(_MAGIC) else None
    return Header(kind, start[_DEEPEST]) if kind else "no_pmtiles"


@router.get("", summary="The base map", responses=documented(401))
async def base_map(_viewer: Seen, context: Here) -> BaseMap:
    """Which map the settings name, and whether it can be used; the page's own map is there in any case."""
    wanted: MapSettings = context.settings.api.map
    if wanted.tiles:
        return BaseMap(kind="tiles", url=wanted.tiles, credit=wanted.credit, deepest_zoom=wanted.zoom, fault=None)
    found = await asyncio.to_thread(header_of, wanted.file) if wanted.file else None
    if isinstance(found, Header):
        return BaseMap(kind=found.kind, url=FILE, credit=wanted.credit, deepest_zoom=found.deepest_zoom, fault=None)
    return BaseMap(kind="own", url="", credit="" if found else wanted.credit, deepest_zoom=0, fault=found)


@router.get(
    "/file",
    summary="The PMTiles file of the base map",
    responses={
        **documented(401, 404),
        200: {"content": {_TYPE: {}}},
        206: {"description": "A range of bytes.", "content": {_TYPE: {}}},
    },
    response_class=FileResponse,
)
async def file(_viewer: Seen, context: Here) -> FileResponse:
    """The file that the settings name; ask for ranges of bytes (`Range`), it may be large."""
    path = context.settings.api.map.file
    if path is None or not isinstance(await asyncio.to_thread(header_of, path), Header):
        raise NotFound("there is no map file", hint="GET /map tells why, and which map to draw instead")
    return FileResponse(path, media_type=_TYPE, headers=_CACHE)
