"""The live push: one reader of the log a process, changes batched, encoded once for each distinct scope.

Protocol (docs/api.md): `hello` with the present state, then at most one `batch` every 400 ms with what changed. Each
message has a cursor; who comes back with the last one gets what was missed, or is told to read anew. No message waits
for a client: each takes what is newest (api.journal) when it has taken what came before, so that a slow one holds up
nobody and costs no memory; one that takes nothing for ten seconds is closed.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import math
import re
import secrets
from typing import Annotated, Any

import msgspec
import psycopg
from fastapi import APIRouter, Query, WebSocket

from api import picture
from api.access import Seen, Viewer
from api.alert_models import Alert, alert_fields, find_alerts
from api.context import Here, millis
from api.journal import Journal
from api.metrics import LIVE_BATCHES, LIVE_CLIENTS, LIVE_DROPPED
from api.newest import Readings
from api.picture import Picture
from api.sockets import close
from core import log
from core.clock import Clock
from core.database import Reconnecting, is_outage
from core.errors import SmartsiteError
from core.settings import DatabaseSettings
from sensors import entries

logger = logging.getLogger(__name__)
router = APIRouter()

# At readings once a second nobody sees more; each turn costs the same, however much it tells.
BATCH_S = 0.4
# Absence shows by itself, without any entry of the log: the state is looked at this often in any case.
_LOOK_S = 2.0
# A client that takes nothing for so long is gone, or so slow that coming back is better.
_STUCK_S = 10.0
# What happens for so long after the last client has left is kept for its return: a lone one may lose its connection.
_KEEP_S = 120.0
_READ = 256
_ALERTS = 200
TOO_SLOW = 1013

_CURSOR = re.compile(r"(?P<epoch>[0-9a-f]{8})\.(?P<number>\d{1,15})\.(?P<tag>[0-9a-f]{8})")

Scope = frozenset[int] | None
_encoder = msgspec.json.Encoder()


class Client:
    """One live connection: its scope and how far it was told."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        # Rights may change between two connections: a cursor holds for the sites that it was given for.
        sites = "all" if scope is None else ",".join(map(str, sorted(scope)))
        self.tag = hashlib.sha256(sites.encode()).hexdigest()[:8]
        self.number = -1
        self.greeted = False


