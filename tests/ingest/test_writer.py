"""The writer between a queue and a database that fails: nothing is lost, nothing is acknowledged too early."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import ClassVar

import psycopg
import pytest

from core.clock import SystemClock, from_micros, micros
from core.database import Reconnecting, connect
from core.settings import Settings
from ingest.intake import Intake
from ingest.message import Message
from ingest.numbering import Numbers
from ingest.prepare import Prepared, Preparer
from ingest.spool import Spool
from ingest.store import Outcome, Seen, Store
from ingest.writer import Shelter, Writer
from sensors.registry import RegistryWatch
from tests.ingest.messages import NOW, PROFILES, device, message
from tests.ingest.plant import furnish
from tests.support.wait import eventually

MS = NOW // 1000


class Waiting:
    """Who waits for acknowledgements, and what is in the table when they come."""

    def __init__(self) -> None:
        self.acknowledged: list[int] = []

    def acknowledge(self, messages: Sequence[Message]) -> None:
        self.acknowledged += [message.packet_id for message in messages]


class LosesReplies(Store):
    """A store of whose COMMITs each is done, but its reply never comes."""

    lost: ClassVar[set[int]] = set()

    async def write(
        self,
        connection: psycopg.AsyncConnection,
        prepared: Prepared,
        *,
        number: int,
        seen: Seen,
        merge: bool,
        numbers: Numbers,
    ) -> Outcome:
        outcome = await super().write(connection, prepared, number=number, seen=seen, merge=merge, numbers=numbers)
        if number not in self.lost:
            self.lost.add(number)
            raise psycopg.OperationalError("server closed the connection unexpectedly")
        return outcome


class Rig:
    """A writer on its own, fed by hand."""

    def __init__(self, settings: Settings, store: type[Store] = Store, *, shelter: Shelter | None = None) -> None:
        clock = SystemClock()
        self.intake = Intake(high=1000, high_bytes=1 << 20)
        self.holder = Waiting()
        self.keeper = Reconnecting(settings.database, application="writer", clock=clock)
        self.writer = Writer(
            intake=self.intake,
            preparer=Preparer(PROFILES, max_age=timedelta(days=30), max_ahead=timedelta(minutes=5)),
            store=store(worker="1", quarantine_rows=1000),
            keeper=self.keeper,
            clock=clock,
            batch=100,
            shelter=shelter,
        )

    def put(self, *payloads: object, arrived: int = NOW) -> None:
        """Queue messages, their packet identifiers counting up from 1."""
        start = self.number
        for place, payload in enumerate(payloads):
            new = message(payload, of=device(), arrived=arrived)
            new.holder, new.packet_id = self.holder, start + place + 1
            self.intake.put([new])
        self.number += len(payloads)

    number = 0

    async def finish(self) -> None:
        self.writer.stop()
        await self.task
        await self.keeper.close()

    async def kill(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        await self.keeper.close()

    async def start(self) -> Rig:
        self.task = asyncio.create_task(self.writer.run())
        return self


def reading(number: int, value: float = 1) -> dict[str, object]:
    return {"ts": MS + number, "seq": number, "values": {"pm10": value}}


NUMBERS = "SELECT received, missing, late, repeated, restarts FROM device_sequence"


@pytest.fixture
async def database(settings: Settings, database_url: str) -> AsyncIterator[psycopg.AsyncConnection]:
    from sensors.tables import maintain

    await furnish(database_url)
    async with await connect(settings.database, application="test") as connection:
        await maintain(connection, PROFILES, from_micros(NOW))
        yield connection


async def one(connection: psycopg.AsyncConnection, query: str) -> object:
    row = await (await connection.execute(query)).fetchone()  # type: ignore[arg-type]
    return row if row is None or len(row) > 1 else row[0]


async def test_batches_grow_with_what_has_queued_up(
    settings: Settings, database: psycopg.AsyncConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.writer.SEEN_EVERY_S", 3600)  # else one of the three says it, where they take a second
    rig = Rig(settings)
    rig.put(*[reading(n) for n in range(250)])
    await rig.start()
    await rig.finish()
    assert rig.holder.acknowledged == list(range(1, 251))
    # At most 100 messages a transaction: 250 in three. The last one says when the device was heard.
    assert await one(database, "SELECT stored, batch FROM ingest_count") == (250, 4)


async def test_a_commit_whose_reply_was_lost_is_not_done_twice(
    settings: Settings, database: psycopg.AsyncConnection
) -> None:
    LosesReplies.lost.clear()
    rig = Rig(settings, LosesReplies)
    rig.put(reading(1), reading(2))
    await rig.start()
    await rig.finish()
    assert rig.holder.acknowledged == [1, 2]
    assert await one(database, "SELECT messages, stored, duplicates FROM ingest_count") == (2, 2, 0)
    assert await one(database, "SELECT count(*) FROM log_entry") == 1
    assert await one(database, NUMBERS) == (2, 0, 0, 0, 0)


async def test_running_numbers_are_counted_over_restarts_of_ingest(
    settings: Settings, database: psycopg.AsyncConnection
) -> None:
    rig = Rig(settings)
    rig.put(reading(1), reading(2), reading(5), reading(2))
    rig.put([reading(6), {**reading(7), "seq": "seven"}, {**reading(9), "values": {"pm10": "bad", "laeq": 60}}])
    rig.put({"seq": 20, "values": {"pm10": 1}})  # without ts: cannot be placed
    await rig.start()
    await rig.finish()
    assert await one(database, NUMBERS) == (6, 4, 0, 1, 0)  # 3, 4, 7, 8
    assert await one(database, "SELECT stored, quarantined FROM ingest_count") == (7, 2)
    assert await one(database, "SELECT gap_at, since FROM device_sequence") == (
        from_micros((MS + 9) * 1000),
        from_micros((MS + 1) * 1000),
    )
    rig = Rig(settings)
    rig.put([reading(3), reading(4), reading(8)], reading(10), {**reading(20), "seq": 0})
    await rig.start()
    await rig.finish()
    assert await one(database, NUMBERS) == (11, 1, 3, 1, 1)


async def test_running_numbers_survive_poison_beside_them(
    settings: Settings, database: psycopg.AsyncConnection
) -> None:
    await database.execute("ALTER TABLE reading_dust ADD CHECK (pm10 <> 666)")
    rig = Rig(settings)
    rig.put(*[reading(n, 666 if n == 37 else n) for n in range(100)])
    await rig.start()
    await rig.finish()
    assert await one(database, NUMBERS) == (99, 1, 0, 0, 0)


async def test_poison_that_only_the_database_finds_is_set_aside_alone(
    settings: Settings, database: psycopg.AsyncConnection
) -> None:
    await database.execute("ALTER TABLE reading_dust ADD CHECK (pm10 <> 666)")
    rig = Rig(settings)
    rig.put(*[reading(n, 666 if n == 37 else n) for n in range(100)])
    await rig.start()
    await rig.finish()
    assert sorted(rig.holder.acknowledged) == list(range(1, 101))
    assert await one(database, "SELECT stored, quarantined FROM ingest_count") == (99, 1)
    assert await one(database, "SELECT reason, convert_from(payload, 'UTF8') LIKE '%666%' FROM quarantine") == (
        "unstorable",
        True,
    )


async def test_a_database_that_refuses_is_waited_for(
    settings: Settings, database: psycopg.AsyncConnection, caplog: pytest.LogCaptureFixture
) -> None:
    await database.execute("ALTER TABLE reading_dust RENAME TO hidden")
    rig = Rig(settings)
    rig.put(reading(1))
    await rig.start()
    await eventually(lambda: caplog.text.count("the database refuses to store readings") >= 2)
    assert rig.holder.acknowledged == []
    await database.execute("ALTER TABLE hidden RENAME TO reading_dust")
    await eventually(lambda: rig.holder.acknowledged == [1])
    await rig.finish()


async def test_a_session_that_is_ended_by_the_server_is_opened_again(
    settings: Settings, database: psycopg.AsyncConnection
) -> None:
    rig = Rig(settings)
    await rig.start()
    for number in range(1, 6):
        rig.put(reading(number))
        await eventually(lambda: len(rig.holder.acknowledged) == number)  # noqa: B023
        await database.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name = 'smartsite writer'"
        )
    await rig.finish()
    assert await one(database, "SELECT stored, duplicates FROM ingest_count") == (5, 0)


async def test_last_seen_is_stored_soon_and_at_the_end(settings: Settings, database: psycopg.AsyncConnection) -> None:
    rig = Rig(settings)
    await rig.start()
    rig.put(reading(1))
    query = "SELECT (extract(epoch FROM last_time) * 1000)::bigint FROM device_seen"

    async def seen() -> object:
        return await one(database, query)

    assert await eventually(seen) == MS + 1
    rig.put(reading(2))
    await rig.finish()
    assert await one(database, query) == MS + 2


async def test_the_watermark_is_where_the_oldest_message_waits(
    settings: Settings, database: psycopg.AsyncConnection, tmp_path: Path
) -> None:
    """By it the engine knows whose silence it may believe."""

    def caught_up(rig: Rig) -> bool:
        return rig.writer.watermark >= started

    started = micros(SystemClock().now())
    spool = Spool(tmp_path, limit_bytes=1 << 20)
    registry = RegistryWatch(settings.database, application="test", clock=SystemClock())
    await registry.open()
    shelter = Shelter(spool=spool, registry=registry, patience_s=0.1)
    rig = Rig(settings, shelter=shelter)
    assert caught_up(rig)
    rig.put(reading(1), arrived=NOW)
    rig.put(reading(2), arrived=NOW + 1)
    assert rig.writer.watermark == NOW
    await rig.start()
    await eventually(lambda: caught_up(rig))

    await database.execute("ALTER TABLE reading_dust RENAME TO hidden")
    rig.put(reading(3), arrived=NOW + 2)
    await eventually(lambda: len(rig.holder.acknowledged) == 3)  # from the spool
    assert rig.writer.watermark == NOW + 2
    rig.put(reading(4), arrived=NOW + 3)
    await eventually(lambda: len(rig.holder.acknowledged) == 4)
    assert rig.writer.watermark == NOW + 2
    await rig.kill()

    rig = Rig(settings, shelter=shelter)
    assert rig.writer.watermark == 0  # not known before the spool was read
    await rig.start()
    await eventually(lambda: rig.writer.watermark == NOW + 2)
    await database.execute("ALTER TABLE hidden RENAME TO reading_dust")
    await eventually(lambda: caught_up(rig))
    await rig.finish()
    assert await one(database, "SELECT count(*) FROM reading_dust") == 4
    ended = asyncio.Event()
    ended.set()
    await registry.run(ended)
    spool.close()


def test_pressure_comes_and_goes() -> None:
    intake = Intake(high=10, high_bytes=1000)
    told: list[bool] = []
    intake.on_pressure(told.append)
    intake.put([message({}) for _ in range(11)])
    assert told == [True]
    intake.take(5, 1000)
    assert told == [True]
    intake.take(5, 1000)
    assert told == [True, False]
    intake.put([message(b"x" * 1001)])
    assert told == [True, False, True]
    assert [len(item.payload) for item in intake.take(10, 100)] == [2]
    # One that is larger than a batch may be still goes, alone.
    assert [len(item.payload) for item in intake.take(10, 100)] == [1001]
    assert told == [True, False, True, False]


async def test_waiting_for_messages_ends_with_the_first_or_with_time() -> None:
    intake = Intake(high=10, high_bytes=1000)
    assert not await intake.wait(0.01)
    asyncio.get_running_loop().call_later(0.01, intake.put, [message({})])
    assert await intake.wait(5)
