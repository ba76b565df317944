from __future__ import annotations

import socket
from datetime import timedelta

import psycopg

from core.clock import SystemClock
from core.database import connect
from core.schedule import Schedule
from core.settings import Settings
from smartsite import watchdog
from smartsite.keeper import LOCK, Housekeeping
from tests.support.wait import eventually

CLOCK = SystemClock()


def schedule(settings: Settings, name: str) -> Schedule:
    return Schedule(settings.database, name=name, lock=LOCK, clock=CLOCK)


async def test_only_one_keeper_works_at_a_time(settings: Settings) -> None:
    jobs = Housekeeping(settings, CLOCK)
    first, second = schedule(settings, "first"), schedule(settings, "second")
    assert await first.turn(jobs.log)
    assert not await second.turn(jobs.log)
    await first.close()
    # The server lets go of the lock when it has noticed that the session is over.
    assert await eventually(lambda: second.turn(jobs.log))
    await second.close()


async def test_leftovers_go_and_the_rest_stays(settings: Settings) -> None:
    now = CLOCK.now()
    async with await connect(settings.database, application="test") as connection:
        await connection.execute("INSERT INTO person (code, name, role) VALUES ('p', 'P', 'operator')")
        for token, expires in (("old", now - timedelta(minutes=1)), ("new", now + timedelta(hours=1))):
            await connection.execute(
                "INSERT INTO session (token_sha256, person_id, csrf, created_at, expires_at)"
                " SELECT %s, id, 'c', %s, %s FROM person",
                [token, now - timedelta(hours=2), expires],
            )
        for days in (1, 40):
            await connection.execute(
                "INSERT INTO quarantine (arrived_at, source, reason, payload, payload_bytes)"
                " VALUES (%s, 'mqtt', 'malformed', '', 0)",
                [now - timedelta(days=days)],
            )
        for name, silent in (("alive", timedelta(seconds=2)), ("gone", timedelta(hours=3))):
            await connection.execute(
                "INSERT INTO worker (name, room, host, pid, started_at, beat_at) VALUES (%s, 'r', 'h', 1, %s, %s)",
                [name, now - timedelta(days=1), now - silent],
            )
        await Housekeeping(settings, CLOCK).leftovers(connection)
        assert await column(connection, "SELECT token_sha256 FROM session") == ["new"]
        assert await column(connection, "SELECT name FROM worker") == ["alive"]
        assert await column(connection, "SELECT count(*) FROM quarantine") == [1]


async def test_keeper_outlives_the_database(settings: Settings) -> None:
    async def fails(_connection: psycopg.AsyncConnection) -> str:
        raise psycopg.errors.AdminShutdown("terminating connection")

    keeper = schedule(settings, "keeper")
    assert not await keeper.turn(fails)
    assert await keeper.turn(Housekeeping(settings, CLOCK).partitions)
    await keeper.close()


async def test_hung_process_is_found_by_its_silence(settings: Settings) -> None:
    now = CLOCK.now()
    async with await connect(settings.database, application="test") as connection:
        for name, pid, silent in (("a", 11, 60), ("b", 12, 1), ("c", 13, 60)):
            await connection.execute(
                "INSERT INTO worker (name, room, host, pid, started_at, beat_at) VALUES (%s, 'r', %s, %s, %s, %s)",
                [name, socket.gethostname(), pid, now, now - timedelta(seconds=silent)],
            )
        assert await watchdog._hung(connection, clock=CLOCK, pids=[11, 12]) == [11]


async def column(connection: psycopg.AsyncConnection, statement: str) -> list[object]:
    return [value for (value,) in await (await connection.execute(statement)).fetchall()]  # type: ignore[arg-type]
