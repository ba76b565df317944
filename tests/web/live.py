"""What moves while the page is open: readings through the log, and a vision worker that serves one camera's stream."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import struct
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import numpy as np
import psycopg
from psycopg.types.json import Jsonb
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from core import log
from core.clock import micros
from sensors import batch
from tests.web.city import picture


async def publish(
    connection: psycopg.AsyncConnection, *, device: int, site: int, kind: str, values: dict[str, float]
) -> None:
    """One reading of now, as ingest would announce it."""
    now = micros(datetime.now(UTC))
    columns = batch.ReadingBatch(
        kind=kind,
        device=np.array([device], np.int32),
        site=np.array([site], np.int32),
        time=np.array([now], np.int64),
        values={name: np.array([value], np.float64) for name, value in values.items()},
        quality={name: np.array([batch.NORMAL], np.uint8) for name in values},
        flags=np.zeros(1, np.uint8),
        arrived=now,
    )
    entry = log.NewEntry(log.shard_of(site), log.Kind.READINGS, batch.encode([columns]))
    async with connection.transaction():
        await log.append(connection, "ingest-0", [entry])


def frame(number: int) -> bytes:
    """One message of the stream: a bare head that wanders, and a helmet."""
    shift = 0.05 * math.sin(number / 5)
    boxes: list[dict[str, Any]] = [
        {"x1": 0.36 + shift, "y1": 0.14, "x2": 0.48 + shift, "y2": 0.36, "label": "head", "score": 0.86, "track": 4},
        {"x1": 0.7, "y1": 0.4, "x2": 0.78, "y2": 0.55, "label": "helmet", "score": 0.93, "track": 5},
    ]
    header = {"time": round(datetime.now(UTC).timestamp() * 1000), "width": 1280, "height": 720, "boxes": boxes}
    text = json.dumps(header).encode()
    return struct.pack("<I", len(text)) + text + picture(f"frame {number}", size=(1280, 720))


@contextlib.asynccontextmanager
async def vision_worker(connection: psycopg.AsyncConnection) -> AsyncIterator[None]:
    """Serves the stream of every camera on a free port and keeps its heartbeat fresh."""

    async def stream(socket: ServerConnection) -> None:
        for number in range(10_000):
            await socket.send(frame(number))
            await asyncio.sleep(0.2)

    def still(connection: ServerConnection, request: Request) -> Response | None:
        if not request.path.partition("?")[0].endswith("/snapshot.jpg"):
            return None
        body = picture("still")
        return Response(HTTPStatus.OK, "OK", Headers({"Content-Length": str(len(body))}), body)

    async with serve(stream, "127.0.0.1", 0, process_request=still) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        await connection.execute(
            "INSERT INTO worker VALUES ('vision-0', 'vision', 'host', 4713, now(), now() + interval '1 hour', %s)",
            [Jsonb({"live_host": "127.0.0.1", "live_port": port})],
        )
        yield
