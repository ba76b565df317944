"""`python -m benchmarks.live.peers WAY`: the same readings to the same clients by other means, without a database.

`broadcast`: encoded once, `websockets.broadcast`: the least that 50 connections cost in Python. `dumps`: Starlette,
`json.dumps` for each client and batch. `single`: Starlette, one message a reading and client. Both make the readings of
200 stations in memory by themselves, so they do less than a platform does. Prints the port.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

import msgspec
import uvicorn
from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from websockets.asyncio.server import broadcast, serve

from api.live import BATCH_S
from benchmarks.live.crowd import CHANNELS
from benchmarks.live.stage import SITES

HELLO = '{"type": "hello"}'

_BATCH = round(SITES * BATCH_S)

Item = dict[str, Any]


def readings(number: int) -> list[Item]:
    """Those of the stations that speak within a batch's time, each once a second, as the push tells them."""
    now = time.time()
    values = {name: {"value": 30 + round(now % 60, 1), "quality": "N"} for name in CHANNELS}
    return [
        {"device_id": station, "site_id": station, "time": round(now * 1000), "values": values}
        for station in (place % SITES for place in range(number * _BATCH, (number + 1) * _BATCH))
    ]


def message(items: list[Item]) -> Item:
    """A batch."""
    empty: dict[str, Any] = {"alerts": [], "sites": [], "devices": [], "cameras": []}
    return {"type": "batch", "time": round(time.time() * 1000), "readings": items, **empty}


async def every_batch(send: Callable[[list[Item]], Any]) -> None:
    """Call `send` as often as the platform does."""
    began, number = time.monotonic(), 0
    while True:
        await asyncio.sleep(began + number * BATCH_S - time.monotonic())
        await send(readings(number))
        number += 1


async def by_broadcast() -> None:
    """websockets alone."""
    async with serve(greet, "127.0.0.1", 0, compression=None) as server:
        print(next(iter(server.sockets)).getsockname()[1], flush=True)

        async def send(items: list[Item]) -> None:
            broadcast(server.connections, msgspec.json.encode(message(items)).decode())

        await every_batch(send)


async def greet(channel: Any) -> None:
    """Keep a client until it leaves."""
    await channel.send(HELLO)
    await channel.wait_closed()


async def by_starlette(*, single: bool) -> None:
    """What a first version of a platform does."""
    app, clients = FastAPI(), set[WebSocket]()

    @app.websocket("/api/v1/live")
    async def live(channel: WebSocket) -> None:
        await channel.accept()
        await channel.send_text(HELLO)
        clients.add(channel)
        try:
            while True:
                await channel.receive_text()
        except WebSocketDisconnect:
            clients.discard(channel)

    async def send(items: list[Item]) -> None:
        for client in list(clients):
            for part in [[item] for item in items] if single else [items]:
                try:
                    await client.send_text(json.dumps(message(part)))
                except (WebSocketDisconnect, RuntimeError):
                    clients.discard(client)

    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    config = uvicorn.Config(app, log_level="warning", ws_per_message_deflate=False, lifespan="off")
    async with asyncio.TaskGroup() as group:
        group.create_task(uvicorn.Server(config).serve(sockets=[listener]))
        group.create_task(every_batch(send))


if __name__ == "__main__":
    way = sys.argv[1]
    asyncio.run(by_broadcast() if way == "broadcast" else by_starlette(single=way == "single"))
