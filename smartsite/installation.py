"""A whole installation on one machine: data directory, database, schema and rooms, under one supervisor."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import TracebackType

from prometheus_client.multiprocess import mark_process_dead

from core.clock import Clock
from core.settings import Settings
from smartsite import rooms, watchdog
from smartsite.database_part import DatabasePart, require_answer, with_database
from smartsite.datadir import DataDirectory
from smartsite.postgres import EmbeddedPostgres
from smartsite.process import Process, ProcessSpec
from smartsite.schema import bring_up_to_date
from smartsite.supervisor import Supervisor


class Installation:
    """An asynchronous context manager: inside, the database answers and is migrated; on leaving, all parts are stopped.

    ``settings`` are those in force inside: with the address of the embedded database where none is configured.
    ``environment`` is what the rooms find in theirs, beside what we found in ours.
    """

    def __init__(self, settings: Settings, *, clock: Clock, environment: Mapping[str, str] | None = None) -> None:
        self.settings = settings
        self._environment = environment or {}
        self._clock = clock
        self.directory = DataDirectory(settings.data_dir)
        self.supervisor = Supervisor(clock=clock, board=self.directory.run / "parts.json", buried=self._forget_figures)
        self._watchdog: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Installation:
        self.directory.__enter__()
        try:
            self.directory.clear_metrics()
            if self.settings.database.url is None:
                server = EmbeddedPostgres(self.settings.data_dir)
                database = DatabasePart(server, address=self.directory.run / "database.url")
                await self.supervisor.launch(database)
                self.settings = with_database(self.settings, database.url)
            else:
                require_answer(self.settings)
            await bring_up_to_date(self.settings, clock=self._clock)
        except BaseException:
            await self.supervisor.shut_down()
            self.directory.__exit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._watchdog is not None:
            self._watchdog.cancel()
            await asyncio.wait([self._watchdog])
        await self.supervisor.shut_down()
        self.directory.__exit__(kind, error, trace)

    def environment(self) -> dict[str, str]:
        """What a process of this installation finds in its environment."""
        assert self.settings.database.url is not None
        return {
            **self._environment,
            "SMARTSITE_DATA_DIR": str(self.directory.root),
            "SMARTSITE_DATABASE__URL": self.settings.database.url.get_secret_value(),
            "PROMETHEUS_MULTIPROC_DIR": str(self.directory.metrics),
            "PYTHONUNBUFFERED": "1",
        }

    async def launch(self, spec: ProcessSpec) -> None:
        """Starts a process and keeps it running."""
        await self.supervisor.launch(Process(spec))

    async def launch_rooms(self) -> None:
        """Starts every room, and from then on watches for rooms that hang."""
        for spec in rooms.specs(self.environment(), self.settings):
            await self.launch(spec)
        self._watchdog = asyncio.create_task(
            watchdog.watch(self.settings.database, clock=self._clock, processes=self._rooms, kill=self.supervisor.kill),
            name="watchdog",
        )

    def _forget_figures(self, pid: int) -> None:
        """Gauges of a process that is gone must not be added to those of the living."""
        mark_process_dead(pid, path=str(self.directory.metrics))  # type: ignore[no-untyped-call]

    def _rooms(self) -> dict[int, str]:
        states = self.supervisor.states.values()
        return {
            state.pid: state.name for state in states if state.pid is not None and rooms.room_of(state.name) is not None
        }
