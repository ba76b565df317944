"""Cameras shared out among workers: each has one, evenly, whoever comes, dies, hangs or loses the database."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest

from core.clock import SystemClock
from core.database import connect
from core.settings import Settings
from smartsite import rooms
from smartsite.demo.rtsp import RtspServer
from tests.support.wait import eventually
from tests.vision.test_kill import worker
from vision.leases import Leases

CLOCK = SystemClock()


@pytest.fixture
async def database(settings: Settings) -> AsyncIterator[psycopg.AsyncConnection]:
    async with await connect(settings.database, application="test") as connection:
        yield connection


async def add_cameras(database: psycopg.AsyncConnection, urls: list[str]) -> list[int]:
    await database.execute("INSERT INTO site (code, name) VALUES ('alpha', '甲')")
    for number, url in enumerate(urls):
        await database.execute(
            "INSERT INTO camera (site_id, code, name, url) SELECT id, %s, '机', %s FROM site", (f"cam-{number}", url)
        )
    return [row[0] for row in await (await database.execute("SELECT id FROM camera ORDER BY id")).fetchall()]


class Party:
    """Workers that share out cameras by turns, as the service does."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.workers: dict[str, Leases] = {}
        self.held: dict[str, frozenset[int]] = {}

    def join(self, name: str) -> None:
        self.workers[name] = Leases(self._settings.database, worker=name, clock=CLOCK)

    async def die(self, name: str, database: psycopg.AsyncConnection) -> None:
        await self.workers.pop(name).close()
        self.held.pop(name)

        async def is_gone() -> bool:
            session = "SELECT FROM pg_stat_activity WHERE application_name = %s"
            return await (await database.execute(session, [f"smartsite {name} leases"])).fetchone() is None

        # The server ends a session, and lets go of its lock, a moment after we have closed the connection.
        await eventually(is_gone)

    async def turns(self, cameras: list[int], others: list[int], times: int = 3) -> None:
        for _ in range(times):
            for name, leases in self.workers.items():
                share = await leases.turn(cameras, others)
                self.held[name] = share.held - share.surplus
                # Nobody ever has what another still has.
                taken = Counter(camera for held in self.held.values() for camera in held)
                assert all(count == 1 for count in taken.values()), taken
                if share.surplus:
                    await leases.release(share.surplus)

    def sizes(self) -> list[int]:
        return sorted(len(held) for held in self.held.values())


@pytest.fixture
async def party(settings: Settings) -> AsyncIterator[Party]:
    party = Party(settings)
    yield party
    for name in list(party.workers):
        await party.workers.pop(name).close()


async def test_they_are_shared_out_evenly_whoever_comes_and_goes(
    party: Party, database: psycopg.AsyncConnection
) -> None:
    *cameras, off = await add_cameras(database, ["x"] * 11)
    party.join("a")
    await party.turns(cameras, [off])
    assert party.held["a"] == {*cameras, off}
    party.join("b")
    party.join("c")
    await party.turns(cameras, [off])
    assert set().union(*party.held.values()) == {*cameras, off}
    enabled = sorted(len(held & set(cameras)) for held in party.held.values())
    assert enabled == [2, 4, 4]
    await party.die("a", database)
    await party.turns(cameras, [off])
    assert set().union(*party.held.values()) == {*cameras, off}
    assert sorted(len(held & set(cameras)) for held in party.held.values()) == [5, 5]
    # One that is switched off, and one that is gone from the registry.
    await party.turns(cameras[1:], [cameras[0]])
    assert set().union(*party.held.values()) == set(cameras)
    rows = await (await database.execute("SELECT camera_id FROM camera_lease ORDER BY 1")).fetchall()
    assert [row[0] for row in rows] == cameras


