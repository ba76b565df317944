"""Connections to PostgreSQL: autocommit, UTC, named after the process that holds them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator

import psycopg
from psycopg import errors as pg
from psycopg_pool import AsyncConnectionPool

from core.clock import Clock
from core.errors import ConfigurationError
from core.settings import DatabaseSettings

logger = logging.getLogger(__name__)

_FIRST_DELAY, _LAST_DELAY = 0.2, 5.0
# TimescaleDB refuses a transaction that changes columns of more than 100,000 rows. Late readings of many devices do,
# and their roll-ups; what is refused once would be refused for ever. Elsewhere the name means nothing.
_OPTIONS = "-c timezone=UTC -c timescaledb.max_tuples_decompressed_per_dml_transaction=0"


def _arguments(settings: DatabaseSettings, application: str) -> dict[str, object]:
    if settings.url is None:
        raise ConfigurationError(
            "no database is configured",
            hint="set SMARTSITE_DATABASE__URL, or let `smartsite up` start the embedded one",
        )
    return {
        "conninfo": settings.url.get_secret_value(),
        "application_name": f"smartsite {application}",
        "connect_timeout": max(2, round(settings.connect_timeout_s)),
        "options": _OPTIONS,
        # A peer that vanished without a word is noticed within half a minute.
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
    }


async def connect(settings: DatabaseSettings, *, application: str) -> psycopg.AsyncConnection:
    """Open one autocommit connection; statements that belong together go in `async with c.transaction()`."""
    return await psycopg.AsyncConnection.connect(autocommit=True, **_arguments(settings, application))  # type: ignore[arg-type]


def connect_sync(settings: DatabaseSettings, *, application: str) -> psycopg.Connection:
    """The same for code that runs outside an event loop."""
    return psycopg.Connection.connect(autocommit=True, **_arguments(settings, application))  # type: ignore[arg-type]


async def open_pool(settings: DatabaseSettings, *, application: str, size: int | None = None) -> AsyncConnectionPool:
    """An opened pool that checks a connection before it hands it out; it opens even while the database is away."""
    arguments = _arguments(settings, application)
    pool = AsyncConnectionPool(
        str(arguments.pop("conninfo")),
        kwargs={"autocommit": True, **arguments},
        min_size=1,
        max_size=size or settings.pool_size,
        timeout=settings.connect_timeout_s,
        check=AsyncConnectionPool.check_connection,
        open=False,
        name=application,
    )
    await pool.open()
    return pool


def is_outage(error: BaseException) -> bool:
    """True where the database is away or going away, so that the same work may succeed later.

    A statement that is wrong, a full disk or a refused password is no outage: trying again would hide it.
    """
    if isinstance(error, pg.InvalidPassword | pg.InvalidAuthorizationSpecification | pg.InvalidCatalogName):
        return False
    if isinstance(error, pg.DiskFull | pg.OutOfMemory | pg.ConfigurationLimitExceeded | pg.QueryCanceled):
        return False
    if isinstance(error, psycopg.OperationalError):
        return True
    # A lost connection shows as InterfaceError on its next use.
    return isinstance(error, psycopg.InterfaceError) and "connection" in str(error)


class Reconnecting:
    """One connection that is opened again, with back-off, as often as it is lost. Tasks that share it take turns."""

    def __init__(self, settings: DatabaseSettings, *, application: str, clock: Clock) -> None:
        self._settings = settings
        self._application = application
        self._clock = clock
        self._connection: psycopg.AsyncConnection | None = None
        self._turn = asyncio.Lock()

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[psycopg.AsyncConnection]:
        """Yield a live connection, waiting as long as the database is away or another task has it.

        What the body raises passes through; after an outage (`is_outage`) the connection is dropped, so that the
        caller's next turn gets a fresh one. The body must not ask for it again: it would wait for itself.
        """
        # Of two tasks that open it at once one would be left open and nobody's; transactions of two would mix.
        async with self._turn:
            connection = await self._ready()
            try:
                yield connection
            except BaseException:
                # Whatever went wrong in mid-transaction, a fresh session is the one known state.
                if connection.closed or connection.broken or connection.info.transaction_status != 0:
                    await self.close()
                raise

    async def _ready(self) -> psycopg.AsyncConnection:
        if self._connection is not None and not (self._connection.closed or self._connection.broken):
            return self._connection
        await self.close()
        delay, told = _FIRST_DELAY, False
        while True:
            try:
                self._connection = await connect(self._settings, application=self._application)
            except psycopg.OperationalError as error:
                if not is_outage(error):
                    raise
                if not told:
                    logger.warning("database is away, trying again", extra={"error": str(error).strip()})
                    told = True
                await self._clock.sleep(delay)
                delay = min(delay * 2, _LAST_DELAY)
            else:
                if told:
                    logger.info("database is back")
                return self._connection

    async def close(self) -> None:
        """Close what is open; the next use opens it again."""
        connection, self._connection = self._connection, None
        if connection is not None:
            # The session is being thrown away: how its closing fails changes nothing.
            with contextlib.suppress(psycopg.Error):
                await connection.close()
