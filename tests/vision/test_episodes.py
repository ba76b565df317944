"""What the writer promises: once, in order, through outages of the database and of the disk."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import hashlib
import itertools
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import LiteralString

import psycopg
import pytest
from psycopg import sql

from core.clock import SystemClock
from core.database import connect
from core.evidence import EvidenceStore
from core.log import Reader
from core.settings import Settings
from sensors import entries
from tests.conftest import Server
from tests.support.clock import FakeClock
from tests.support.wait import eventually
from vision import episode_rows
from vision.episodes import Change, EpisodeWriter, Footage, Pictures
from vision.history import History, Vote
from vision.judge import Episode, Transition

START = 1_790_000_000_000_000


class ImpatientClock(SystemClock):
    """Retries at once."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(min(seconds, 0.05))


class SleepersClock(FakeClock):
    """Time passes for who sleeps, and only then: how long all else takes on a busy machine does not count."""

    async def sleep(self, seconds: float) -> None:
        self._elapsed += seconds
        await asyncio.sleep(0)


@pytest.fixture
async def database(settings: Settings) -> AsyncIterator[psycopg.AsyncConnection]:
    async with await connect(settings.database, application="test") as connection:
        yield connection


@pytest.fixture
async def camera(database: psycopg.AsyncConnection) -> int:
    await database.execute("INSERT INTO site (code, name) VALUES ('alpha', '甲')")
    row = await (
        await database.execute(
            "INSERT INTO camera (site_id, code, name, url) SELECT id, 'gate', '大门', 'x' FROM site RETURNING id"
        )
    ).fetchone()
    assert row is not None
    return int(row[0])


@pytest.fixture
async def writer(settings: Settings) -> AsyncIterator[EpisodeWriter]:
    writer = EpisodeWriter(
        settings.database, EvidenceStore(settings.evidence_dir), writer="vision-test", clock=ImpatientClock()
    )
    task = asyncio.create_task(writer.run())
    yield writer
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await writer.close(within_s=1)


def episode(track: int) -> Episode:
    vote = Vote(START, 0.8, bare=True)
    return Episode(
        track=track,
        zone="gate",
        started_at=START,
        last_seen_at=START,
        peak_score=0.8,
        box=(1, 2, 3, 4),
        votes=(vote,),
        history=History([vote]),
    )


def started(camera: int, visit: Episode) -> Change:
    pictures = Pictures(
        frame=b"frame %d" % visit.track,
        crop=b"crop %d" % visit.track,
        frame_shown=b"frame %d, blurred" % visit.track,
        crop_shown=b"crop %d, blurred" % visit.track,
        model="m@1",
        heads=[{"label": "head", "score": 0.8, "box": [1, 2, 3, 4]}],
    )
    return Change(camera, 1, Transition("started", visit), pictures)


def ended(camera: int, visit: Episode) -> Change:
    visit.last_seen_at = visit.ended_at = START + 5_000_000
    return Change(camera, 1, Transition("ended", visit))


async def told(database: psycopg.AsyncConnection) -> list[tuple[int, str]]:
    """(episode id, phase) of every log entry."""
    reader = Reader("test", registered=False)
    await reader.open(database)
    found = [entries.decode(entry.payload) for entry in await reader.read(database)]
    return [(entry.episode, entry.phase) for entry in found if isinstance(entry, entries.EpisodeEntry)]


async def count(database: psycopg.AsyncConnection, where: LiteralString = "true") -> int:
    row = await (await database.execute("SELECT count(*) FROM episode WHERE " + where)).fetchone()
    assert row is not None
    return int(row[0])


@contextlib.asynccontextmanager
async def outage(settings: Settings, postgres_url: str) -> AsyncIterator[None]:
    """The database throws everybody out and lets nobody in."""
    assert settings.database.url is not None
    name = settings.database.url.get_secret_value().rsplit("/", 1)[1]
    async with await psycopg.AsyncConnection.connect(postgres_url, autocommit=True) as admin:
        gate = sql.SQL("ALTER DATABASE {} WITH ALLOW_CONNECTIONS {}")
        await admin.execute(gate.format(sql.Identifier(name), sql.SQL("false")))
        await admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
        try:
            yield
        finally:
            await admin.execute(gate.format(sql.Identifier(name), sql.SQL("true")))


