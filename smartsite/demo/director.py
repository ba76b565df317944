"""Directs the demo: brings up the installation and its neighbours, and closes the account of a bounded run."""

from __future__ import annotations

import asyncio
import contextlib
import json
import tomllib
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from core.clock import Clock
from core.database import connect
from core.errors import ConfigurationError
from core.settings import Settings
from sensors import provision
from smartsite.console import say
from smartsite.demo import chaos, stage
from smartsite.demo.account import Account
from smartsite.demo.chaos import Kill
from smartsite.demo.probe import until_answers
from smartsite.demo.reviewer import Reviewer
from smartsite.demo.stage import Stage
from smartsite.installation import Installation
from smartsite.rooms import SERVICES

T = TypeVar("T")

_REVIEWED_SITE = "qianjiang-metro"
_REVIEWER = "supervisor"
_SHOWN = ("leader", "operator", "supervisor", "officer", "integrator")
_START_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the command line asks for. ``seconds`` None: until a signal."""

    seconds: float | None
    report: Path | None
    chaos: bool


async def perform(scene: Stage, plan: Plan, *, stop: asyncio.Event, clock: Clock) -> bool:
    """Runs the demo until ``stop`` or the end of its time; True unless a bounded run's report says that it failed."""
    url = f"http://127.0.0.1:{scene.ports.http}"
    regulator_url = f"http://127.0.0.1:{scene.ports.regulator}"
    registry = tomllib.loads(scene.registry.read_text(encoding="utf-8"))
    passwords = {person["login"]: person["password"] for person in registry["people"] if "login" in person}

    say("starting the database")
    async with Installation(scene.settings, clock=clock, environment=scene.environment) as installation:
        settings = installation.settings
        await _provision(settings, scene.registry)
        if scene.with_broker:
            say("starting the MQTT broker")
            devices = {f"{row['site']}/{row['code']}": row["secret"] for row in registry["devices"]}
            await installation.launch(stage.mosquitto(scene, devices))
        say("starting the sandbox regulator and the cameras")
        await installation.launch(stage.regulator(scene))
        await installation.launch(stage.cameras(scene))
        await until_answers(
            f"{regulator_url}/sandbox/behaviour", within_s=_START_S, what="the sandbox regulator", clock=clock
        )
        account = Account(settings, regulator_url=regulator_url, clock=clock)
        await account.begin()
        say("starting the rooms: " + ", ".join(SERVICES))
        await installation.launch_rooms()
        await until_answers(f"{url}/healthz", within_s=_START_S, what="the page", clock=clock)
        say("starting the simulated devices")
        await installation.launch(stage.simulator(scene))
        _greet(url, regulator_url, passwords)
        reviewer = Reviewer(url=url, login=_REVIEWER, password=passwords[_REVIEWER], site=_REVIEWED_SITE, clock=clock)
        kills: list[Kill] = []
        async with _beside(reviewer.run()):
            if plan.seconds is None:
                await stop.wait()
                say("stopping")
                return True
            async with _beside(account.follow()):
                if plan.chaos:
                    pause = plan.seconds / (len(chaos.VICTIMS) + 1)
                    kills = (
                        await _unless(stop, chaos.kill_all(installation.supervisor, every_s=pause, clock=clock)) or []
                    )
                    await _unless(stop, clock.sleep(pause))
                else:
                    await _unless(stop, clock.sleep(plan.seconds))
                say("stopping the devices; waiting until everything has arrived")
                for name in ("simulator", "vision"):
                    await installation.supervisor.end(name)
            restarts = {name: state.restarts for name, state in installation.supervisor.states.items()}
            found = await account.close(
                scene.journal, mode="broker" if scene.with_broker else "endpoint", kills=kills, restarts=restarts
            )
        say("stopping")
    _tell(found, plan.report)
    return bool(found["ok"])


async def _provision(settings: Settings, registry: Path) -> None:
    async with await connect(settings.database, application="provision") as connection:
        made = await provision.apply(connection, registry)
    if made.errors:
        faults = "\n".join(f"  {error}" for error in made.errors)
        raise ConfigurationError(f"the demo's registry does not fit this version:\n{faults}")


@contextlib.asynccontextmanager
async def _beside(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Runs ``work`` beside the body and cancels it at its end; what it raised by then is raised."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
    if not task.cancelled():
        task.result()


async def _unless(stop: asyncio.Event, work: Coroutine[Any, Any, T]) -> T | None:
    """The result of ``work``, or None when ``stop`` comes first."""
    task, halt = asyncio.create_task(work), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({task, halt}, return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        task.cancel()
        halt.cancel()
        await asyncio.wait({task, halt})


def _greet(url: str, regulator_url: str, passwords: dict[str, str]) -> None:
    say()
    say(f"  The control centre      {url}")
    say(f"  The sandbox regulator   {regulator_url}")
    say("  Log-ins                 " + ", ".join(f"{login} / {passwords[login]}" for login in _SHOWN))
    say("  Ctrl-C stops everything; the data is kept and the next start goes on with it.")
    say()


def _tell(found: dict[str, Any], path: Path | None) -> None:
    """Prints the verdicts, and writes the whole report where one asked for it."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    for verdict in found["stages"]:
        say(f"[{' ok ' if verdict['ok'] else 'FAIL'}] {verdict['name']}: {verdict['fact']}")
    for name, figures in found["latencies_ms"].items():
        say(f"       {name}: p50 {figures['p50']} ms, p99 {figures['p99']} ms ({figures['count']})")
    say("the run did all its work" if found["ok"] else "THE RUN FAILED: see the stages above")
