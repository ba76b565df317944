"""Small base maps: PMTiles files of pictures or of vector tiles, every tile alike."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from pmtiles.tile import Compression, TileType, zxy_to_tileid
from pmtiles.writer import write

DEEPEST = 4


def picture(grey: int = 90) -> bytes:
    """A tile as PNG."""
    done, encoded = cv2.imencode(".png", np.full((256, 256, 3), grey, np.uint8))
    assert done
    return encoded.tobytes()


def vector() -> bytes:
    """A Mapbox Vector Tile (specification 2.1) whose layer `earth` fills it."""
    # MoveTo 0,0; LineTo three corners; ClosePath. Parameters are zigzag-encoded.
    geometry = _packed([9, 0, 0, 26, 8192, 0, 0, 8192, 8191, 0, 15])
    feature = _field(3, 3) + _field(4, geometry)
    layer = _field(15, 2) + _field(1, b"earth") + _field(2, feature) + _field(5, 4096)
    return _field(3, layer)


def archive(path: Path, tile: bytes, kind: TileType) -> Path:
    """A PMTiles file with this tile at every place down to `DEEPEST`."""
    with write(str(path)) as writer:
        for zoom in range(DEEPEST + 1):
            for x in range(2**zoom):
                for y in range(2**zoom):
                    writer.write_tile(zxy_to_tileid(zoom, x, y), tile)
        writer.finalize(
            {
                "tile_type": kind,
                "tile_compression": Compression.NONE,
                "min_lon_e7": -1_800_000_000,
                "min_lat_e7": -850_000_000,
                "max_lon_e7": 1_800_000_000,
                "max_lat_e7": 850_000_000,
                "center_zoom": 0,
                "center_lon_e7": 0,
                "center_lat_e7": 0,
            },
            {"vector_layers": [{"id": "earth", "fields": {}}]},
        )
    return path


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes([*found, value])


def _packed(values: list[int]) -> bytes:
    return b"".join(_varint(value) for value in values)


def _field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    return _varint(number << 3 | 2) + _varint(len(value)) + value
