"""The comparison of what we reported with what the regulator has, against a real sandbox."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import timedelta

import httpx
import pytest

from alerts import adapters
from alerts.adapters.base import ListingAdapter
from alerts.reconcile import Report, reconcile
from core.errors import Unavailable
from core.evidence import EvidenceStore
from core.settings import Settings
from smartsite.cli import main
from tests.alerts.outgoing import World, delivering, folder, target, with_targets, world
from tests.support.clock import FakeClock
from tests.support.regulator import Sandbox, report, sandbox, signed, violation
from tests.support.wait import eventually


@pytest.fixture
async def regulator(settings: Settings, clock: FakeClock) -> AsyncIterator[Sandbox]:
    async with sandbox(folder(settings), clock=clock) as running:
        yield running


@pytest.fixture
async def place(settings: Settings, clock: FakeClock, regulator: Sandbox) -> AsyncIterator[World]:
    async with world(with_targets(settings, target(regulator.url)), clock) as made:
        yield made


async def compared(place: World, clock: FakeClock) -> Report:
    (to,) = place.settings.alerts.targets
    adapter = adapters.create(to, evidence=EvidenceStore(place.settings.evidence_dir), clock=clock)
    assert isinstance(adapter, ListingAdapter)
    async with httpx.AsyncClient(trust_env=False) as client:
        return await reconcile(
            place.connection,
            client,
            adapter,
            target=to.name,
            since=clock.now() - timedelta(days=1),
            until=clock.now() + timedelta(seconds=1),
            clock=clock,
        )


async def deliver(place: World, clock: FakeClock, count: int) -> None:
    for number in range(count):
        await place.enqueue(await place.alert(subject=f"device:{number}"))
    async with delivering(place.settings, clock):

        async def out() -> bool:
            return set(await place.states()) == {"accepted"}

        await eventually(out)
    await clock.advance(5)


async def test_two_sides_that_agree(place: World, clock: FakeClock) -> None:
    await deliver(place, clock, 5)
    found = await compared(place, clock)
    assert (found.ours, found.theirs, found.agreed, found.differences) == (5, 5, 5, [])


async def test_every_kind_of_difference_is_told(place: World, clock: FakeClock, regulator: Sandbox) -> None:
    await deliver(place, clock, 4)
    rows = await place.rows("delivery")
    # 1: the regulator lost it. 2: we think that it is in doubt. 3: it has it twice. 4: it found it wrong, we right.
    database = regulator.store._db
    database.execute("DELETE FROM violation WHERE key = ?", [rows[0]["idempotency_key"]])
    await place.connection.execute("UPDATE delivery SET state = 'uncertain' WHERE id = 2")
    columns = "client, key, arrived_ms, result_ms, rejected_for, repeats, body"
    database.execute(
        f"INSERT INTO violation (receipt, {columns}) SELECT 'R-again', {columns} FROM violation WHERE key = ?",
        [rows[2]["idempotency_key"]],
    )
    database.execute(
        "UPDATE violation SET rejected_for = 'no such project' WHERE key = ?", [rows[3]["idempotency_key"]]
    )
    await place.connection.execute("UPDATE delivery SET state = 'validated' WHERE id = 4")
    async with httpx.AsyncClient(base_url=regulator.url) as client:
        await report(client, violation(), key="somebody's", at_s=int(clock.now().timestamp()))
    await clock.advance(1)
    found = await compared(place, clock)
    assert [(item.kind, item.delivery) for item in found.differences] == [
        ("doubled", 3),
        ("missing", 1),
        ("result", 4),
        ("unknown", None),
        ("unsaid", 2),
    ]
    assert found.agreed == 0
    assert "no such project" in next(item.detail for item in found.differences if item.kind == "result")


async def test_what_arrived_long_before_it_was_accepted_is_found_by_its_receipt(
    place: World, clock: FakeClock, regulator: Sandbox
) -> None:
    regulator.behave(drop_reply=1)
    await place.enqueue(await place.alert())
    async with delivering(place.settings, clock):
        await eventually(regulator.received)

        async def lost() -> bool:
            return (await place.rows("delivery"))[0]["attempts"] == 1

        await eventually(lost)
    regulator.behave()
    await clock.advance(3 * 86_400)
    async with delivering(place.settings, clock):

        async def out() -> bool:
            return await place.states() == ["accepted"]

        await eventually(out)
    await clock.advance(1)
    found = await compared(place, clock)
    assert (found.ours, found.agreed, found.differences) == (1, 1, [])


async def test_many_are_listed_page_by_page(place: World, clock: FakeClock, regulator: Sandbox) -> None:
    async with httpx.AsyncClient(base_url=regulator.url) as client:
        for number in range(7):
            await report(client, violation(), key=f"k-{number}", at_s=int(clock.now().timestamp()))
        at_s, listed, path = int(clock.now().timestamp()), [], "/api/v1/violations?limit=3"
        while path:
            answer = (await client.get(path, headers=signed(b"", key=path, at_s=at_s))).json()
            listed += [item["key"] for item in answer["items"]]
            path = f"/api/v1/violations?limit=3&after={answer['next']}" if answer["next"] else ""
        assert listed == [f"k-{number}" for number in range(7)]
        stolen = signed(b"", key="/api/v1/violations", at_s=at_s)
        assert (await client.get("/api/v1/violations?limit=3", headers=stolen)).status_code == 401


async def test_a_regulator_that_is_away_is_no_difference(place: World, clock: FakeClock, regulator: Sandbox) -> None:
    await regulator.stop()
    with pytest.raises(Unavailable, match="does not tell what it has: not reached"):
        await compared(place, clock)


def test_the_command_refuses_what_it_cannot_ask(
    settings: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert settings.database.url is not None
    monkeypatch.setenv("SMARTSITE_DATABASE__URL", settings.database.url.get_secret_value())
    sink = {"name": "sink", "adapter": "alertmanager", "url": "http://127.0.0.1:9"}
    monkeypatch.setenv("SMARTSITE_ALERTS__TARGETS", json.dumps([sink]))
    assert main(["reconcile", "nosuch"]) == 1
    assert "there is no target nosuch" in capsys.readouterr().err
    assert main(["reconcile", "sink"]) == 1
    assert "cannot ask what the regulator has" in capsys.readouterr().err
