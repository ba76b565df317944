"""The account of a bounded run: marks at its beginning, the log followed meanwhile, all compared at its end."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from psycopg import IsolationLevel

from alerts.rules import ThresholdRule, load
from core.clock import Clock
from core.database import connect
from core.log import lag
from core.settings import Settings
from sensors.profiles import load_profiles
from sensors.rollup_work import READER as ROLLUP
from smartsite.demo import balance, journal, ledger, report
from smartsite.demo.balance import Balance
from smartsite.demo.chaos import Kill
from smartsite.demo.expected import Violation, expected
from smartsite.demo.journal import Journal
from smartsite.demo.ledger import Ledger, Marks
from smartsite.demo.stored_times import StoredTimes

logger = logging.getLogger(__name__)

#: Time that what was begun has to arrive everywhere once the devices are silent.
PATIENCE_S = 30.0
_LOOK_S = 0.5


@dataclass(frozen=True, slots=True)
class _Beginning:
    """How things stood before the first reading of the run."""

    marks: Marks
    rows: int
    open_violations: frozenset[tuple[str, str]]
    wall: str
    monotonic: float


@dataclass(frozen=True, slots=True)
class _Look:
    """How things stand now."""

    ledger: Ledger
    marks: Marks
    balance: Balance
    waits_for: str
    """What still moves, for the log; empty when everything is at rest."""


class Account:
    """Keeps the account of a run. ``follow`` is to run beside it; then `close`."""

    def __init__(self, settings: Settings, *, regulator_url: str, clock: Clock) -> None:
        self._settings = settings
        self._regulator_url = regulator_url
        self._clock = clock
        self._stored_times = StoredTimes(settings.database, clock=clock)
        self._beginning: _Beginning | None = None

    async def begin(self) -> None:
        """Sets the marks; before the simulated devices start."""
        await self._stored_times.open()
        async with await connect(self._settings.database, application="demo report") as connection:
            self._beginning = _Beginning(
                marks=await ledger.take_marks(connection),
                rows=await ledger.count_rows(connection),
                open_violations=await ledger.open_violations(connection),
                wall=self._clock.now().isoformat(timespec="seconds"),
                monotonic=self._clock.monotonic(),
            )

    async def follow(self) -> None:
        """Follows the log until it is cancelled."""
        await self._stored_times.run()

    async def close(self, path: Path, *, mode: str, kills: Sequence[Kill], restarts: dict[str, int]) -> dict[str, Any]:
        """Waits until all has arrived that can arrive, and returns the report. The devices must be silent by now."""
        assert self._beginning is not None
        seconds = self._clock.monotonic() - self._beginning.monotonic
        written = journal.read(path)
        violations = self._expected(written)
        deadline = self._clock.monotonic() + PATIENCE_S
        while True:
            look = await self._look(written, violations)
            # What is on its way looks lost: only what is still missing at the end of our patience is.
            settled = not look.waits_for
            if settled or self._clock.monotonic() > deadline:
                break
            logger.info("waiting", extra={"for": look.waits_for})
            await self._clock.sleep(_LOOK_S)
        await self._stored_times.catch_up()
        async with await connect(self._settings.database, application="demo report") as connection:
            names = await ledger.device_names(connection)
        stored_at = {
            (names[device], time): moment
            for (device, time), moment in self._stored_times.written.items()
            if device in names
        }
        await self._stored_times.close()
        return report.build(
            report.Run(
                mode=mode,
                seconds=seconds,
                started_at=self._beginning.wall,
                published=written.published,
                acknowledged=written.acknowledged,
                readings=written.readings,
                deeds=written.deeds,
                stored_at=stored_at,
                ledger=look.ledger,
                end=look.marks,
                balance=look.balance,
                kills=kills,
                restarts=restarts,
                settled=settled,
            )
        )

    def _expected(self, written: Journal) -> list[Violation]:
        assert self._beginning is not None
        profiles = load_profiles(self._settings.kinds_dir)
        rules = [
            rule for rule in load(self._settings.alerts.rules, profiles).enabled if isinstance(rule, ThresholdRule)
        ]
        return expected(rules, written.readings, profiles=profiles, open_before=self._beginning.open_violations)

    async def _look(self, written: Journal, violations: list[Violation]) -> _Look:
        begin = self._beginning
        assert begin is not None
        held = [reading for reading in written.readings if reading.acknowledged is not None]
        times = [reading.time for reading in held]
        async with (
            await connect(self._settings.database, application="demo report") as connection,
            httpx.AsyncClient(base_url=self._regulator_url, timeout=10) as regulator,
        ):
            # One snapshot, so that counts and rows speak of the same moment.
            await connection.set_isolation_level(IsolationLevel.REPEATABLE_READ)
            async with connection.transaction():
                behind = await lag(connection)
                behind.pop(ROLLUP, None)  # takes its turn once a minute, and no violation waits for it
                deliveries, messages = await ledger.unsettled(connection, begin.marks)
                found = await ledger.read(connection, regulator, begin.marks)
                marks = await ledger.take_marks(connection)
                rows = await ledger.stored_rows(connection, min(times), max(times)) if times else set()
                new_rows = await ledger.count_rows(connection) - begin.rows
        result = balance.settle(
            readings=held,
            rows=rows,
            new_rows=new_rows,
            stored=marks.stored - begin.marks.stored,
            violations=violations,
            ledger=found,
            deeds=written.deeds,
            ended_at=written.ended_at,
        )
        moving = {**behind, "deliveries": deliveries, "messages": messages, "lost": len(result.lost)}
        return _Look(found, marks, result, ", ".join(f"{name} {count}" for name, count in moving.items() if count))