async def test_start_and_end_are_told_once_and_in_order(
    writer: EpisodeWriter, database: psycopg.AsyncConnection, camera: int
) -> None:
    visit = episode(1)
    for change in (started(camera, visit), started(camera, visit), ended(camera, visit), ended(camera, visit)):
        writer.submit(change)
    await eventually(lambda: count(database, "ended_at = last_seen_at"))
    [(first, _), _] = await told(database)
    assert await told(database) == [(first, "started"), (first, "ended")]
    assert await count(database) == 1


async def test_episodes_wait_for_the_database(
    writer: EpisodeWriter, settings: Settings, postgres: Server, camera: int
) -> None:
    async with outage(settings, postgres.url):
        for track in range(1, 6):
            visit = episode(track)
            writer.submit(started(camera, visit))
            writer.submit(ended(camera, visit))
        await asyncio.sleep(0.2)
    async with await connect(settings.database, application="test") as database:

        async def all_ended() -> bool:
            return await count(database, "ended_at IS NOT NULL") == 5

        await eventually(all_ended)
        assert len(await told(database)) == 10


async def test_an_episode_that_can_never_be_written_does_not_stop_the_next(
    writer: EpisodeWriter, database: psycopg.AsyncConnection, camera: int, caplog: pytest.LogCaptureFixture
) -> None:
    writer.submit(started(camera + 1000, episode(1)))
    writer.submit(started(camera, episode(2)))
    await eventually(lambda: count(database, "track = 2"))
    assert await count(database) == 1
    assert "an episode cannot be written" in caplog.text


async def files(database: psycopg.AsyncConnection) -> dict[str, tuple[str, bool]]:
    """Digest and whether the file is there, by role."""
    cursor = await database.execute(
        "SELECT role, sha256, removed_at IS NULL FROM episode_evidence JOIN evidence USING (sha256)"
    )
    return {role: (digest, kept) for role, digest, kept in await cursor.fetchall()}


async def test_a_clip_joins_its_episode(
    writer: EpisodeWriter, settings: Settings, database: psycopg.AsyncConnection, camera: int
) -> None:
    visit = episode(1)
    writer.submit(started(camera, visit))
    footage = Footage(camera, 1, visit, b"a clip", START - 5_000_000, START + 5_000_000)
    writer.submit(footage)
    writer.submit(footage)
    writer.submit(ended(camera, visit))
    await eventually(lambda: count(database, "ended_at IS NOT NULL"))
    found = await files(database)
    assert set(found) == {"frame", "crop", "frame_shown", "crop_shown", "clip"}
    digest = hashlib.sha256(b"a clip").hexdigest()
    assert found["clip"] == (digest, True)
    assert EvidenceStore(settings.evidence_dir).open(digest).read_bytes() == b"a clip"
    row = await (await database.execute("SELECT heads FROM episode")).fetchone()
    assert row is not None
    assert row[0] == [{"label": "head", "score": 0.8, "box": [1, 2, 3, 4]}]


async def test_clips_that_wait_are_bounded(
    writer: EpisodeWriter, settings: Settings, postgres: Server, database: psycopg.AsyncConnection, camera: int
) -> None:
    async with outage(settings, postgres.url):
        for track in range(1, 8):
            visit = episode(track)
            writer.submit(started(camera, visit))
            writer.submit(Footage(camera, 1, visit, bytes([track]) * 20_000_000, START, START))
    async with await connect(settings.database, application="test") as database:

        async def all_written() -> bool:
            return await count(database) == 7

        await eventually(all_written, timeout=60)  # 60 MB, which are read and written more than once
        row = await (await database.execute("SELECT count(*) FROM episode_evidence WHERE role = 'clip'")).fetchone()
        assert row == (3,)


