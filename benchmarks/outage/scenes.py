"""The two stories: an outage of minutes with ingest killed and restarted in it, and kills at random moments."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass
from typing import Any

from benchmarks.ingest.mosquitto import Mosquitto
from benchmarks.ingest.stage import Stage
from benchmarks.outage import account
from benchmarks.outage.book import Sent
from benchmarks.outage.scene import Devices, Scene, span
from benchmarks.report import target

IN_MEMORY_S = 1.0
"""Seconds before a kill -9 of ingest in which what was read may not have been on disk: QoS 0 alone may lose it."""
UNSAVED_S = 2.5
"""Seconds before a kill -9 of Mosquitto of which it may have forgotten what it acknowledged: its autosave interval of
one second, the check for it each second, and the time to write."""
DRAINED_S = 600.0

_LET_START = 0.8
"""Share of ingest's kills after which it takes connections before anything is killed again; else a slow machine would
see nothing but starts."""

Targets = list[dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """Devices by kind, each sending every `every_s` seconds; the database is away for `minutes`."""

    qos1: int
    qos0: int
    hj212: int
    every_s: float
    minutes: float
    beside_s: float


async def outage(stage: Stage, size: Outage) -> tuple[dict[str, Any], Targets]:
    """The database is killed; a third later ingest is, another third later it is restarted orderly."""
    with stage.database() as url:
        scene = Scene(stage, url)
        await scene.start_ingest()
        await scene.ready()
        watching = asyncio.create_task(scene.watch())
        third = size.minutes * 60 / 3
        try:
            async with scene.devices(qos1=size.qos1, qos0=size.qos0, hj212=size.hj212, every_s=size.every_s) as devices:
                begun = time.monotonic()
                await asyncio.sleep(size.beside_s)
                await scene.kill_postgres()
                away = scene.kills["postgres"][0]
                await asyncio.sleep(third)
                await scene.kill_ingest()
                after_kill = await scene.ready()
                await asyncio.sleep(max(0.0, away + 2 * third - time.monotonic()))
                asked = time.monotonic()
                status = await scene.restart_ingest()
                after_restart = await scene.ready()
                await asyncio.sleep(max(0.0, away + 3 * third - time.monotonic()))
                held = scene.spooled()
                await scene.start_postgres()
                back = time.monotonic()
                await _drained(scene)
                drained = time.monotonic()
                await asyncio.sleep(size.beside_s)
                ended = time.monotonic()
                await devices.tell()
                sent, fared = await devices.finished()
            status = status or await scene.end_ingest()
        finally:
            watching.cancel()
            await scene.end_ingest()
        found = await account.stored(url)
        scene.clean()
    phases = {"before": (begun + 5, away), "during": (away, back), "draining": (back, drained),
              "after": (drained, ended)}  # fmt: skip
    figures: dict[str, Any] = {
        "outage_s": round(back - away, 1),
        "drained_s": round(drained - back, 1),
        "spool_bytes_at_return": held,
        "ingest_status": status,
        "ready_after_kill_s": round(after_kill, 2),
        "orderly_restart_s": round(scene.restarts[0] - asked + after_restart, 2),
        **{name: span(scene.samples, *bounds) for name, bounds in phases.items()},
        **_kept(sent, found, fared),
    }
    for name, mine in account.every(sent).items():
        excused = scene.kills["ingest"] if name == "qos0" else []
        figures[name] = account.of_kind(mine, found, excused, IN_MEMORY_S) | {
            "latency": {phase: account.latency(mine, *bounds) for phase, bounds in phases.items()}
        }
    peak = max(figures[name]["peak_mb"] for name in phases)
    return figures, [
        target("QoS 1 acknowledged and not stored", figures["qos1"]["lost"], "==", 0),
        target("HJ 212 answered and not stored", figures["hj212"]["lost"], "==", 0),
        target("QoS 0 read and not stored, but for the second before a kill of ingest",
               figures["qos0"]["lost"] - figures["qos0"]["lost_excused"], "==", 0),
        target("rows or log entries doubled or missing beside each other", figures["doubled"], "==", 0),
        target("seconds until drained", figures["drained_s"], "<=", 120),
        target("peak memory of ingest, over that before", round(peak / figures["before"]["peak_mb"], 2), "<=", 2),
    ]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Kills:
    """`messages` of `devices` at `rate` a second in all, to `way`: own, broker or hj212."""

    way: str
    messages: int
    devices: int
    rate: float
    seed: int


async def kills(stage: Stage, size: Kills) -> tuple[dict[str, Any], Targets]:
    """Kill -9 of what the way has, one after the other at random moments, until all is sent."""
    broker = None
    if size.way == "broker":
        folder = stage.folder / "mosquitto"
        folder.mkdir()
        broker = Mosquitto(folder)
        await broker.start()
    with stage.database() as url:
        scene = Scene(stage, url, broker=broker)
        await scene.start_ingest()
        await scene.ready()
        count = {"qos1": 0, "qos0": 0, "hj212": 0} | {"hj212" if size.way == "hj212" else "qos1": size.devices}
        begun = time.monotonic()
        try:
            async with scene.devices(
                **count, every_s=size.devices / size.rate, quota=size.messages // size.devices
            ) as devices:
                sent, fared = await _killing(scene, devices, random.Random(size.seed), broker=broker is not None)
            await _drained(scene)
            if broker is not None:
                await _all_through(url, sent, scene)
            ended = time.monotonic()
            status = await scene.end_ingest()
        finally:
            await scene.end_ingest()
            if broker is not None:
                await broker.end()
        found = await account.stored(url)
        scene.clean()
    excused = scene.kills["broker"]
    (name, mine), = account.every(sent).items()  # fmt: skip
    figures = {
        "seconds": round(ended - begun, 1),
        "seed": size.seed,
        "kills": {victim: len(moments) for victim, moments in scene.kills.items()},
        "ingest_status": status,
        **_kept(sent, found, fared),
        name: account.of_kind(mine, found, excused, UNSAVED_S),
    }
    one = figures[name]
    return figures, [
        target(f"{size.way}: messages", one["sent"], ">=", size.messages),
        target(f"{size.way}: acknowledged and not stored", one["lost"] - one["lost_excused"], "==", 0),
        target(f"{size.way}: messages without a row", one["sent"] - one["stored"] - one["lost_excused"], "==", 0),
        target(f"{size.way}: rows or log entries doubled or missing beside each other", figures["doubled"], "==", 0),
    ]


async def _killing(scene: Scene, devices: Devices, chance: random.Random, *, broker: bool) -> tuple[Sent, Any]:
    finishing = asyncio.create_task(devices.finished())
    victims = ["ingest", "postgres"] + (["broker"] if broker else [])
    while True:
        done, _ = await asyncio.wait({finishing}, timeout=chance.uniform(1.0, 5.0))
        if done:
            return finishing.result()
        victim = chance.choice(victims)
        if victim == "ingest":
            await scene.kill_ingest()
            if chance.random() < _LET_START:
                await scene.ready()
        elif victim == "broker":
            await scene.kill_broker()
        else:
            await scene.kill_postgres()
            await asyncio.sleep(chance.uniform(0.0, 4.0))
            await scene.start_postgres()


async def _drained(scene: Scene) -> None:
    """Wait until the spool is empty: what an orderly end does not get stored stays in it."""
    deadline = time.monotonic() + DRAINED_S
    while scene.spooled():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{scene.spooled()} bytes are in the spool after {DRAINED_S:.0f} s")
        await asyncio.sleep(0.05)


async def _all_through(url: str, sent: Sent, scene: Scene) -> None:
    """Wait until the broker has handed on all that it did not forget."""
    deadline = time.monotonic() + DRAINED_S
    before = -1
    while time.monotonic() < deadline:
        found = await account.stored(url)
        (mine,) = account.every(sent).values()
        kept = account.of_kind(mine, found, scene.kills["broker"], UNSAVED_S)
        if kept["lost"] == kept["lost_excused"] and kept["stored"] == before:
            return
        before = kept["stored"]
        await asyncio.sleep(2)


def _kept(sent: Sent, found: account.Stored, fared: dict[str, Any]) -> dict[str, Any]:
    return {
        "devices_left_waiting_for": fared["waiting"],
        "connections": fared["connections"],
        "doubled": account.doubled(found),
        "rows_nobody_sent": account.unknown(sent, found),
        "sent_again_and_known": found.counts["duplicates"],
        "quarantined": found.counts["quarantined"],
    }
