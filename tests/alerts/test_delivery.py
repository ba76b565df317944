"""The delivery worker against a real regulator over real HTTP, with a fake clock for back-off."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pydantic import SecretStr

from alerts import delivery, outbox
from alerts.adapters.reference import ReferenceAdapter
from alerts.ledger import DELIVERY_WRITER
from core.errors import ConfigurationError
from core.log import Reader, listen
from core.settings import DatabaseSettings, Settings
from sensors import entries
from sensors.entries import AlertEntry
from tests.alerts.outgoing import World, delivering, folder, target, with_targets, world
from tests.support.clock import FakeClock
from tests.support.regulator import Sandbox, sandbox
from tests.support.wait import eventually


@pytest.fixture
async def regulator(settings: Settings, clock: FakeClock) -> AsyncIterator[Sandbox]:
    async with sandbox(folder(settings), clock=clock) as running:
        yield running


@pytest.fixture
async def place(settings: Settings, clock: FakeClock, regulator: Sandbox) -> AsyncIterator[World]:
    async with world(with_targets(settings, target(regulator.url)), clock) as made:
        yield made


def states(place: World, *expected: str) -> Callable[[], Awaitable[bool]]:
    """A probe for `eventually`."""

    async def probe() -> bool:
        return await place.states() == list(expected)

    return probe


def attempts(place: World, count: int) -> Callable[[], Awaitable[bool]]:
    async def probe() -> bool:
        return len(await place.rows("delivery_attempt")) >= count

    return probe


async def test_a_raise_is_accepted_at_once_then_validated(place: World, regulator: Sandbox, clock: FakeClock) -> None:
    async with delivering(place.settings, clock):
        await place.enqueue(await place.alert())
        await eventually(states(place, "accepted"))
        (item,) = regulator.received()
        (row,) = await place.rows("delivery")
        assert (item["key"], item["receipt"]) == (row["idempotency_key"], row["receipt"])
        assert item["violation"]["alert"]["rule"] == "pm10-high"
        await clock.advance(2)
        await eventually(states(place, "validated"))
    (row,) = await place.rows("delivery")
    assert row["attempts"] == 1
    assert row["accepted_at"] < row["validated_at"] == clock.now()
    send, poll = await place.rows("delivery_attempt")
    assert (send["kind"], send["status"], send["outcome"]) == ("send", 202, "accepted")
    assert (poll["kind"], poll["status"], poll["outcome"]) == ("poll", 200, "validated")
    assert send["request"]["headers"]["webhook-signature"] == "***"
    assert row["receipt"] in send["response"]


async def test_the_log_tells_how_far_a_delivery_has_come(place: World, clock: FakeClock) -> None:
    reader = Reader("page", registered=False)
    alert = await place.alert()
    async with delivering(place.settings, clock):
        await place.enqueue(alert)
        await eventually(states(place, "accepted"))
        await clock.advance(2)
        await eventually(states(place, "validated"))
    told = [entry for entry in await reader.read(place.connection) if entry.writer == DELIVERY_WRITER]
    changes = [entries.decode(entry.payload) for entry in told]
    assert [(change.alert, change.site, change.event) for change in changes if isinstance(change, AlertEntry)] == [
        (alert.id, alert.site_id, "updated")
    ] * 2


async def test_a_notification_wakes_the_worker(place: World, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    # Without the poll's back-stop whatever is sent came by notification.
    monkeypatch.setattr(delivery, "listen", partial(listen, poll_s=3600))
    async with delivering(place.settings, clock):
        for count in range(1, 12):
            await place.enqueue(await place.alert(subject=f"device:{count}"))
            await eventually(states(place, *["accepted"] * count), every=0.002)


async def test_pictures_travel_with_the_violation(place: World, regulator: Sandbox, clock: FakeClock) -> None:
    await place.connection.execute("UPDATE site SET vision_policy = 'auto'")
    await place.reload()
    alert = await place.vision_alert(picture=b"\xff\xd8\xff somebody")
    async with delivering(place.settings, clock):
        await place.enqueue(alert)
        await eventually(states(place, "accepted"))
    assert alert.frame_sha256 is not None
    assert regulator.store.picture(alert.frame_sha256) == ("image/jpeg", b"\xff\xd8\xff somebody")


async def test_a_violation_goes_out_though_its_picture_is_gone(
    place: World, regulator: Sandbox, clock: FakeClock
) -> None:
    await place.connection.execute("UPDATE site SET vision_policy = 'auto'")
    await place.reload()
    alert = await place.vision_alert()
    for file in place.settings.evidence_dir.rglob("*"):
        if file.is_file():
            file.unlink()
    async with delivering(place.settings, clock):
        await place.enqueue(alert)
        await eventually(states(place, "accepted"))
    (send,) = await place.rows("delivery_attempt")
    assert send["request"]["evidence_missing"] == [alert.frame_sha256]


async def test_a_held_alert_is_sent_on_confirmation(place: World, regulator: Sandbox, clock: FakeClock) -> None:
    alert = await place.vision_alert()
    async with delivering(place.settings, clock):
        await place.enqueue(alert)
        await place.enqueue(await place.clear(alert), "end")
        await place.enqueue(await place.alert())
        await eventually(states(place, "held", "held", "accepted"))
        async with place.connection.transaction():
            confirmed = await place.change(alert, verdict="confirmed")
            await outbox.release(place.connection, confirmed, "confirmed", clock)
        await eventually(states(place, "accepted", "accepted", "accepted"))
    assert [item["violation"]["phase"] for item in regulator.received()] == ["raise", "raise", "end"]


async def test_an_end_waits_until_its_raise_was_accepted(place: World, regulator: Sandbox, clock: FakeClock) -> None:
    regulator.behave(fail=1)
    alert = await place.alert()
    async with delivering(place.settings, clock):
        await place.enqueue(alert)
        await place.enqueue(await place.clear(alert), "end")
        await eventually(attempts(place, 1))
        regulator.behave()
        await clock.advance(2)
        await eventually(states(place, "accepted", "accepted"))
    assert [item["violation"]["phase"] for item in regulator.received()] == ["raise", "end"]
    assert [row["attempts"] for row in await place.rows("delivery")] == [2, 1]


async def test_back_off_grows_with_real_attempts_up_to_an_hour(
    place: World, regulator: Sandbox, clock: FakeClock
) -> None:
    regulator.behave(fail=1)
    waits: list[float] = []
    async with delivering(place.settings, clock):
        await place.enqueue(await place.alert())
        for count in range(1, 16):

            async def recorded(count: int = count) -> Any:
                (row,) = await place.rows("delivery")
                return row if row["attempts"] == count else None

            row = await eventually(recorded)
            assert row["state"] == "pending"
            wait = (row["next_attempt_at"] - clock.now()).total_seconds()
            waits.append(wait)
            if count == 15:
                # Before it is due: an attempt under way might still be refused.
                regulator.behave()
            await clock.advance(wait)
            # Enough to wake the worker before its back-stop does.
            await outbox.ring(place.connection)
        await eventually(states(place, "accepted"))
    for number, wait in enumerate(waits):
        longest = min(2.0**number, 3600)
        assert longest / 2 <= wait <= longest


async def test_retry_after_is_honoured(place: World, regulator: Sandbox, clock: FakeClock) -> None:
    regulator.behave(throttle=1, retry_after_s=90)
    async with delivering(place.settings, clock):
        await place.enqueue(await place.alert())
        await eventually(attempts(place, 1))
    (row,) = await place.rows("delivery")
    assert (row["next_attempt_at"] - clock.now()).total_seconds() == 90
    assert row["reason"].startswith("status 429: throttled: throttled too many requests")


async def test_giving_up_is_told(place: World, regulator: Sandbox, clock: FakeClock) -> None:
    regulator.behave(fail=1)
    alert = await place.alert()
    async with delivering(place.settings, clock):
        await place.enqueue(alert)
        await place.enqueue(await place.clear(alert), "end")
        await eventually(attempts(place, 1))
        await clock.advance(15 * 86_400)
        await eventually(states(place, "dead", "pending"))
        (row, _) = await place.rows("delivery")
        assert row["reason"].startswith("given up after 14 days: status 500")
        # A person can still have it sent, and what waited behind it follows.
        regulator.behave()
        await place.resend(row["id"])
        await eventually(states(place, "accepted", "accepted"))


async def test_a_refused_client_is_a_configuration_error(place: World, regulator: Sandbox, clock: FakeClock) -> None:
    place.settings = with_targets(place.settings, target(regulator.url, client_id="stranger"))
    async with delivering(place.settings, clock):
        await place.enqueue(await place.alert())
        await eventually(states(place, "config_error"))
    (row,) = await place.rows("delivery")
    assert row["reason"] == "status 401: refused: unknown_client no client is registered as 'stranger'"


async def test_a_rejected_result_is_kept_with_its_reason(place: World, regulator: Sandbox, clock: FakeClock) -> None:
    regulator.behave(reject_rate=1, result_delay_s=600)
    async with delivering(place.settings, clock):
        await place.enqueue(await place.alert())
        await eventually(states(place, "accepted"))
        (row,) = await place.rows("delivery")
        await clock.advance((row["next_attempt_at"] - clock.now()).total_seconds())
        await outbox.ring(place.connection)
        await eventually(attempts(place, 2))

        async def inspected() -> bool:
            await clock.advance(100)
            await outbox.ring(place.connection)
            return await place.states() == ["rejected"]

        await eventually(inspected)
    (row,) = await place.rows("delivery")
    assert row["reason"] == "rejected on inspection"
    polls = [attempt for attempt in await place.rows("delivery_attempt") if attempt["kind"] == "poll"]
    assert polls[0]["outcome"] == "pending"
    assert polls[-1]["outcome"] == "rejected"


async def test_with_keys_a_lost_reply_is_asked_again_and_not_doubled(
    place: World, regulator: Sandbox, clock: FakeClock
) -> None:
    regulator.behave(drop_reply=1)
    async with delivering(place.settings, clock):
        await place.enqueue(await place.alert())
        await eventually(attempts(place, 1))
        regulator.behave()
        await clock.advance(2)
        await eventually(states(place, "accepted"))
    (item,) = regulator.received()
    assert (item["accepted"], item["repeats"]) == (1, 1)
    assert [attempt["outcome"] for attempt in await place.rows("delivery_attempt")] == ["no_reply", "accepted"]


@pytest.mark.parametrize(("policy", "state", "accepted"), [("ask", "uncertain", 1), ("resend", "accepted", 2)])
async def test_without_keys_a_lost_reply_is_left_to_the_policy(
    place: World, regulator: Sandbox, clock: FakeClock, policy: str, state: str, accepted: int
) -> None:
    regulator.behave(no_keys=True, drop_reply=1)
    place.settings = with_targets(place.settings, target(regulator.url, keys=False, on_uncertain=policy))
    async with delivering(place.settings, clock):
        await place.enqueue(await place.alert())
        await eventually(attempts(place, 1))
        regulator.behave(no_keys=True)
        await clock.advance(2)
        await eventually(states(place, state))
    assert [item["accepted"] for item in regulator.received()] == [accepted]
    (row,) = await place.rows("delivery")
    assert row["reason"]


@pytest.mark.parametrize("policy", ["ask", "resend"])
async def test_without_keys_definite_failures_are_tried_again(
    place: World, regulator: Sandbox, clock: FakeClock, policy: str
) -> None:
    regulator.behave(no_keys=True, fail=1)
    place.settings = with_targets(place.settings, target(regulator.url, keys=False, on_uncertain=policy))
    async with delivering(place.settings, clock):
        await place.enqueue(await place.alert())
        await eventually(attempts(place, 1))
        regulator.behave(no_keys=True)
        await clock.advance(2)
        await eventually(states(place, "accepted"))
    (row,) = await place.rows("delivery")
    assert (row["reason"], row["in_doubt_since"]) == ("", None)


@pytest.mark.parametrize(
    ("keys", "policy", "state", "accepted"),
    [(True, "ask", "accepted", 1), (False, "ask", "uncertain", 1), (False, "resend", "accepted", 2)],
)
async def test_a_worker_killed_at_a_call_leaves_nothing_lost_and_no_silent_double(
    place: World, regulator: Sandbox, clock: FakeClock, keys: bool, policy: str, state: str, accepted: int
) -> None:
    regulator.behave(no_keys=not keys, delay_s=30)
    place.settings = with_targets(place.settings, target(regulator.url, keys=keys, on_uncertain=policy, timeout_s=60))
    async with delivering(place.settings, clock) as worker:
        await place.enqueue(await place.alert())

        async def leased() -> bool:
            (row,) = await place.rows("delivery")
            return row["leased_by"] is not None

        await eventually(leased)
        # The request is at the regulator, which stores it and answers a worker that is gone.
        await eventually(lambda: any(moment >= 30 for moment, *_ in clock._sleepers))
        worker.cancel()
    await clock.advance(31)
    await eventually(regulator.received)
    regulator.behave(no_keys=not keys)
    async with delivering(place.settings, clock):
        await eventually(states(place, state))
    assert [item["accepted"] for item in regulator.received()] == [accepted]
    reasons = [attempt["error"] for attempt in await place.rows("delivery_attempt")]
    assert state == "uncertain" or "an earlier worker ended before it recorded a reply" in reasons


async def test_a_regulator_that_is_down_holds_up_nobody_else(
    place: World, regulator: Sandbox, clock: FakeClock, settings: Settings
) -> None:
    async with sandbox(settings.data_dir.parent / "second", clock=clock) as second:
        place.settings = with_targets(place.settings, target(regulator.url, name="down"), target(second.url, name="up"))
        await regulator.stop()
        async with delivering(place.settings, clock):
            await place.enqueue(await place.alert())
            await eventually(states(place, "pending", "accepted"))
            await eventually(attempts(place, 2))
            (row, _) = await place.rows("delivery")
            assert row["reason"].startswith("not reached")
            await regulator.start()
            await clock.advance(3600)
            await eventually(states(place, "accepted", "validated"))


async def test_a_database_outage_in_mid_call_loses_nothing(place: World, regulator: Sandbox, clock: FakeClock) -> None:
    regulator.behave(delay_s=1)
    place.settings = with_targets(place.settings, target(regulator.url, timeout_s=30))
    async with delivering(place.settings, clock):
        for number in range(4):
            await place.enqueue(await place.alert(subject=f"device:{number}"))
        # The four calls, and the worker's look for test calls.
        await eventually(lambda: len(clock._sleepers) >= 5)
        await place.connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        regulator.behave()

        async def settled() -> bool:
            await clock.advance(1)
            # The last state: `accepted` is passed while the clock goes on, by each delivery at its own time.
            return await place.states() == ["validated"] * 4

        await eventually(settled, timeout=60)
    assert [item["accepted"] for item in regulator.received()] == [1] * 4


async def test_two_workers_share_the_work(place: World, regulator: Sandbox, clock: FakeClock) -> None:
    for number in range(20):
        await place.enqueue(await place.alert(subject=f"device:{number}"))
    async with delivering(place.settings, clock), delivering(place.settings, clock):
        await eventually(states(place, *["accepted"] * 20))
    assert [(item["accepted"], item["repeats"]) for item in regulator.received()] == [(1, 0)] * 20


async def test_an_adapter_that_fails_is_recorded_and_tried_again(
    place: World, regulator: Sandbox, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise KeyError("mapping")

    with monkeypatch.context() as patch:
        patch.setattr(ReferenceAdapter, "send", broken)
        async with delivering(place.settings, clock):
            await place.enqueue(await place.alert())
            await eventually(attempts(place, 1))
    (attempt,) = await place.rows("delivery_attempt")
    assert attempt["error"] == "the adapter failed: KeyError: 'mapping'"
    await clock.advance(2)
    async with delivering(place.settings, clock):
        await eventually(states(place, "accepted"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"adapter": "nosuch"}, "there is no adapter 'nosuch'"),
        ({"adapter": "base"}, "there is no adapter 'base'"),
        ({"secret": ""}, "has no secret"),
        ({"secret": "whsec_???"}, "is not base64"),
        ({"client_id": ""}, "has no client_id"),
    ],
)
async def test_unusable_targets_are_told_at_the_start(
    tmp_path: Path, clock: FakeClock, changes: dict[str, Any], words: str
) -> None:
    settings = Settings(data_dir=tmp_path)
    with pytest.raises(ConfigurationError, match=words):
        async with delivering(with_targets(settings, target("http://127.0.0.1:9", **changes)), clock) as worker:
            await worker


async def test_a_wrong_statement_is_not_taken_for_an_outage(place: World, regulator: Sandbox, clock: FakeClock) -> None:
    await place.connection.execute("ALTER TABLE delivery RENAME COLUMN receipt TO other")
    with pytest.raises(ExceptionGroup) as caught:
        async with delivering(place.settings, clock) as worker:
            await worker
    assert caught.group_contains(psycopg.errors.UndefinedColumn)


async def test_an_end_is_not_held_up_by_a_database_that_is_away(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "_GRACE_S", 0.05)
    away = Settings(data_dir=tmp_path, database=DatabaseSettings(url=SecretStr("postgresql://u@127.0.0.1:1/d")))
    async with delivering(with_targets(away, target("http://127.0.0.1:9")), clock):
        # The look for test calls, the ear and the lane: both of these wait for the database.
        await eventually(lambda: len(clock._sleepers) >= 3)