async def test_the_cameras_of_one_that_hangs_are_taken_and_it_learns_of_it(
    party: Party, database: psycopg.AsyncConnection
) -> None:
    cameras = await add_cameras(database, ["x"] * 4)
    party.join("hangs")
    party.join("lives")
    await party.turns(cameras, [])
    assert party.sizes() == [2, 2]
    hanging = party.workers.pop("hangs")
    lost = party.held.pop("hangs")
    await database.execute("UPDATE camera_lease SET seen_at = seen_at - interval '1 minute' WHERE worker = 'hangs'")
    await party.turns(cameras, [], times=1)
    assert party.held["lives"] == set(cameras)
    share = await hanging.turn(cameras, [])
    assert not share.held & lost
    party.workers["hangs"] = hanging
    await party.turns(cameras, [])
    assert party.sizes() == [2, 2]


async def test_a_lost_session_is_taken_up_again(party: Party, database: psycopg.AsyncConnection) -> None:
    cameras = await add_cameras(database, ["x"] * 3)
    party.join("a")
    await party.turns(cameras, [])
    await database.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'smartsite a leases'"
    )
    with pytest.raises(psycopg.OperationalError):
        await party.workers["a"].turn(cameras, [])
    await party.turns(cameras, [])
    assert party.held["a"] == set(cameras)


async def test_a_camera_that_is_being_removed_meanwhile_is_not_taken(
    party: Party, database: psycopg.AsyncConnection, settings: Settings
) -> None:
    first, second = await add_cameras(database, ["x"] * 2)
    party.join("a")

    async def waits() -> bool:
        waiting = "SELECT FROM pg_stat_activity WHERE application_name = %s AND wait_event_type = 'Lock'"
        return await (await database.execute(waiting, ["smartsite a leases"])).fetchone() is not None

    async with await connect(settings.database, application="remover") as remover:
        async with remover.transaction():
            await remover.execute("DELETE FROM camera WHERE id = %s", [second])
            turn = asyncio.create_task(party.turns([first, second], [], times=1))
            await eventually(waits)
        await turn
    assert party.held["a"] == {first}


def test_the_supervisor_starts_as_many_as_are_set(settings: Settings) -> None:
    vision = settings.vision.model_copy(update={"workers": 3, "worker": "east", "live_port": 9000})
    specs = {spec.name: spec for spec in rooms.specs({"A": "1"}, settings.model_copy(update={"vision": vision}))}
    assert [name for name in specs if name.startswith("vision")] == ["vision", "vision-2", "vision-3"]
    assert specs["vision"].environment == {"A": "1"}
    assert specs["vision-3"].environment == {
        "A": "1",
        "SMARTSITE_VISION__WORKER": "east-3",
        "SMARTSITE_VISION__LIVE_PORT": "9002",
    }
    assert [rooms.room_of(name) for name in ("vision-2", "alerts", "database")] == ["vision", "alerts", None]


async def test_the_cameras_of_a_killed_worker_go_on_with_the_other(
    settings: Settings, database: psycopg.AsyncConnection, rtsp: RtspServer, tmp_path: Path
) -> None:
    await add_cameras(database, [f"rtsp://127.0.0.1:{rtsp.port}/tiny"] * 4)

    async def spread() -> dict[str, int]:
        """Cameras that deliver at this moment, by the worker that has them."""
        rows = await (
            await database.execute(
                "SELECT l.worker, count(*) FROM camera_lease l JOIN camera_state s USING (camera_id) "
                "WHERE s.state = 'online' AND s.updated_at > now() - interval '4 s' GROUP BY 1"
            )
        ).fetchall()
        return dict(rows)

    def is_spread(expected: dict[str, int]) -> Any:
        async def check() -> bool:
            return await spread() == expected

        return eventually(check, timeout=120, every=0.2)

    async def are_taken_over() -> bool:
        rows = await (await database.execute("SELECT DISTINCT worker FROM camera_lease")).fetchall()
        return rows == [("vision-two",)]

    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(worker(settings, tmp_path / "log", name="one"))
        await is_spread({"vision-one": 4})
        await stack.enter_async_context(worker(settings, tmp_path / "log", name="two"))
        await is_spread({"vision-one": 2, "vision-two": 2})
        first.send_signal(signal.SIGKILL)
        began = asyncio.get_running_loop().time()
        await eventually(are_taken_over, timeout=60)
        # By then they would have gone over from one that hangs, too.
        assert asyncio.get_running_loop().time() - began < 30
        await is_spread({"vision-two": 4})
