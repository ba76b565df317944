"""Who is told, why or why not, and the worker that tells them: real channels of apprise, a real inbox."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any, get_args

import httpx
import pytest

from alerts import channels, notices, outbox
from alerts.channels import Means, Outgoing, Sent
from alerts.channels.base import NOT_AN_ADDRESS
from alerts.model import AlertRow
from alerts.notices import wording, worker
from alerts.notices.contacts import by_channel
from core.settings import Settings
from sensors.registry import RegistryWatch
from tests.alerts.outgoing import World, folder, world
from tests.support.clock import FakeClock
from tests.support.regulator import Sandbox, sandbox
from tests.support.wait import eventually


@pytest.fixture
async def place(settings: Settings, clock: FakeClock) -> AsyncIterator[World]:
    async with world(settings, clock) as made:
        yield made


@pytest.fixture
async def inbox(settings: Settings, clock: FakeClock) -> AsyncIterator[Sandbox]:
    async with sandbox(folder(settings), clock=clock) as running:
        yield running


def webhook(inbox: Sandbox) -> str:
    return f"json://127.0.0.1:{inbox.port}/inbox"


def messages(inbox: Sandbox) -> list[dict[str, Any]]:
    return inbox.store.messages(after=0, limit=1000)


async def plan(place: World, alert: AlertRow, phase: wording.NoticePhase = "raised") -> None:
    async with place.connection.transaction():
        await notices.plan(place.connection, alert, phase, place.registry, place.settings, place.clock)


async def planned(place: World) -> list[tuple[str, str, str, str]]:
    names = {person.id: person.code for person in place.registry.people.values()}
    return [
        (names[row["person_id"]], row["channel"], row["state"], row["reason"])
        for row in await place.rows("notification")
    ]


async def mark(place: World, state: str) -> None:
    """Let all pending notices end in a state, as the worker would."""
    await place.connection.execute(
        "UPDATE notification SET state = %s, sent_at = %s WHERE state = 'pending'", (state, place.clock.now())
    )


@contextlib.asynccontextmanager
async def notifying(place: World) -> AsyncIterator[asyncio.Task[None]]:
    stop = asyncio.Event()
    watch = RegistryWatch(place.settings.database, application="tests", clock=place.clock)
    await watch.open()
    running = asyncio.create_task(worker.run(place.settings, watch, place.clock, stop))
    try:
        yield running
    finally:
        stop.set()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        stopped = asyncio.Event()
        stopped.set()
        await watch.run(stopped)


def settled(place: World, *states: str) -> Callable[[], Any]:
    async def probe() -> bool:
        return [row["state"] for row in await place.rows("notification")] == list(states)

    return probe


# -- planning


async def test_officers_and_supervisors_of_the_site_are_told_by_severity(place: World) -> None:
    await place.person("officer", "log://a")
    await place.person("supervisor", "log://b", role="supervisor")
    await place.person("leader", "log://c", role="leader")
    elsewhere = await place.person("elsewhere", "log://d")
    await place.connection.execute("DELETE FROM person_site WHERE person_id = %s", (elsewhere,))
    gone = await place.person("gone", "log://e")
    await place.connection.execute("UPDATE person SET enabled = false WHERE id = %s", (gone,))
    await place.reload()
    await plan(place, await place.alert(severity="warning"))
    assert await planned(place) == [
        ("officer", "log", "pending", "first_raise"),
        ("supervisor", "log", "withheld", "below_severity"),
    ]
    await plan(place, await place.alert(severity="major", subject="device:2"))
    assert [(who, reason) for who, _, _, reason in (await planned(place))[2:]] == [
        ("officer", "first_raise"),
        ("supervisor", "first_raise"),
    ]


async def test_planning_twice_tells_once(place: World) -> None:
    await place.person("officer", "log://a", "json://x/y", "json://z/y")
    alert = await place.alert()
    await plan(place, alert)
    await plan(place, alert)
    assert [(channel, state) for _, channel, state, _ in await planned(place)] == [
        ("log", "pending"),
        ("json", "pending"),
        ("json-2", "pending"),
    ]


async def test_someone_without_contact_is_on_record(place: World) -> None:
    await place.person("officer")
    await plan(place, await place.alert())
    assert await planned(place) == [("officer", "", "withheld", "no_contact")]


async def cooling(place: World, seconds: float) -> None:
    """Give the rule of the tests a cool-down."""
    await place.connection.execute(
        "INSERT INTO rule_version VALUES ('pm10-high', 1, %s, '', now())",
        (f'{{"targets": [], "cool_down_s": {seconds}}}',),
    )


@pytest.mark.parametrize(("after_s", "reason"), [(599, "cool_down"), (601, "first_raise")])
async def test_the_same_violation_is_not_told_again_within_the_cool_down(
    place: World, clock: FakeClock, after_s: float, reason: str
) -> None:
    await cooling(place, 600)
    await place.person("officer", "log://a")
    await plan(place, await place.clear(await place.alert()))
    await mark(place, "sent")
    await clock.advance(after_s)
    await plan(place, await place.alert())
    assert [row[3] for row in await planned(place)] == ["first_raise", reason]


@pytest.mark.parametrize("state", ["failed", "withheld", "pending"])
async def test_a_cool_down_counts_only_what_was_delivered(place: World, clock: FakeClock, state: str) -> None:
    await cooling(place, 600)
    await place.person("officer", "log://a")
    await plan(place, await place.clear(await place.alert()))
    await mark(place, state)
    await clock.advance(10)
    await plan(place, await place.alert())
    assert [row[3] for row in await planned(place)] == ["first_raise", "first_raise"]


async def test_a_cool_down_is_of_one_rule_and_subject(place: World, clock: FakeClock) -> None:
    await cooling(place, 600)
    await place.person("officer", "log://a")
    await plan(place, await place.alert())
    await mark(place, "sent")
    await plan(place, await place.alert(subject="device:99"))
    await place.connection.execute(
        "INSERT INTO rule_version SELECT 'tsp-high', 1, definition, '', now() FROM rule_version"
    )
    await plan(place, await place.alert(rule="tsp-high"))
    assert [row[3] for row in await planned(place)] == ["first_raise"] * 3


async def test_a_worse_violation_breaks_the_cool_down(place: World, clock: FakeClock) -> None:
    await cooling(place, 600)
    await place.person("officer", "log://a")
    for severity in ("warning", "critical", "major"):
        await plan(place, await place.clear(await place.alert(severity=severity)))
        await mark(place, "sent")
        await clock.advance(1)
    assert [row[3] for row in await planned(place)] == ["first_raise", "severity_rise", "cool_down"]


@pytest.mark.parametrize(
    ("state", "reason"),
    [("sent", "resolved"), ("pending", "resolved"), ("failed", "not_told"), ("withheld", "not_told")],
)
async def test_an_end_is_told_only_to_those_who_were_told_of_the_raise(place: World, state: str, reason: str) -> None:
    await place.person("officer", "log://a")
    alert = await place.alert()
    await plan(place, alert)
    await mark(place, state)
    await plan(place, await place.clear(alert), "cleared")
    assert (await planned(place))[1][3] == reason


async def test_an_end_is_not_told_on_a_channel_that_came_later(place: World) -> None:
    person = await place.person("officer", "log://a")
    alert = await place.alert()
    await plan(place, alert)
    await mark(place, "sent")
    await place.connection.execute("UPDATE person SET contacts = '{json://x/y}' WHERE id = %s", (person,))
    await place.reload()
    await plan(place, await place.clear(alert), "cleared")
    assert (await planned(place))[1] == ("officer", "json", "withheld", "not_told")


# -- wording


async def test_a_message_tells_value_limit_action_and_link_in_both_languages(place: World) -> None:
    alert = await place.alert()
    link, now = "http://centre:8000/a/token", place.clock.now()
    chinese = wording.compose(alert, "raised", "zh", place.registry, link, now=now)
    assert chinese.title == "【较重】东区一号工地：pm10-high"
    assert "数值：163.5 µg/m³（限值 150 µg/m³）" in chinese.body
    assert "时间：2026-08-01 15:59:59" in chinese.body
    assert "喷淋" in chinese.body
    assert chinese.body.endswith("\n查看并确认：http://centre:8000/a/token")
    english = wording.compose(alert, "raised", "en", place.registry, link, now=now)
    assert english.title == "[Major] 东区一号工地: pm10-high"
    assert "Value: 163.5 µg/m³ (limit 150 µg/m³)" in english.body
    assert "Start spraying" in english.body
    assert english.body.endswith("\nLook and acknowledge: http://centre:8000/a/token")


async def test_an_end_tells_the_worst_value_and_both_times(place: World, clock: FakeClock) -> None:
    alert = await place.alert()
    await clock.advance(600)
    message = wording.compose(
        await place.clear(alert), "cleared", "zh", place.registry, "http://c", now=place.clock.now()
    )
    assert message.title.startswith("【已恢复】")
    assert "数值：210 µg/m³" in message.body
    assert "2026-08-01 15:59:59 至 2026-08-01 16:10:00" in message.body


async def test_a_message_without_a_measure_has_no_empty_lines(place: World) -> None:
    message = wording.compose(
        await place.vision_alert(), "raised", "zh", place.registry, "http://c", now=place.clock.now()
    )
    assert "数值" not in message.body
    assert "\n\n" not in message.body
    assert "安全帽" in message.body
    assert "大门" in message.body


@pytest.mark.parametrize(
    ("kind", "chinese", "english"), [("intrusion", "劝离", "barriers"), ("post_unmanned", "到岗", "on duty")]
)
async def test_what_a_camera_saw_has_an_action_of_its_own(place: World, kind: str, chinese: str, english: str) -> None:
    alert = await place.vision_alert(kind=kind)
    for language, words in (("zh", chinese), ("en", english)):
        action = wording.required_action(alert, language)  # type: ignore[arg-type]
        assert words in action
        assert "安全帽" not in action
        assert "hat" not in action.split()


async def test_every_kind_and_severity_has_words(place: World) -> None:
    kinds, severities = ("threshold", "window", "offline", "vision"), ("info", "warning", "major", "critical")
    for number, (kind, severity) in enumerate(itertools.product(kinds, severities)):
        alert = await place.alert(
            subject=f"device:{number}", rule_kind=kind, severity=severity, metric="nosuch", limit_value=None
        )
        for phase, language in itertools.product(get_args(wording.NoticePhase), get_args(wording.Language)):
            message = wording.compose(alert, phase, language, place.registry, "http://c", now=place.clock.now())
            assert "$" not in message.title + message.body


# -- contacts and channels


def test_channels_are_named_by_scheme_alone() -> None:
    contacts = ["json://u:secret@host/x", "log://a", "json://other/y", "", "http://[bad"]
    assert list(by_channel(contacts)) == ["json", "log", "json-2", "unknown", "unknown-2"]


@contextlib.asynccontextmanager
async def means(clock: FakeClock) -> AsyncIterator[Means]:
    with ThreadPoolExecutor(2) as threads:
        async with httpx.AsyncClient(trust_env=False) as client:
            yield Means(client=client, threads=threads, clock=clock, timeout_s=20)


OUTGOING = Outgoing(message=wording.Message(title="t", text="b"), reference="1-1", alert=1, phase="raised")


@pytest.mark.parametrize(
    "contact",
    ["nosuch://x", "json://", "", "dbus://", "syslog://", "http://[bad", "feishu://", "wecombot://k?nosuch=1"],
)
async def test_contacts_that_cannot_be_used_are_told(contact: str, clock: FakeClock) -> None:
    async with means(clock) as given:
        assert await channels.send(contact, OUTGOING, given) == NOT_AN_ADDRESS


async def test_errors_show_no_secret(clock: FakeClock) -> None:
    async with means(clock) as given:
        sent = await channels.send("json://user:topsecret@127.0.0.1:1/hook/token123", OUTGOING, given)
    assert not sent.ok
    assert sent.usable
    assert "connection" in sent.error.lower()
    assert "topsecret" not in sent.error
    assert "token123" not in sent.error


async def test_a_message_for_which_no_thread_is_free_was_not_sent(clock: FakeClock) -> None:
    """Nothing called the channel: it is no message of which one cannot know whether it arrived."""
    let_go = threading.Event()
    async with means(clock) as given:
        with ThreadPoolExecutor(1) as busy:
            busy.submit(let_go.wait)
            sent = await channels.send("bark://127.0.0.1:1/key", OUTGOING, replace(given, threads=busy, timeout_s=0.05))
            let_go.set()
    assert not sent.ok
    assert not sent.lost
    assert sent.error == "all threads are busy with channels that do not answer"


# -- the worker


async def test_an_officer_is_told_at_once_by_webhook_and_log(
    place: World, inbox: Sandbox, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await place.person("officer", webhook(inbox), "log://officer")
    alert = await place.alert()
    async with notifying(place):
        await plan(place, alert)
        await eventually(settled(place, "sent", "sent"))
        await plan(place, await place.clear(alert), "cleared")
        await eventually(settled(place, "sent", "sent", "sent", "sent"))
    assert [(item["alert"], item["phase"]) for item in messages(inbox)] == [
        (alert.id, "raised"),
        (alert.id, "cleared"),
    ]
    assert messages(inbox)[0]["title"] == "【较重】东区一号工地：pm10-high"
    assert "notification: 【较重】东区一号工地：pm10-high" in caplog.messages
    (row, *_) = await place.rows("notification")
    assert (row["attempts"], row["sent_at"]) == (1, clock.now())


async def test_the_language_is_the_persons(place: World, inbox: Sandbox) -> None:
    await place.person("officer", webhook(inbox), language="en")
    async with notifying(place):
        await plan(place, await place.alert())
        await eventually(lambda: messages(inbox))
    assert messages(inbox)[0]["title"].startswith("[Major]")


async def test_a_channel_that_is_down_is_tried_again_and_the_end_waits(
    place: World, inbox: Sandbox, clock: FakeClock
) -> None:
    await place.person("officer", webhook(inbox))
    await inbox.stop()
    alert = await place.alert()
    async with notifying(place):
        await plan(place, alert)
        await plan(place, await place.clear(alert), "cleared")

        async def tried() -> Any:
            (row, _) = await place.rows("notification")
            return row["attempts"] == 1 and row

        row = await eventually(tried)
        assert row["state"] == "pending"
        assert "127.0.0.1" in row["error"]
        await inbox.start()
        await clock.advance(2)
        await eventually(settled(place, "sent", "sent"))
    assert [item["phase"] for item in messages(inbox)] == ["raised", "cleared"]


async def test_giving_up_is_on_record_and_the_end_is_not_told(place: World, inbox: Sandbox, clock: FakeClock) -> None:
    await place.person("officer", webhook(inbox))
    await inbox.stop()
    alert = await place.alert()
    await plan(place, alert)
    await plan(place, await place.clear(alert), "cleared")
    await clock.advance(timedelta(hours=25).total_seconds())
    async with notifying(place):
        await eventually(settled(place, "failed", "withheld"))
    assert [row["reason"] for row in await place.rows("notification")] == ["first_raise", "not_told"]


async def test_a_contact_that_is_gone_or_unusable_fails_at_once(place: World) -> None:
    first = await place.person("first", "log://a")
    await place.person("second", "nosuch://x")
    await plan(place, await place.alert())
    await place.connection.execute("UPDATE person SET contacts = '{}' WHERE id = %s", (first,))
    async with notifying(place):
        await eventually(settled(place, "failed", "failed"))
    assert [row["error"] for row in await place.rows("notification")] == [
        "the person no longer has this channel",
        "the contact is not an address that can be used",
    ]


async def test_a_killed_worker_leaves_its_messages_to_the_next(
    place: World, inbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang(*_: Any) -> Sent:
        await asyncio.sleep(60)
        raise AssertionError("nobody waits so long")

    await place.person("officer", webhook(inbox))
    with monkeypatch.context() as patch:
        patch.setattr(channels, "send", hang)
        async with notifying(place) as running:
            await plan(place, await place.alert())

            async def leased() -> bool:
                return any(row["leased_by"] for row in await place.rows("notification"))

            await eventually(leased)
            running.cancel()
    async with notifying(place):
        await eventually(settled(place, "sent"))
    assert len(messages(inbox)) == 1


async def test_a_database_outage_is_survived(place: World, inbox: Sandbox, clock: FakeClock) -> None:
    await place.person("officer", webhook(inbox))
    async with notifying(place):
        await place.connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        await plan(place, await place.alert())
        await outbox.ring(place.connection)

        async def sent() -> bool:
            await clock.advance(1)
            return [row["state"] for row in await place.rows("notification")] == ["sent"]

        await eventually(sent)
