"""Rules tried on history over the API, by the alerts process's worker and the engine itself."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import httpx
import psutil
import pytest

from alerts.replay.worker import Trials
from alerts.rules.model import RULE
from alerts.rules.versions import put_in_force
from core.settings import Settings
from core.settings.alerts import TrialSettings
from tests.alerts.world import PM10
from tests.api.conftest import LogIn
from tests.api.world import World
from tests.support.clock import FakeClock
from tests.support.wait import eventually

URL = "/api/v1/rule-trial"
# The station of the north: 60 readings, beyond 150 in the second half, beyond 250 in the last ten.
START, MINUTE = 1785542400000, 60_000
LEVEL = "CASE WHEN n < 30 THEN 100 WHEN n < 50 THEN 200 ELSE 300 END"


@pytest.fixture
async def history(world: World) -> None:
    await world.connection.execute(
        f"""INSERT INTO reading_dust (device_id, time, flags, pm10)
            SELECT %s, to_timestamp(%s) + make_interval(secs => n), 0, {LEVEL} FROM generate_series(0, 59) AS n""",  # type: ignore[arg-type]
        [world.ids["dust-north"], START / 1000],
    )


@contextlib.asynccontextmanager
async def working(settings: Settings, clock: FakeClock, **trial: Any) -> AsyncIterator[None]:
    """An alerts process's worker."""
    alerts = settings.alerts.model_copy(update={"trial": TrialSettings(**trial)})
    stop = asyncio.Event()
    work = asyncio.create_task(Trials(settings.model_copy(update={"alerts": alerts}), clock).run(stop))
    try:
        yield
    finally:
        stop.set()
        await work


async def ask(client: httpx.AsyncClient, text: str = PM10, **changes: Any) -> httpx.Response:
    return await client.post(URL, json={"text": text, "from": START, "to": START + MINUTE, "site": None, **changes})


async def ended(client: httpx.AsyncClient, clock: FakeClock) -> dict[str, Any]:
    async def over() -> dict[str, Any] | None:
        found: dict[str, Any] = (await client.get(URL)).json()
        if found["state"] == "waiting":
            await clock.advance(1)  # the worker looks; while it works, signs of life come by the machine's clock
        return found if found["state"] not in ("waiting", "running") else None

    return await eventually(over, timeout=60)


async def test_a_trial_tells_what_would_have_been_beside_what_is(
    log_in: LogIn, world: World, clock: FakeClock, settings: Settings, history: None
) -> None:
    client = await log_in("leader")
    assert (await client.get(URL)).json()["state"] == "none"
    async with world.connection.transaction():
        table = {"id": "pm10", "name": "x", "name_en": "x", "kind": "threshold", "severity": "major", "unit": "µg/m³"}
        rule = {**table, "scope": {"device_kind": "dust"}, "metric": "pm10", "raise_above": 250}
        await put_in_force(world.connection, [RULE.validate_python(rule)], clock=clock)
    asked = await ask(client)
    assert (asked.status_code, asked.json()["state"]) == (202, "waiting")
    async with working(settings, clock):
        found = await ended(client, clock)
    assert (found["state"], found["progress"], found["rules"]) == ("done", 1, ["pm10"])
    report = found["report"]
    assert report["readings"] == 60
    assert (report["drafted"]["alerts"], report["current"]["alerts"]) == (1, 1)
    (alert,) = report["alerts"]
    assert (alert["device"], alert["started_at"], alert["worst"], alert["limit"]) == (
        "dust-north",
        START + 30_000,
        300,
        150,
    )
    assert report["drafted"]["hours"] == pytest.approx(29 / 3600, abs=1e-3)
    assert report["current"]["hours"] == pytest.approx(9 / 3600, abs=1e-3)
    assert [one["alerts"] for one in report["drafted"]["days"]] == [1]
    assert await (await world.connection.execute("SELECT count(*) FROM alert")).fetchone() == (0,)
    # Another one of the right sees no trial of hers.
    assert (await (await log_in("integrator")).get(URL)).json()["state"] == "none"


async def test_a_trial_of_another_site_or_time_finds_nothing(
    log_in: LogIn, world: World, clock: FakeClock, settings: Settings, history: None
) -> None:
    client = await log_in("leader")
    async with working(settings, clock):
        await ask(client, site="south")
        assert (await ended(client, clock))["report"]["readings"] == 0
        await ask(client, **{"from": START + 40_000})
        report = (await ended(client, clock))["report"]
    assert (report["readings"], report["current"]) == (20, None)


async def test_more_history_than_is_allowed_and_a_trial_that_takes_too_long(
    log_in: LogIn, world: World, clock: FakeClock, settings: Settings, history: None
) -> None:
    client = await log_in("leader")
    async with working(settings, clock, readings=59):
        await ask(client)
        assert (await ended(client, clock))["error"] == "too_many_readings"
    async with working(settings, clock, at_most_s=0.01):
        await ask(client)
        found = await ended(client, clock)
    assert (found["state"], found["error"], found["report"]) == ("failed", "trial_too_long", None)


async def test_a_trial_is_given_up_and_a_worker_that_died_is_told(
    log_in: LogIn, world: World, clock: FakeClock, settings: Settings, history: None
) -> None:
    client = await log_in("leader")
    await ask(client)
    assert (await client.delete(URL)).status_code == 204
    assert (await client.get(URL)).json()["state"] == "none"
    await ask(client)
    await world.connection.execute("UPDATE rule_trial SET started_at = asked_at, due_at = asked_at + interval '30 s'")
    await clock.advance(29)
    assert (await client.get(URL)).json()["state"] == "running"
    await clock.advance(1)
    assert (await client.get(URL)).json()["state"] == "lost"
    await ask(client)
    await clock.advance(600)
    assert (await client.get(URL)).json()["state"] == "unclaimed"


async def test_a_trial_under_way_that_is_given_up_ends_its_process(
    log_in: LogIn, world: World, clock: FakeClock, settings: Settings, history: None
) -> None:
    client = await log_in("leader")

    def tries(process: psutil.Process) -> bool:
        try:
            return "alerts.replay.trial_process" in process.cmdline()
        except psutil.NoSuchProcess:  # it has ended since it was listed, or is dead and not yet buried
            return False

    def processes() -> list[psutil.Process]:
        return [one for one in psutil.Process().children() if tries(one)]

    async def running() -> bool:
        state = (await client.get(URL)).json()["state"]
        if state == "waiting":
            await clock.advance(1)  # the worker looks; later on its signs of life would be late by this clock
        return state == "running" and bool(processes())

    async with working(settings, clock), world.connection.transaction():
        await world.connection.execute("LOCK TABLE reading_dust")  # its readings do not come
        await ask(client)
        await eventually(running)
        await client.delete(URL)
        await eventually(lambda: not processes())


async def test_wishes_that_cannot_be_met(log_in: LogIn, world: World) -> None:
    client = await log_in("leader")

    async def field(**changes: Any) -> str:
        answer = await ask(client, **changes)
        assert answer.status_code == 422, answer.text
        return str(answer.json()["error"]["fields"][0]["field"])

    assert await field(text=PM10.replace("µg/m³", "mg/m³")) == "body.text"
    vision = (
        '[[rules]]\nid = "v"\nname = "v"\nname_en = "v"\nkind = "vision"\nseverity = "major"\nepisode = "no_helmet"\n'
    )
    assert await field(text=vision) == "body.text"
    assert await field(to=START) == "body.to"
    assert await field(to=START + 93 * 86_400_000) == "body.to"
    assert await field(site="nowhere") == "body.site"
