"""Publishing over real sockets: what the journal says was acknowledged is what the other side has."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from sensors.simulator import Effect, Episode, Schedule, SimulatedDevice, SimulationPlan, Summary, run_simulation
from sensors.simulator.journal import Written, read_journal
from sensors.simulator.link import Link
from tests.sensors.listener import Listener
from tests.support.wait import eventually


def device(code: str, secret: str = "secret") -> SimulatedDevice:
    return SimulatedDevice(site="a", code=code, kind="dust", secret=secret, interval_s=0.02, time_zone="Asia/Shanghai")


@pytest.fixture
async def listener() -> AsyncIterator[Listener]:
    listener = Listener({"a/d1": "secret", "a/d2": "secret"})
    await listener.start()
    yield listener
    await listener.kill()


class Run:
    """A simulation on its way; `end()` stops it."""

    def __init__(self, listener: Listener, path: Path, *episodes: Episode, drain_s: float = 10, secret: str = "secret"):
        self.stop = asyncio.Event()
        self.path = path / "journal.jsonl"
        plan = SimulationPlan(
            host="127.0.0.1",
            port=listener.port,
            devices=(device("d1"), device("d2", secret)),
            schedule=Schedule(episodes),
            journal=self.path,
            drain_s=drain_s,
        )
        self.task = asyncio.create_task(run_simulation(plan, self.stop))

    async def end(self) -> tuple[Summary, Written]:
        self.stop.set()
        return await self.task, read_journal(self.path)


def held(listener: Listener) -> set[tuple[str, int]]:
    return {
        (topic.removeprefix("smartsite/v1/").removesuffix("/telemetry"), json.loads(payload)["ts"] * 1000)
        for topic, payload in listener.messages
        if topic.endswith("/telemetry")
    }


@asynccontextmanager
async def running(listener: Listener, path: Path, *episodes: Episode, **options: object) -> AsyncIterator[Run]:
    run = Run(listener, path, *episodes, **options)
    try:
        yield run
    finally:
        run.stop.set()
        await run.task


async def test_all_that_is_published_is_acknowledged_and_there(listener: Listener, tmp_path: Path) -> None:
    async with running(listener, tmp_path) as run:
        await eventually(lambda: len(listener.payloads("telemetry")) > 40)
        await eventually(lambda: listener.connected == {"a/d1", "a/d2"})
        summary, written = await run.end()
    assert summary.published == summary.acknowledged == len(written.records)
    assert {(r.device, r.time) for r in written.records} == held(listener)
    for record in written.records:
        assert record.acknowledged is not None
        assert record.time <= record.published <= record.acknowledged
    # The devices say good-bye and go: it may be on its way to the listener yet.
    await eventually(lambda: listener.payloads("status").count(b'{"online":false}') == 2)
    assert listener.payloads("status").count(b'{"online":true}') == 2
    assert listener.wills == [], "a device that ends says good-bye"


async def test_what_is_published_while_the_answer_is_awaited_does_not_overtake(
    listener: Listener, tmp_path: Path
) -> None:
    async with running(listener, tmp_path) as run:
        await eventually(lambda: len(listener.payloads("telemetry")) > 10)
        listener.acknowledge = False
        seen = len(listener.payloads("telemetry"))
        await eventually(lambda: len(listener.payloads("telemetry")) > seen + 10)
        await listener.kill()
        listener.acknowledge, listener.knocks = True, 0
        listener.welcome.clear()
        before = len(listener.messages)
        await listener.start()
        await eventually(lambda: listener.knocks == 2)
        await asyncio.sleep(0.2)  # ten readings of each device
        listener.welcome.set()

        def times(name: str) -> list[int]:
            topic = f"smartsite/v1/a/{name}/telemetry"
            return [json.loads(payload)["ts"] for found, payload in listener.messages[before:] if found == topic]

        await eventually(lambda: all(len(set(times(name))) > 20 for name in ("d1", "d2")))
        await run.end()
    for name in ("d1", "d2"):
        assert times(name) == sorted(times(name))


async def test_a_killed_server_loses_nothing(listener: Listener, tmp_path: Path) -> None:
    async with running(listener, tmp_path) as run:
        await eventually(lambda: len(listener.payloads("telemetry")) > 20)
        listener.acknowledge = False
        seen = len(listener.payloads("telemetry"))
        await eventually(lambda: len(listener.payloads("telemetry")) > seen + 10)
        await listener.kill()
        await asyncio.sleep(0.3)
        listener.acknowledge = True
        await listener.start()
        again = len(listener.payloads("telemetry"))
        await eventually(lambda: len(listener.payloads("telemetry")) > again + 40)
        summary, written = await run.end()
    assert summary.unacknowledged == 0
    assert {(r.device, r.time) for r in written.records} == held(listener)
    assert len(listener.payloads("telemetry")) > len(written.records), "what was not acknowledged came again"


async def test_a_power_cut_leaves_the_last_will_and_ends(listener: Listener, tmp_path: Path) -> None:
    # It has to be connected by then, however busy the machine is.
    dark = Episode(device="a/d1", effect=Effect.SILENCE, start=2, end=2.7)
    async with running(listener, tmp_path, dark) as run:
        await eventually(lambda: listener.wills == ["a/d1"])
        await eventually(lambda: "a/d1" in listener.connected)
        _, written = await run.end()
    begun = written.beginnings[0].started_at
    times = [record.published - begun for record in written.records if record.device == "a/d1"]
    assert not [time for time in times if 2_000_000 <= time < 2_700_000]
    assert any(time > 2_700_000 for time in times)


async def test_the_drain_has_an_end(listener: Listener, tmp_path: Path) -> None:
    listener.acknowledge = False
    async with running(listener, tmp_path, drain_s=0.2) as run:
        await eventually(lambda: len(listener.payloads("telemetry")) > 10)
        summary, written = await run.end()
    assert summary.unacknowledged == summary.published == len(written.records)
    assert all(record.acknowledged is None for record in written.records)


async def test_a_refused_device_is_named_and_the_other_goes_on(
    listener: Listener, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(listener, tmp_path, secret="wrong", drain_s=0.2) as run:
        await eventually(lambda: len(listener.payloads("telemetry")) > 10)
        await eventually(lambda: [r for r in caplog.records if getattr(r, "device", "") == "a/d2"])
        await run.end()
    assert {name for name, _ in held(listener)} == {"a/d1"}


async def test_a_link_that_is_cancelled_in_the_moment_of_its_connack_ends(listener: Listener) -> None:
    link = Link(
        host="127.0.0.1",
        port=listener.port,
        user="a/d1",
        password="secret",
        topic="smartsite/v1/a/d1",
        acknowledged=lambda _: None,
    )
    work = asyncio.create_task(link.run())
    answer = link._client.on_connect
    assert answer is not None

    def answer_and_cancel(*arguments: Any) -> None:
        answer(*arguments)
        work.cancel()

    link._client.on_connect = answer_and_cancel
    done, _ = await asyncio.wait({work}, timeout=30)
    assert done == {work}
    assert work.cancelled()
    await link.close(1)
