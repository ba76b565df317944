"""What a request needs of its process: settings, clock, pool, stores; and the types of times and pages in answers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Depends
from psycopg import AsyncConnection
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool
from pydantic import BeforeValidator, Field
from starlette.requests import HTTPConnection

from core.clock import Clock, micros
from core.evidence import EvidenceStore
from core.settings import Settings
from sensors.profiles import Profile

if TYPE_CHECKING:
    from api.live import Hub

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
    hub: Hub


def context_of(connection: HTTPConnection) -> Context:
    """The context, for routes and WebSockets alike."""
    context = connection.app.state.context
    assert isinstance(context, Context)
    return context


Here = Annotated[Context, Depends(context_of)]


async def _database(context: Here) -> AsyncIterator[AsyncConnection]:
    async with context.pool.connection() as connection:
        yield connection


# Handed back before the answer is sent, so that a slow client holds no connection.
Database = Annotated[AsyncConnection, Depends(_database, scope="function")]


async def rows(connection: AsyncConnection, statement: str, parameters: Parameters) -> list[Row]:
    """All rows as dicts.

    Never as a prepared statement: filters that may be NULL need a plan made for the values at hand.
    """
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(statement.encode(), parameters, prepare=False)
        return await cursor.fetchall()


async def row(connection: AsyncConnection, statement: str, parameters: Parameters) -> Row | None:
    """The first row as a dict, or None."""
    found = await rows(connection, statement, parameters)
    return found[0] if found else None


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
