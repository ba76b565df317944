"""What ingest is compared with, each a process: `python -m benchmarks.ingest.peers NAME ...`.

`obvious URL PORT`: paho callback, json, one INSERT a message. `endpoint`: acknowledges and forgets. `subscriber PORT`:
takes everything from the broker and forgets. `queue URL USER PASSWORD QUEUE`: the same from a queue of RabbitMQ.
`copy URL FILE`: binary COPY of ready-made streams, a commit each.
They print `ready` with their port where they have one, and the number of messages when told on stdin to say it.
"""

from __future__ import annotations

import asyncio
import json
import pickle
import sys
import threading
import time
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pika
import psycopg
import uvloop
from psycopg import sql

from ingest.sources.amqp_link import parameters_of

CHANNELS = ("pm10", "pm2_5", "tsp", "laeq", "temperature", "humidity", "pressure", "wind_speed")
OBVIOUS_TABLE = f"""
CREATE TABLE reading_obvious (device text, time timestamptz, {", ".join(f"{name} real" for name in CHANNELS)},
    PRIMARY KEY (device, time))
"""
_INSERT = (
    f"INSERT INTO reading_obvious VALUES (%s, to_timestamp(%s), {', '.join(['%s'] * len(CHANNELS))})"
    " ON CONFLICT DO NOTHING"
)
_FILTER = "smartsite/v1/+/+/telemetry"


def obvious(url: str, port: int) -> None:
    """The way of most tutorials, with the mercy of a prepared statement."""
    connection = psycopg.connect(url, autocommit=True)

    def on_message(_client: Any, _data: Any, message: paho.MQTTMessage) -> None:
        body = json.loads(message.payload)
        device = "/".join(message.topic.split("/")[2:4])
        values = body["values"]
        connection.execute(_INSERT, [device, body["ts"] / 1000, *(values.get(name) for name in CHANNELS)])

    _subscribe(port, on_message)


def subscriber(port: int) -> None:
    """The ceiling of any subscriber written with paho."""
    count = 0

    def on_message(_client: Any, _data: Any, _message: paho.MQTTMessage) -> None:
        nonlocal count
        count += 1

    _subscribe(port, on_message, lambda: count)


def _subscribe(port: int, on_message: Any, count: Any = lambda: 0) -> None:
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, "bench", protocol=paho.MQTTv5)
    properties = paho.Properties(paho.PacketTypes.CONNECT)  # type: ignore[attr-defined,no-untyped-call]
    properties.ReceiveMaximum = 1000
    client.on_message = on_message
    client.on_subscribe = lambda *_: print("ready 0", flush=True)
    client.connect("127.0.0.1", port, properties=properties)
    client.subscribe(_FILTER, qos=1)
    client.loop_start()
    for _ in sys.stdin:
        print(count(), flush=True)


def queue(url: str, user: str, password: str, name: str) -> None:
    """The ceiling of any consumer written with pika."""
    count = 0

    def take(channel: Any, method: Any, _properties: Any, _body: bytes) -> None:
        nonlocal count
        count += 1
        if count % 100 == 0:
            channel.basic_ack(method.delivery_tag, multiple=True)

    def begin(channel: Any) -> None:
        channel.basic_qos(prefetch_count=2000)
        channel.basic_consume(name, take, callback=lambda _: print("ready 0", flush=True))

    parameters = parameters_of(url, user=user, password=password, name="bench")
    connection = pika.SelectConnection(parameters, lambda opened: opened.channel(on_open_callback=begin))
    threading.Thread(target=connection.ioloop.start, daemon=True).start()
    for _ in sys.stdin:
        print(count, flush=True)


class Nothing(asyncio.Protocol):
    """Cuts packets of at most 16 KiB apart and acknowledges them, nothing else."""

    def __init__(self) -> None:
        self._transport: Any = None
        self._held = b""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        data = self._held + data if self._held else data
        out: list[bytes] = []
        at, end = 0, len(data)
        while end - at >= 3:
            length, start = data[at + 1], at + 2
            if length > 0x7F:
                length, start = (length & 0x7F) | data[at + 2] << 7, at + 3
            stop = start + length
            if stop > end:
                break
            if data[at] == 0x10:
                out.append(b"\x20\2\0\0")
            else:
                place = start + 2 + (data[start] << 8 | data[start + 1])
                out.append(b"\x40\2" + data[place : place + 2])
            at = stop
        self._held = data[at:]
        self._transport.write(b"".join(out))


async def endpoint() -> None:
    """The ceiling of any endpoint written as an asyncio protocol."""
    server = await asyncio.get_running_loop().create_server(Nothing, "127.0.0.1", 0, backlog=1024)
    print(f"ready {server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


def copy(url: str, file: Path) -> None:
    """The ceiling of the database: ready-made binary COPY streams, one commit each; prints the seconds."""
    table, columns, streams = pickle.loads(file.read_bytes())
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary)").format(
        sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, columns))
    )
    with psycopg.connect(url, autocommit=True) as connection:
        print("ready 0", flush=True)
        sys.stdin.readline()
        started = time.perf_counter()
        for stream in streams:
            with connection.cursor() as cursor, cursor.copy(statement) as into:
                into.write(stream)
        print(time.perf_counter() - started, flush=True)


if __name__ == "__main__":
    name, *rest = sys.argv[1:]
    if name == "obvious":
        obvious(rest[0], int(rest[1]))
    elif name == "subscriber":
        subscriber(int(rest[0]))
    elif name == "queue":
        queue(rest[0], rest[1], rest[2], rest[3])
    elif name == "copy":
        copy(rest[0], Path(rest[1]))
    else:
        uvloop.run(endpoint())