async def test_a_full_disk_costs_the_pictures_and_not_the_episode(
    settings: Settings, database: psycopg.AsyncConnection, camera: int
) -> None:
    free = shutil.disk_usage(settings.data_dir.parent).free
    full = EvidenceStore(settings.evidence_dir, reserve_bytes=2 * free)
    clock = SleepersClock()
    writer = EpisodeWriter(settings.database, full, writer="vision-full", clock=clock)
    task = asyncio.create_task(writer.run())
    for track in range(1, 4):
        visit = episode(track)
        writer.submit(started(camera, visit))
        writer.submit(ended(camera, visit))

    async def all_ended() -> bool:
        return await count(database, "ended_at IS NOT NULL") == 3

    await eventually(all_ended)
    # Only the first one waited.
    assert 20 <= clock.monotonic() < 40
    found = await files(database)
    assert not any(kept for _, kept in found.values())
    assert found["frame"][0] in {hashlib.sha256(b"frame %d" % track).hexdigest() for track in (1, 2, 3)}
    assert [phase for _, phase in await told(database)] == ["started", "ended"] * 3
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await writer.close(within_s=1)


async def test_what_was_removed_meanwhile_is_stored_again(
    writer: EpisodeWriter, settings: Settings, database: psycopg.AsyncConnection, camera: int
) -> None:
    writer.submit(started(camera, episode(1)))
    await eventually(lambda: count(database))
    found = await files(database)
    store = EvidenceStore(settings.evidence_dir)
    for digest, _ in found.values():
        store.open(digest).unlink()
    await database.execute("UPDATE evidence SET removed_at = now(), removed_for = 'age'")
    again = episode(2)
    change = started(camera, again)
    assert change.pictures is not None
    writer.submit(dataclasses.replace(change, pictures=started(camera, episode(1)).pictures))
    await eventually(lambda: count(database, "track = 2"))
    for digest, kept in (await files(database)).values():
        assert kept
        assert store.open(digest)


async def test_episodes_wait_for_the_evidence_folder(
    writer: EpisodeWriter, settings: Settings, database: psycopg.AsyncConnection, camera: int
) -> None:
    blocked = Path(settings.evidence_dir)
    blocked.parent.mkdir(parents=True, exist_ok=True)
    blocked.write_text("a file where the folder should be")
    writer.submit(started(camera, episode(1)))
    await asyncio.sleep(0.2)
    assert await count(database) == 0
    blocked.unlink()
    await eventually(lambda: count(database))


async def test_the_history_is_written_every_ten_seconds_and_at_the_end_and_taken_over(
    database: psycopg.AsyncConnection, camera: int, writer: EpisodeWriter
) -> None:
    visit = episode(1)
    writer.submit(started(camera, visit))
    await writer.settled()

    async def kept() -> list[int]:
        row = await (await database.execute("SELECT history FROM episode")).fetchone()
        assert row is not None
        return [(look["time"] - START) // 1_000_000 for look in row[0]]

    for second in range(1, 16):
        visit.history.add(Vote(START + second * 1_000_000, 0.7, bare=second % 2 == 0))
        await episode_rows.sighted(database, [(camera, visit)])
    assert await kept() == list(range(11))
    [taken] = (await episode_rows.left(database, SystemClock()))[camera].episodes
    assert taken.history.looks == visit.history.looks[:11]
    writer.submit(ended(camera, visit))
    await writer.settled()
    assert await kept() == list(range(16))


def test_a_long_history_is_thinned_evenly_and_keeps_its_beginning() -> None:
    history = History()
    for second in range(10_000):
        history.add(Vote(second, 0.7, bare=True))
    times = [look.time for look in history.looks]
    assert 60 <= len(times) <= 120
    assert times[0] == 0
    assert times[-1] > 9_800
    assert max(b - a for a, b in itertools.pairwise(times)) <= 2 * 128
