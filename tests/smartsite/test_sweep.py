"""Retention of evidence: what must stay stays, what may go goes, whoever dies or comes in between."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from alerts.engine import Sighting
from alerts.life import hold_evidence
from core import evidence
from core.clock import SystemClock
from core.database import connect
from core.evidence import EvidenceStore
from core.schedule import Schedule
from core.settings import EvidenceSettings, Settings
from smartsite.keeper import LOCK, Housekeeping
from smartsite.sweep import EvidenceSweep, state
from tests.api.world import World

CLOCK = SystemClock()
KEEP = 30


@pytest.fixture
def settings(settings: Settings) -> Settings:
    limits = EvidenceSettings(keep_days=KEEP, case_days=90, most_gb=1000, least_free_gb=0)
    return settings.model_copy(update={"evidence": limits})


@pytest.fixture
async def connection(settings: Settings) -> AsyncIterator[psycopg.AsyncConnection]:
    async with await connect(settings.database, application="test") as opened:
        yield opened


@dataclass
class Store:
    """Evidence with its rows."""

    world: World
    files: EvidenceStore

    async def put(self, content: int, *, age: float) -> str:
        """A file of so many days; the digest."""
        data = b"picture %02d" % content * 10
        sha256 = hashlib.sha256(data).hexdigest()
        self.files.put(data, "image/jpeg")
        await self.world.connection.execute(
            "INSERT INTO evidence VALUES (%s, 'image/jpeg', %s, %s) ON CONFLICT (sha256) DO UPDATE "
            "SET created_at = greatest(evidence.created_at, excluded.created_at), removed_at = NULL, "
            "removed_for = NULL",
            [sha256, len(data), self.world.now - timedelta(days=age)],
        )
        return sha256

    def there(self, sha256: str) -> bool:
        return self.files.path(sha256).is_file()

    async def removed(self) -> dict[str, str]:
        cursor = await self.world.connection.execute(
            "SELECT sha256, removed_for FROM evidence WHERE removed_at NOTNULL"
        )
        return dict(await cursor.fetchall())


@pytest.fixture
async def store(connection: psycopg.AsyncConnection, settings: Settings) -> Store:
    world = World(connection, CLOCK.now())
    await world.site("north")
    await world.camera("gate", "north")
    return Store(world, EvidenceStore(settings.evidence_dir))


async def episode(store: Store, code: str, *files: str, ended: bool = True, **alert: Any) -> int:
    """An episode of these files, frame first, and where `alert` says so its alert."""
    names = ("frame", "crop", "frame_shown", "crop_shown", "clip")
    roles = dict(zip(names, files, strict=False))
    roles.setdefault("crop", files[0])
    number = await store.world.episode(code, camera="gate", files=roles, ended_at=store.world.now if ended else None)
    if alert:
        await store.world.alert(code, camera="gate", episode_id=number, **alert)
    return number


CLEARED = {"cleared_at": CLOCK.now(), "cleared_by": "auto"}


async def test_old_files_go_and_everything_that_is_open_stays(store: Store, settings: Settings) -> None:
    old = [await store.put(number, age=40) for number in range(8)]
    young = await store.put(100, age=20)
    await episode(store, "closed", old[0], **CLEARED)
    await episode(store, "open", old[1], frame_sha256=old[1])
    await episode(store, "going-on", old[2], ended=False)
    await episode(store, "pending", old[3], **CLEARED)
    await store.world.delivery(store.world.ids["pending"], "pending")
    await episode(store, "accepted", old[4], **CLEARED)
    await store.world.delivery(store.world.ids["accepted"], "accepted")
    joined = await episode(store, "joined", old[5])
    await store.world.connection.execute(
        "INSERT INTO alert_event (alert_id, at, kind, actor, detail) VALUES (%s, now(), 'joined', 'engine', %s)",
        [store.world.ids["open"], psycopg.types.json.Jsonb({"episode": joined})],
    )
    await episode(store, "reviewed", old[6], old[7], verdict="false_alarm", **CLEARED)
    await episode(store, "young", young, **CLEARED)

    assert await EvidenceSweep(settings, CLOCK).run(store.world.connection) == {"age": 3, "space": 0}
    assert [store.there(one) for one in [*old, young]] == [
        False, True, True, True, False, True, True, False, True
    ]  # fmt: skip
    # The frame of a reviewed alert is a case, its other files are not.
    assert await store.removed() == {old[0]: "age", old[4]: "age", old[7]: "age"}

    much_later = replace_settings(settings, case_days=35)
    assert (await EvidenceSweep(much_later, CLOCK).run(store.world.connection))["age"] == 1
    assert not store.there(old[6])


async def test_pictures_stay_while_their_inspection_is_open_and_its_report_for_ever(
    store: Store, settings: Settings
) -> None:
    plain, marked, report = [await store.put(number, age=400) for number in range(3)]
    inspection = await store.world.inspection("north", by="x")
    await store.world.connection.execute(
        "INSERT INTO inspection_picture (inspection_id, camera_id, taken_at, plain_sha256, sha256, request_key) "
        "VALUES (%s, %s, now(), %s, %s, 'k')",
        [inspection, store.world.ids["gate"], plain, marked],
    )
    sweep = EvidenceSweep(settings, CLOCK)
    assert (await sweep.run(store.world.connection))["age"] == 1  # what will be the report is nobody's yet
    await store.put(2, age=400)
    finish = "UPDATE inspection SET state = 'finished', ended_at = now(), report_sha256 = %s"
    await store.world.connection.execute(finish, [report])
    assert (await sweep.run(store.world.connection))["age"] == 2
    assert [store.there(one) for one in (plain, marked, report)] == [False, False, True]


def replace_settings(settings: Settings, **limits: float) -> Settings:
    return settings.model_copy(update={"evidence": settings.evidence.model_copy(update=limits)})


async def test_the_oldest_go_where_room_is_needed(store: Store, settings: Settings) -> None:
    files = [await store.put(number, age=20 - number) for number in range(10)]
    fresh = await store.put(50, age=0)
    await episode(store, "open", files[0], frame_sha256=files[0])
    size = len(store.files.open(files[1]).read_bytes())
    # Room for eight of eleven, so that three have to go: the oldest but the one that is pinned.
    tight = replace_settings(settings, most_gb=(8 * size + 5) / 1e9)
    assert await EvidenceSweep(tight, CLOCK).run(store.world.connection) == {"age": 0, "space": 3}
    assert [store.there(one) for one in files] == [True, False, False, False, *[True] * 6]
    assert set((await store.removed()).values()) == {"space"}

    # However little is allowed: what is in use and what is young stays, and the state says so.
    nothing = replace_settings(settings, most_gb=1e-9)
    await EvidenceSweep(nothing, CLOCK).run(store.world.connection)
    assert [one for one in [*files, fresh] if store.there(one)] == [files[0], fresh]
    now = await state(store.world.connection, nothing)
    assert (now.files, now.pinned_files) == (2, 1)
    assert now.short_bytes > 0


async def test_a_disk_that_is_too_full_is_swept(store: Store, settings: Settings) -> None:
    files = [await store.put(number, age=2) for number in range(3)]
    free = (await state(store.world.connection, settings)).free_bytes
    full = replace_settings(settings, least_free_gb=2 * free / 1e9)
    await EvidenceSweep(full, CLOCK).run(store.world.connection)
    assert not any(store.there(one) for one in files)


class Died(Exception):
    pass


class Mortal(EvidenceSweep):
    """Dies at its n-th touch of a file."""

    def __init__(self, settings: Settings, touches: int) -> None:
        super().__init__(settings, CLOCK)
        self.touches = touches

    def _touch(self) -> None:
        self.touches -= 1
        if self.touches < 0:
            raise Died

    def _set_aside(self, digest: str) -> None:
        self._touch()
        super()._set_aside(digest)

    def _discard(self, digest: str) -> None:
        self._touch()
        super()._discard(digest)


matters = st.lists(
    st.tuples(
        st.lists(st.integers(0, 5), min_size=1, max_size=3, unique=True),  # contents, shared between episodes
        st.sampled_from([1.0, 29.0, 31.0, 89.0, 91.0]),  # days
        st.booleans(),  # ended
        st.sampled_from([None, "open", "cleared", "reviewed"]),
        st.sampled_from([None, "held", "pending", "dead", "accepted", "validated", "withdrawn"]),
    ),
    max_size=7,
)


@examples(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(matters=matters, touches=st.integers(0, 8))
async def test_whatever_refers_to_a_file_and_whenever_the_sweep_dies(
    store: Store, settings: Settings, matters: list[Any], touches: int
) -> None:
    connection, world = store.world.connection, store.world
    await connection.execute("TRUNCATE delivery, alert, episode, evidence CASCADE")
    ages: dict[int, float] = {}
    pinned: set[int] = set()
    cases: set[int] = set()
    digests: dict[int, str] = {}
    for number, (contents, age, ended, alert, delivery) in enumerate(matters):
        for content in contents:
            digests[content] = await store.put(content, age=age)
            ages[content] = min(ages.get(content, age), age)
        columns: dict[str, Any] = {"open": {"metric": ""}, "cleared": CLEARED}.get(alert or "", {})
        if alert == "reviewed":
            columns = CLEARED | {"verdict": "confirmed"}
        at = {"started_at": world.now - timedelta(days=age, seconds=number)}
        names = ("frame", "crop", "clip")
        roles = dict(zip(names, (digests[one] for one in contents), strict=False))
        roles.setdefault("crop", roles["frame"])
        found = await world.episode(
            f"e{number}", camera="gate", files=roles, ended_at=world.now if ended else None, **at
        )
        unresolved = not ended
        if columns:
            subject = {"rule": f"rule-{number}", "started_at": at["started_at"]}
            await world.alert(f"a{number}", camera="gate", episode_id=found, **subject, **columns)
            unresolved |= alert == "open"
            if delivery:
                await world.delivery(world.ids[f"a{number}"], delivery)
                unresolved |= delivery in ("held", "pending", "dead")
            if alert == "reviewed":
                cases.add(contents[0])
        if unresolved:
            pinned.update(contents)

    due = {
        content for content, age in ages.items() if content not in pinned and age > (90 if content in cases else KEEP)
    }
    with contextlib.suppress(Died):
        await Mortal(settings, touches).run(connection)
    for content in set(ages) - due:
        aside = settings.evidence_dir / ".removed" / digests[content]
        assert store.there(digests[content])
        assert not aside.exists()

    # Whenever it died: a file whose row was not removed is back.
    await EvidenceSweep(settings, CLOCK).recover(connection)
    assert {digests[content] for content in ages if not store.there(digests[content])} == set(await store.removed())

    await EvidenceSweep(settings, CLOCK).run(connection)
    assert {content for content in ages if not store.there(digests[content])} == due
    assert set(await store.removed()) == {digests[content] for content in due}
    assert list((settings.evidence_dir / ".removed").glob("*")) == []


class Slow(EvidenceSweep):
    """Stops between the judgement of a file and its removal until it is let go."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings, CLOCK)
        self.reached = asyncio.Event()
        self.go_on = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def _set_aside(self, digest: str) -> None:
        self._loop.call_soon_threadsafe(self.reached.set)
        asyncio.run_coroutine_threadsafe(self.go_on.wait(), self._loop).result()
        super()._set_aside(digest)


