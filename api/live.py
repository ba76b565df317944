"""The live push: one reader of the log a process, changes batched, encoded once for each distinct scope.

Protocol (docs/api.md): `hello` with the present state, then at most one `batch` every 250 ms with what changed. A
client that reads too slowly is dropped and starts anew; nothing grows on its account.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import msgspec
import psycopg
from fastapi import APIRouter, WebSocket

from api import picture
from api.access import Seen, Viewer
from api.alert_models import Alert, alert_fields, find_alerts
from api.context import Here, millis
from api.metrics import LIVE_BATCHES, LIVE_CLIENTS, LIVE_DROPPED
from api.picture import Item, Picture
from api.sockets import close
from core import log
from core.clock import Clock
from core.database import Reconnecting, is_outage
from core.errors import SmartsiteError
from core.settings import DatabaseSettings
from sensors import batch, entries

logger = logging.getLogger(__name__)
router = APIRouter()

BATCH_S = 0.25
# Absence shows by itself, without any entry of the log: the state is looked at this often in any case.
_LOOK_S = 2.0
# Ten seconds of batches; who is further behind than that is better off starting anew.
_QUEUE = 40
_READ = 256
_ALERTS = 200
TOO_SLOW = 1013

Scope = frozenset[int] | None
_encoder = msgspec.json.Encoder()


class Client:
    """One live connection: its scope and what waits to be sent."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.waiting: asyncio.Queue[str] = asyncio.Queue(_QUEUE)
        self.dropped = asyncio.Event()

    def offer(self, message: str) -> bool:
        """Queue a message; False where the client is too far behind and is given up."""
        try:
            self.waiting.put_nowait(message)
        except asyncio.QueueFull:
            self.dropped.set()
            return False
        return True


class Readings:
    """The newest reading of each device since the last batch."""

    def __init__(self) -> None:
        self._newest: dict[int, int] = {}
        self._pending: dict[int, Item] = {}

    def add(self, payload: bytes) -> None:
        """Take in a log entry of kind READINGS; a reading that came late never replaces a newer one."""
        for columns in batch.decode(payload):
            devices, times = columns.device.tolist(), columns.time.tolist()
            last: dict[int, int] = {}
            for place, (device, time) in enumerate(zip(devices, times, strict=True)):
                if time >= self._newest.get(device, time):
                    self._newest[device] = time
                    last[device] = place
            for device, place in last.items():
                self._pending[device] = {
                    "device_id": device,
                    "site_id": int(columns.site[place]),
                    "time": times[place] // 1000,
                    "values": _values(columns, place),
                }

    def drain(self) -> list[Item]:
        """What is new, and forget it."""
        items, self._pending = list(self._pending.values()), {}
        return items


def _values(columns: batch.ReadingBatch, place: int) -> dict[str, Item]:
    values = {}
    for channel, column in columns.values.items():
        letter = int(columns.quality[channel][place])
        if letter:
            value = float(column[place])
            # A channel may carry a quality letter and no value, which is NaN here and null in JSON.
            values[channel] = {"value": None if math.isnan(value) else value, "quality": chr(letter)}
    return values


