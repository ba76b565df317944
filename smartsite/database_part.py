"""The embedded database as a part of the supervisor, and the way to it for commands that run beside or without one."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psycopg
from pydantic import SecretStr

from core.database import connect_sync
from core.errors import Conflict, Unavailable
from core.logs import redact_url
from core.settings import Settings
from smartsite.datadir import DataDirectory
from smartsite.postgres import EmbeddedPostgres

_LOOK_S = 0.1


class DatabasePart:
    """PostgreSQL under the supervisor's eyes; its address is left in ``run/database.url`` for other commands."""

    name = "database"
    misconfigured = False

    def __init__(self, server: EmbeddedPostgres, *, address: Path) -> None:
        self._server = server
        self._address = address

    @property
    def pid(self) -> int | None:
        return self._server.pid

    @property
    def url(self) -> str:
        """Its postgresql:// address; valid after the first start and the same after every restart."""
        return self._server.url

    async def start(self) -> None:
        # In this very thread although it blocks: the death of the thread that starts it is what stops an orphan.
        url = self._server.start()
        with os.fdopen(os.open(self._address, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(url)

    async def wait(self) -> str:
        while self._server.is_running():  # noqa: ASYNC110 - the process belongs to the launcher, not to the loop
            await asyncio.sleep(_LOOK_S)
        return "ended"

    async def stop(self) -> None:
        self._server.stop()
        self._address.unlink(missing_ok=True)

    def kill(self) -> None:
        if (pid := self._server.pid) is not None:
            os.kill(pid, signal.SIGKILL)


def with_database(settings: Settings, url: str) -> Settings:
    """The settings with this database address."""
    return settings.model_copy(
        update={"database": settings.database.model_copy(update={"url": SecretStr(url)})}, deep=True
    )


def require_answer(settings: Settings) -> None:
    """Raises Unavailable with a reason when the configured database does not answer."""
    assert settings.database.url is not None
    try:
        connect_sync(settings.database, application="probe").close()
    except psycopg.OperationalError as error:
        address = redact_url(settings.database.url.get_secret_value())
        raise Unavailable(
            f"the database {address} does not answer: {str(error).strip().splitlines()[-1]}",
            hint="start it, or correct SMARTSITE_DATABASE__URL",
        ) from error


@contextlib.contextmanager
def database_at_hand(settings: Settings) -> Iterator[Settings]:
    """The settings with a database that answers: the configured one, that of a running ``up``, or one started for now.

    Raises what starting the embedded database raises.
    """
    if settings.database.url is not None:
        require_answer(settings)
        yield settings
        return
    directory = DataDirectory(settings.data_dir)
    address = directory.run / "database.url"
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(directory)
        except Conflict:
            # Whoever holds the folder runs the database, too.
            if not address.exists():
                raise
            yield with_database(settings, address.read_text())
            return
        server = EmbeddedPostgres(settings.data_dir)
        stack.callback(server.stop)
        yield with_database(settings, server.start())
