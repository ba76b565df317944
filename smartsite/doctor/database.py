"""The database: whether it answers, its version, its extension, its schema, its clock and who works on it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import psycopg

from core import schedule
from core.clock import Clock
from core.database import connect
from core.errors import ConfigurationError
from core.log import lag
from core.logs import redact_url
from core.migrate import pending
from core.settings import Settings
from core.sql import queries
from sensors import rollup_work
from smartsite.doctor.finding import Finding, fail, ok, warn

_OLDEST = 150000
_SKEW = timedelta(seconds=2)
_STALE = timedelta(seconds=15)
_LAG = 10_000
_ROLLUP_LAG = timedelta(minutes=5)
_OVERDUE_AT_LEAST = timedelta(minutes=2)
_OVERDUE_PERIODS = 2
_GAPS_OF = timedelta(days=1)
_NAMED = 3
SQL = queries("smartsite")


async def examine(settings: Settings, *, clock: Clock) -> AsyncIterator[Finding]:
    """Everything that one connection can tell; a single finding when there is none."""
    assert settings.database.url is not None
    address = redact_url(settings.database.url.get_secret_value())
    try:
        connection = await connect(settings.database, application="doctor")
    except psycopg.OperationalError as error:
        reason = str(error).strip().splitlines()[-1]
        yield fail("database", f"{address} does not answer: {reason}", "start it, or correct SMARTSITE_DATABASE__URL")
        return
    async with connection:
        yield _version(connection.info.server_version, address)
        yield await _extension(connection)
        yield await _clock(connection, clock)
        schema = await _schema(connection)
        yield schema
        if schema.level == "ok":
            async for finding in _workers(connection, clock):
                yield finding
            yield await _log(connection)
            yield await _rollups(connection, clock)
            async for finding in _jobs(connection, clock):
                yield finding
            yield await _sequences(connection, clock)


def _version(number: int, address: str) -> Finding:
    text = f"PostgreSQL {number // 10000}.{number % 10000} at {address}"
    if number < _OLDEST:
        return fail("database", text, "PostgreSQL 15 or newer is needed")
    return ok("database", text)


async def _extension(connection: psycopg.AsyncConnection) -> Finding:
    query = "SELECT default_version, installed_version FROM pg_available_extensions WHERE name = 'timescaledb'"
    row = await (await connection.execute(query)).fetchone()
    if row is None:
        return ok("timescaledb", "absent: readings are kept in native partitions")
    if row[1] is None:
        return warn(
            "timescaledb", f"{row[0]} is there and not used", "CREATE EXTENSION timescaledb, before `smartsite migrate`"
        )
    return ok("timescaledb", str(row[1]))


async def _clock(connection: psycopg.AsyncConnection, clock: Clock) -> Finding:
    before = clock.now()
    row = await (await connection.execute("SELECT clock_timestamp()")).fetchone()
    after = clock.now()
    assert row is not None
    skew = row[0] - (before + (after - before) / 2)
    fact = f"{skew.total_seconds():+.3f} s against this machine's"
    if abs(skew) > _SKEW:
        return fail("database clock", fact, "synchronise both machines with the same NTP servers")
    return ok("database clock", fact)


async def _schema(connection: psycopg.AsyncConnection) -> Finding:
    try:
        missing = await pending(connection)
    except ConfigurationError as error:
        return fail("schema", error.message, error.hint)
    if missing:
        return fail("schema", f"{len(missing)} migrations are pending", "run `smartsite migrate`")
    return ok("schema", "up to date")


async def _workers(connection: psycopg.AsyncConnection, clock: Clock) -> AsyncIterator[Finding]:
    rows = await (await connection.execute("SELECT name, host, pid, beat_at FROM worker ORDER BY name")).fetchall()
    if not rows:
        yield ok("processes", "none runs")
    for name, host, pid, beat_at in rows:
        silent = clock.now() - beat_at
        fact = f"pid {pid} on {host}, last heard {max(silent.total_seconds(), 0):.0f} s ago"
        if silent > _STALE:
            yield warn(name, fact, "it ended without leave-taking or hangs: see its log; `smartsite up` restarts it")
        else:
            yield ok(name, fact)


async def _log(connection: psycopg.AsyncConnection) -> Finding:
    behind = await lag(connection)
    behind.pop(rollup_work.READER, None)
    worst = max(behind, key=lambda reader: behind[reader], default=None)
    if worst is None:
        return ok("log", "has no reader yet")
    if behind[worst] > _LAG:
        return warn(
            "log", f"{worst} is {behind[worst]} entries behind", "see that its process runs and is not short of CPU"
        )
    return ok("log", f"read up to {behind[worst]} entries")


async def _rollups(connection: psycopg.AsyncConnection, clock: Clock) -> Finding:
    through = await rollup_work.through(connection)
    if through is None:
        return ok("roll-ups", "none yet")
    fact = f"up to {through:%Y-%m-%d %H:%M:%S} UTC"
    if clock.now() - through > _ROLLUP_LAG:
        return warn("roll-ups", fact, "see that the keeper runs; until then charts are read from single readings")
    return ok("roll-ups", fact)


async def _jobs(connection: psycopg.AsyncConnection, clock: Clock) -> AsyncIterator[Finding]:
    """The last run of each piece of periodic work, and whether the next one is overdue."""
    # Where nothing runs at all, that is told already.
    row = await (await connection.execute("SELECT EXISTS (SELECT FROM worker)")).fetchone()
    for run in await schedule.runs(connection):
        subject = f"periodic {run.job}"
        period = max(_OVERDUE_AT_LEAST, _OVERDUE_PERIODS * timedelta(seconds=run.every_s))
        overdue = bool(row and row[0]) and clock.now() - run.ended_at > period
        fact = f"{run.outcome} at {run.ended_at:%Y-%m-%d %H:%M:%S} UTC by {run.holder}"
        fact += f": {run.error or run.result}" if run.error or run.result else ""
        if run.next_run_at is not None and not overdue:
            fact += f", next {run.next_run_at:%H:%M:%S}"
        if run.outcome == "failed":
            yield warn(subject, fact, f"see the log of {run.schedule}; it is tried again by itself")
        elif overdue:
            yield warn(subject, fact, f"see that the process {run.schedule} runs")
        else:
            yield ok(subject, fact)


async def _sequences(connection: psycopg.AsyncConnection, clock: Clock) -> Finding:
    """What the running numbers of devices say of readings that never came."""
    rows = await (await connection.execute(SQL["sequences"], {"after": clock.now() - _GAPS_OF})).fetchall()
    numbered = rows[0][0] if rows else 0
    if not numbered:
        return ok("running numbers", "no device numbers its readings")
    gaps = [(device, missing, since) for _, device, missing, since in rows if device is not None]
    if not gaps:
        return ok("running numbers", f"{numbered} devices number their readings, no gap in the last day")
    named = [f"{device}: {missing} missing since {since:%Y-%m-%d}" for device, missing, since in gaps[:_NAMED]]
    more = [f"and {len(gaps) - _NAMED} more"] if len(gaps) > _NAMED else []
    return warn(
        "running numbers",
        f"{len(gaps)} of {numbered} devices have gaps of the last day; {', '.join(named + more)}",
        "see that these devices keep what is not acknowledged and that their network holds; what the quarantine"
        " holds of them is missing too",
    )
