"""Cameras that people move: rows that api writes tell when, so that a view that changes is not taken for a fault."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol

import psycopg

from core.sql import queries

_SQL = queries(__package__)


class Told(Protocol):
    """Whoever watches a camera."""

    def moved(self, at: datetime) -> None: ...


class Moving:
    """Tells each camera's watcher of every time that it was moved, once."""

    def __init__(self, watchers: Mapping[int, Told]) -> None:
        self._watchers = watchers
        self._told: dict[int, tuple[Told, datetime]] = {}

    async def look(self, connection: psycopg.AsyncConnection[Any]) -> None:
        """Read what is new."""
        cursor = await connection.execute(_SQL["cameras_moved"], {"cameras": list(self._watchers)})
        for camera, at in await cursor.fetchall():
            watcher = self._watchers.get(camera)
            if watcher is None:
                continue  # the camera was let go of while the rows were read
            # A watcher that was started anew has heard nothing yet.
            news = (watcher, at)
            if self._told.get(camera) != news:
                self._told[camera] = news
                news[0].moved(at)