class Hub:
    """Follows the log and the state of things for all live clients of the process."""

    def __init__(self, settings: DatabaseSettings, *, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._reader = log.Reader("api-live", registered=False)
        self._clients: set[Client] = set()
        self._joining: set[Client] = set()
        self._readings = Readings()
        self._alerts: dict[int, None] = {}
        self._picture: Picture | None = None
        self._looked_at = 0.0
        self._stale = False

    def join(self, viewer: Viewer) -> Client:
        """A new client; its hello comes with the next turn."""
        client = Client(None if viewer.all_sites else frozenset(viewer.sites))
        self._joining.add(client)
        LIVE_CLIENTS.inc()
        return client

    def leave(self, client: Client) -> None:
        """Forget the client."""
        self._clients.discard(client)
        self._joining.discard(client)
        LIVE_CLIENTS.dec()

    async def run(self, stop: asyncio.Event) -> None:
        """Serve the clients until `stop`; while the database is away they wait."""
        keeper = Reconnecting(self._settings, application="api live", clock=self._clock)
        try:
            async for _ in log.doorbell(self._settings, clock=self._clock, stop=stop):
                started = self._clock.monotonic()
                try:
                    async with keeper.connection() as connection:
                        await self._turn(connection)
                except psycopg.Error as error:
                    if not is_outage(error):
                        raise
                await self._clock.sleep(max(0.0, started + BATCH_S - self._clock.monotonic()))
        finally:
            await keeper.close()

    async def _turn(self, connection: psycopg.AsyncConnection) -> None:
        if not self._clients and not self._joining:
            # Nobody looks: only stay at the end, so that the next to come misses nothing.
            await self._reader.open(connection, at="end")
            self._alerts.clear()
            self._picture = None
            return
        joining = list(self._joining)
        await self._read(connection)
        ids = list(self._alerts)[:_ALERTS]
        alerts = await find_alerts(connection, None, ids=ids, limit=_ALERTS) if ids else []
        new = await self._look(connection, at_once=bool(joining))

        # Nothing below waits: what was found is told, or is still pending where the database went away above.
        old, self._picture = self._picture or new, new
        for number in ids:
            del self._alerts[number]
        changed = {
            "readings": self._readings.drain(),
            "alerts": [Alert(**alert_fields(one)).model_dump(mode="json") for one in alerts],
            **picture.changes(old, new),
        }
        if any(changed.values()):
            LIVE_BATCHES.inc()
            self._send(self._clients, "batch", changed)
        self._send(joining, "hello", picture.whole(new))
        self._clients.update(client for client in joining if client in self._joining)
        self._joining.difference_update(joining)

    async def _read(self, connection: psycopg.AsyncConnection) -> None:
        more = True
        while more:
            found = await self._reader.read(connection, _READ)
            for entry in found:
                try:
                    self._take_in(entry)
                except SmartsiteError as error:
                    # Of another version of the program, say: the rest of the log goes on.
                    logger.warning(
                        "log entry left out of the live push",
                        extra={"writer": entry.writer, "sequence": entry.sequence, "error": error.message},
                    )
            more = len(found) == _READ

    def _take_in(self, entry: log.Entry) -> None:
        if entry.kind is log.Kind.READINGS:
            self._readings.add(entry.payload)
        elif entry.kind in (log.Kind.ALERT, log.Kind.DEVICE):
            self._stale = True
            change = entries.decode(entry.payload)
            if isinstance(change, entries.AlertEntry):
                self._alerts[change.alert] = None

    async def _look(self, connection: psycopg.AsyncConnection, *, at_once: bool) -> Picture:
        """The picture: taken anew after entries that bear on it and every two seconds."""
        due = self._clock.monotonic() - self._looked_at >= _LOOK_S
        if self._picture is not None and not (due or self._stale or at_once):
            return self._picture
        new = await picture.take(connection, self._clock.now())
        self._looked_at, self._stale = self._clock.monotonic(), False
        return new

    def _send(self, clients: Iterable[Client], kind: str, lists: dict[str, list[Item]]) -> None:
        """Cut to each scope, encode once a scope, and queue; leave out a batch with nothing of the scope in it."""
        by_scope: dict[Scope, list[Client]] = defaultdict(list)
        for client in clients:
            by_scope[client.scope].append(client)
        head: dict[str, Any] = {"type": kind, "time": millis(self._clock.now())}
        for scope, members in by_scope.items():
            cut = lists if scope is None else {name: _within(items, scope) for name, items in lists.items()}
            if kind == "batch" and not any(cut.values()):
                continue
            message = _encoder.encode(head | cut).decode()
            for client in members:
                if not client.offer(message):
                    LIVE_DROPPED.inc()
                    self._clients.discard(client)


def _within(items: list[Item], scope: frozenset[int]) -> list[Item]:
    return [item for item in items if item["site_id"] in scope]


@router.websocket("/live")
async def live(socket: WebSocket, viewer: Seen, context: Here) -> None:
    """Push the state and its changes until the client leaves."""
    await socket.accept()
    client = context.hub.join(viewer)
    try:
        await context.sockets.attend(socket, viewer, context, _serve(socket, client))
    finally:
        context.hub.leave(client)


async def _serve(socket: WebSocket, client: Client) -> None:
    dropped = asyncio.create_task(client.dropped.wait())
    sending = asyncio.create_task(_send_all(socket, client))
    try:
        await asyncio.wait({dropped, sending}, return_when=asyncio.FIRST_COMPLETED)
        if sending.done():
            sending.result()
        await close(socket, TOO_SLOW, "too_slow")
    finally:
        dropped.cancel()
        sending.cancel()
        await asyncio.gather(dropped, sending, return_exceptions=True)


async def _send_all(socket: WebSocket, client: Client) -> None:
    while True:
        await socket.send_text(await client.waiting.get())
