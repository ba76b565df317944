"""HJ 212 stations made by hand: they speak bytes over a plain socket."""

from __future__ import annotations

import asyncio
import contextlib
import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import psycopg

from core.settings import Settings
from sensors.hj212 import compose
from sensors.hj212.framing import Splitter
from sensors.hj212.packet import Packet, check, open_frame, write
from sensors.hj212.policy import Policy
from tests.ingest.plant import Plant, furnish, with_ingest

BEIJING = timezone(timedelta(hours=8))
MN = {name: f"010000A8900016F000169D{place:02d}" for place, name in enumerate(("d1", "d2", "d3", "b1"))}


def with_gateway(settings: Settings, **fields: Any) -> Settings:
    """Settings whose only source is the gateway, on a free local port."""
    return with_ingest(settings, sources=["hj212"], hj212_host="127.0.0.1", hj212_port=0, **fields)


async def furnish_stations(url: str, **options: dict[str, Any]) -> None:
    """The registry of `furnish`, its dust stations with an MN each; options by device code."""
    await furnish(url)
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        for code, mn in MN.items():
            await connection.execute(
                "UPDATE device SET mn = %s, protocol_options = %s WHERE code = %s",
                [mn, json.dumps({"hj212": options.get(code, {})}), code],
            )


async def port_of(plant: Plant) -> int:
    """The port on which the gateway listens."""
    detail = await plant.value("SELECT detail FROM worker WHERE room = 'ingest'")
    return int(detail["hj212_port"])


def recent(seconds_ago: float = 0) -> datetime:
    """A whole second near now."""
    return (datetime.now(UTC) - timedelta(seconds=seconds_ago)).replace(microsecond=0)


def packet(name: str = "d1", *, cn: str = "2011", at: datetime | None = None, flag: int | None = 5) -> Packet:
    """The fields of a packet of a station."""
    moment = at or recent()
    number = compose.qn(moment, BEIJING)
    return Packet(cn=cn, mn=MN.get(name, name), qn=number, st="39", pw="123456", flag=flag)


def data(
    name: str = "d1", *, at: datetime | None = None, cn: str = "2011", flag: int | None = 5, **factors: dict[str, Any]
) -> bytes:
    """A data frame, CR LF included; factors are code -> {suffix: value}."""
    moment = at or recent()
    chosen = factors or {"a34002": {"Rtd": 152.3, "Flag": "N"}}
    (made,) = compose.data(packet(name, cn=cn, at=moment, flag=flag), moment, BEIJING, chosen)
    return write(made)


class Box:
    """A connection to the gateway."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer
        self._splitter = Splitter(65_536)
        self._got: list[Packet] = []

    @classmethod
    async def connect(cls, port: int) -> Box:
        """Connect."""
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def send(self, *frames: bytes) -> None:
        """Write frames in one go."""
        self.writer.write(b"".join(frames))
        await self.writer.drain()

    async def receive(self, timeout: float = 20) -> Packet:
        """The next packet from the platform."""
        async with asyncio.timeout(timeout):
            while not self._got:
                data = await self._reader.read(65_536)
                if not data:
                    raise ConnectionResetError("the gateway closed the connection")
                for piece in self._splitter.feed(data):
                    got, warnings = check(open_frame(piece.raw), Policy(length="strict"))
                    assert not warnings
                    self._got.append(got)
            return self._got.pop(0)

    async def closed(self, timeout: float = 20) -> None:
        """Wait until the gateway has closed the connection."""
        async with asyncio.timeout(timeout):
            try:
                while await self._reader.read(65_536):
                    pass
            except ConnectionResetError:
                pass

    async def close(self) -> None:
        """Hang up."""
        self.writer.close()
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            await self.writer.wait_closed()