async def test_what_is_used_again_while_it_is_swept_is_there_afterwards(store: Store, settings: Settings) -> None:
    sha256 = await store.put(1, age=40)
    sweep = Slow(settings)
    sweeping = asyncio.create_task(sweep.run(store.world.connection))
    await sweep.reached.wait()
    data = b"picture 01" * 10
    async with await connect(settings.database, application="writer") as writer:

        async def write() -> None:
            async with writer.transaction():
                await evidence.record(writer, evidence.describe(data, "image/jpeg"))
                store.files.put(data, "image/jpeg")

        writing = asyncio.create_task(write())
        await waits_for_a_lock(settings, "writer")
        sweep.go_on.set()
        await asyncio.gather(sweeping, writing)
    assert store.there(sha256)
    assert await store.removed() == {}


async def waits_for_a_lock(settings: Settings, application: str) -> None:
    async with await connect(settings.database, application="watch") as watch, asyncio.timeout(20):
        while True:
            cursor = await watch.execute(
                "SELECT 1 FROM pg_stat_activity WHERE application_name = %s AND wait_event_type = 'Lock'",
                [f"smartsite {application}"],
            )
            if await cursor.fetchone():
                return
            await asyncio.sleep(0.01)


async def test_an_alert_that_is_being_raised_keeps_its_evidence(store: Store, settings: Settings) -> None:
    sha256 = await store.put(1, age=40)
    number = await episode(store, "e", sha256)
    async with await connect(settings.database, application="engine") as engine, engine.transaction():
        await hold_evidence(engine, Sighting(episode=number, frame_sha256=sha256, crop_sha256=sha256))
        # The sweep passes over what is held, though it sees no alert yet.
        assert await EvidenceSweep(settings, CLOCK).run(store.world.connection) == {"age": 0, "space": 0}
        await World(engine, store.world.now, store.world.ids).alert(
            "late", camera="gate", episode_id=number, frame_sha256=sha256
        )
    assert await EvidenceSweep(settings, CLOCK).run(store.world.connection) == {"age": 0, "space": 0}
    assert store.there(sha256)


async def test_files_that_no_row_knows_go_after_a_day(store: Store, settings: Settings) -> None:
    known = await store.put(1, age=2)
    strays = [store.files.put(b"stray %d" % number, "image/jpeg").sha256 for number in range(2)]
    half = store.files.path(known).with_name(".incoming-x")
    half.write_bytes(b"half")
    for path in (store.files.path(known), store.files.path(strays[0]), half):
        os.utime(path, (0, 0))
    await EvidenceSweep(settings, CLOCK).run(store.world.connection)
    assert store.there(known)
    assert not store.there(strays[0])
    assert not half.exists()
    assert store.there(strays[1]), "its writer may be about to commit"


async def test_the_keeper_sweeps(store: Store, settings: Settings) -> None:
    sha256 = await store.put(1, age=40)
    keeper = Schedule(settings.database, name="keeper", lock=LOCK, clock=CLOCK)
    assert await keeper.turn(Housekeeping(settings, CLOCK).evidence)
    await keeper.close()
    assert not store.there(sha256)
