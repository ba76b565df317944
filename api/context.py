"""What a request needs of its process: settings, clock, pool, stores; rows as dicts; the types of times and texts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, LiteralString

import httpx
from fastapi import Depends
from psycopg import AsyncConnection
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool
from pydantic import BeforeValidator, Field, StringConstraints
from starlette.requests import HTTPConnection

from alerts.linkage import Linkage
from core.clock import Clock, micros
from core.evidence import EvidenceStore
from core.settings import Settings
from core.workers import BEAT_S
from sensors.profiles import Profile

if TYPE_CHECKING:
    from api.limits import JudgedBy
    from api.live import Hub
    from api.looks import Looks
    from api.oidc.provider import Provider
    from api.ptz.desk import Desk
    from api.rates import Rates
    from api.relays import Relays
    from api.sockets import Sockets

# A process that missed two beats may be slow; after five it is taken for dead.
SILENT_AFTER = timedelta(seconds=5 * BEAT_S)

# Longer than any turn of work takes, short enough that an outage is told while the person still looks.
_WAIT_S = 2.0

Row = dict[str, Any]
Parameters = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Context:
    """One per process; hangs on the application as `app.state.context`."""

    settings: Settings
    clock: Clock
    pool: AsyncConnectionPool
    evidence: EvidenceStore
    profiles: Mapping[str, Profile]
    judged_by: JudgedBy
    linkages: Mapping[str, Linkage]
    http: httpx.AsyncClient
    hub: Hub
    relays: Relays
    looks: Looks
    sockets: Sockets
    rates: Rates
    ptz: Desk
    oidc: Provider | None
    """None where people log in by password alone."""

    def connection(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """A connection of the pool for a moment; PoolTimeout, an outage, where none is to be had."""
        return self.pool.connection(timeout=_WAIT_S)


def context_of(connection: HTTPConnection) -> Context:
    """The context, for routes and WebSockets alike."""
    context = connection.app.state.context
    assert isinstance(context, Context)
    return context


Here = Annotated[Context, Depends(context_of)]


async def _database(context: Here) -> AsyncIterator[AsyncConnection]:
    async with context.connection() as connection:
        yield connection


# Handed back before the answer is sent, so that a slow client holds no connection.
Database = Annotated[AsyncConnection, Depends(_database, scope="function")]


async def rows(connection: AsyncConnection, statement: LiteralString, parameters: Parameters) -> list[Row]:
    """All rows as dicts.

    Never as a prepared statement: filters that may be NULL need a plan made for the values at hand.
    """
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(statement, parameters, prepare=False)
        return await cursor.fetchall()


async def row(connection: AsyncConnection, statement: LiteralString, parameters: Parameters) -> Row | None:
    """The first row as a dict, or None."""
    found = await rows(connection, statement, parameters)
    return found[0] if found else None


# PostgreSQL holds every character but this one.
Text = Annotated[str, StringConstraints(pattern=r"^[^\x00]*$")]


def millis(moment: datetime) -> int:
    """Milliseconds since 1970-01-01 UTC."""
    return micros(moment) // 1000


def _to_millis(value: Any) -> Any:
    return millis(value) if isinstance(value, datetime) else value


Millis = Annotated[
    int,
    BeforeValidator(_to_millis),
    Field(description="Milliseconds since 1970-01-01 UTC.", examples=[1763690400000]),
]