class Hub:
    """Follows the log and the state of things for all live clients of the process."""

    def __init__(self, settings: DatabaseSettings, *, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._reader = log.Reader("api-live", registered=False)
        self._clients: set[Client] = set()
        self._begun = False
        self._left_at = -math.inf
        self._readings = Readings()
        self._alerts: dict[int, None] = {}
        self._journal = Journal()
        # Numbers of another process, or of this one before it was started again, mean nothing here.
        self._epoch = secrets.token_hex(4)
        self._encoded: dict[tuple[int, Scope], str] = {}
        self._turned = asyncio.Event()
        self._picture: Picture | None = None
        self._looked_at = -math.inf
        self._stale = False

    def join(self, viewer: Viewer, after: str = "") -> Client:
        """A new client, which `next_message` greets first; `after`: the cursor of the last message that it had."""
        client = Client(None if viewer.all_sites else frozenset(viewer.sites))
        known = _CURSOR.fullmatch(after)
        if known and (known["epoch"], known["tag"]) == (self._epoch, client.tag):
            client.number = int(known["number"])
        self._clients.add(client)
        LIVE_CLIENTS.inc()
        return client

    def cursor(self, viewer: Viewer) -> str:
        """Where the push stands: what is read from now on and what comes after this cursor leave nothing out."""
        client = Client(None if viewer.all_sites else frozenset(viewer.sites))
        client.number = self._journal.number
        self._left_at = self._clock.monotonic()
        return self._cursor(client)

    def _cursor(self, client: Client) -> str:
        return f"{self._epoch}.{client.number}.{client.tag}"

    def leave(self, client: Client) -> None:
        """Forget the client."""
        self._clients.discard(client)
        self._left_at = self._clock.monotonic()
        LIVE_CLIENTS.dec()

    async def next_message(self, client: Client) -> str:
        """Wait for what the client does not know yet: the newest of it, however long ago it asked last."""
        while True:
            if not client.greeted or client.number < self._journal.floor:
                if self._picture is not None and self._clock.monotonic() - self._looked_at < 2 * _LOOK_S:
                    return self._hello(client, self._picture)
            elif client.number < self._journal.number:
                since, client.number = client.number, self._journal.number
                if text := self._news(client, since):
                    return text
            await self._turned.wait()

    def _hello(self, client: Client, state: Picture) -> str:
        resumed = not client.greeted and self._journal.floor <= client.number <= self._journal.number
        if not resumed:
            client.number = self._journal.number
        client.greeted = True
        lists = {
            name: items if client.scope is None else [item for item in items if item["site_id"] in client.scope]
            for name, items in picture.whole(state).items()
        }
        return self._encode("hello", client, {"resumed": resumed, **lists})

    def _news(self, client: Client, since: int) -> str:
        """The batch for all who stand where this client does; empty where nothing in it is of its sites."""
        key = (since, client.scope)
        text = self._encoded.get(key)
        if text is None:
            changed = self._journal.since(since, client.scope)
            text = self._encode("batch", client, changed) if any(changed.values()) else ""
            self._encoded[key] = text
        return text

    def _encode(self, kind: str, client: Client, content: dict[str, Any]) -> str:
        head = {
            "type": kind,
            "time": millis(self._clock.now()),
            "cursor": self._cursor(client),
        }
        return _encoder.encode(head | content).decode()

    async def run(self, stop: asyncio.Event) -> None:
        """Serve the clients until `stop`; while the database is away they wait."""
        keeper = Reconnecting(self._settings, application="api live", clock=self._clock)
        try:
            async for _ in log.doorbell(self._settings, clock=self._clock, stop=stop, rest_s=BATCH_S):
                try:
                    async with keeper.connection() as connection:
                        await self._turn(connection)
                except psycopg.Error as error:
                    if not is_outage(error):
                        raise
        finally:
            await keeper.close()

    async def _turn(self, connection: psycopg.AsyncConnection) -> None:
        idle = not self._clients and self._clock.monotonic() - self._left_at > _KEEP_S
        if idle or not self._begun:
            # Nobody looks: only stay at the end, so that the next to come misses nothing.
            await self._reader.open(connection, at="end")
            self._begun = True
            self._readings.drain()
            self._alerts.clear()
            self._journal.forget()
            self._picture = None
        if idle:
            return
        complete = await self._read(connection)
        ids = list(self._alerts)[:_ALERTS]
        alerts = await find_alerts(connection, None, ids=ids, limit=_ALERTS) if ids else []
        old = self._picture
        new = await self._look(connection) if self._clients else old

        # Nothing below waits: what was found is told, or is still pending where the database went away above.
        self._picture = new
        for number in ids:
            del self._alerts[number]
        if not complete:
            logger.warning("the log was trimmed before it was read; live clients read anew")
            self._journal.forget()
        changed = {
            "readings": self._readings.drain(),
            "alerts": [Alert(**alert_fields(one)).model_dump(mode="json") for one in alerts],
            **(picture.changes(old or new, new) if new is not None else picture.NOTHING),
        }
        if news := any(changed.values()):
            LIVE_BATCHES.inc()
            self._journal.add(changed)
            self._encoded.clear()
        if news or not complete or not all(client.greeted for client in self._clients):
            self._turned.set()
            self._turned = asyncio.Event()

    async def _read(self, connection: psycopg.AsyncConnection) -> bool:
        """Take in what the log has; False where something of it was dropped before it could be read."""
        complete, more = True, True
        while more:
            last = dict(self._reader.position)
            found = await self._reader.read(connection, _READ)
            for entry in found:
                stream = (entry.writer, entry.shard)
                # Streams have no gaps of their own.
                complete = complete and entry.sequence == last.get(stream, 0) + 1
                last[stream] = entry.sequence
                try:
                    self._take_in(entry)
                except SmartsiteError as error:
                    # Of another version of the program, say: the rest of the log goes on.
                    logger.warning(
                        "log entry left out of the live push",
                        extra={"writer": entry.writer, "sequence": entry.sequence, "error": error.message},
                    )
            more = len(found) == _READ
        return complete

    def _take_in(self, entry: log.Entry) -> None:
        if entry.kind is log.Kind.READINGS:
            self._readings.add(entry.payload)
        elif entry.kind in (log.Kind.ALERT, log.Kind.DEVICE):
            self._stale = True
            change = entries.decode(entry.payload)
            if isinstance(change, entries.AlertEntry):
                self._alerts[change.alert] = None

    async def _look(self, connection: psycopg.AsyncConnection) -> Picture:
        """The picture: taken anew after entries that bear on it and every two seconds."""
        due = self._clock.monotonic() - self._looked_at >= _LOOK_S
        if self._picture is not None and not (due or self._stale):
            return self._picture
        new = await picture.take(connection, self._clock.now())
        self._looked_at, self._stale = self._clock.monotonic(), False
        return new


@router.websocket("/live")
async def live(
    socket: WebSocket,
    viewer: Seen,
    context: Here,
    after: Annotated[str, Query(max_length=100, description="`cursor` of the last message of a lost connection.")] = "",
) -> None:
    """Push the state and its changes until the client leaves."""
    await socket.accept()
    client = context.hub.join(viewer, after)
    try:
        await context.sockets.attend(socket, viewer, context, _serve(socket, context.hub, client))
    finally:
        context.hub.leave(client)


async def _serve(socket: WebSocket, hub: Hub, client: Client) -> None:
    while True:
        message = await hub.next_message(client)
        try:
            async with asyncio.timeout(_STUCK_S):
                await socket.send_text(message)
        except TimeoutError:
            LIVE_DROPPED.inc()
            await close(socket, TOO_SLOW, "too_slow")
            return
