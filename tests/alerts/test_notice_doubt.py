"""Messages whose channel gives no answer: a person may have them, and is not told twice for slight things."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from alerts import notices
from alerts.model import AlertRow
from core.settings import NotifySettings, Settings, SmsSettings
from tests.alerts.outgoing import World, world
from tests.alerts.providers import GATEWAY_OPTIONS, DingTalk, Feishu, Gateway, Provider, WeCom
from tests.alerts.script import script
from tests.support.clock import FakeClock
from tests.support.stubs import served

HANGS_S = 1.0
"""Seconds after which a channel that is to hang is given up; those that answer have as long as a busy machine takes."""


@pytest.fixture
async def place(settings: Settings, clock: FakeClock) -> AsyncIterator[World]:
    async with world(settings, clock) as made:
        yield made


def with_notify(place: World, **changes: Any) -> None:
    notify = NotifySettings.model_validate({"escalation": [], **changes})
    alerts = place.settings.alerts.model_copy(update={"notify": notify})
    place.settings = place.settings.model_copy(update={"alerts": alerts})


async def tell(place: World, alert: AlertRow, phase: Any = "raised") -> None:
    async with place.connection.transaction():
        await notices.plan(place.connection, alert, phase, place.registry, place.settings, place.clock)


@contextlib.asynccontextmanager
async def provider(kind: type[Provider], clock: FakeClock) -> AsyncIterator[tuple[Any, str]]:
    made = kind(clock)
    async with served(made.app) as base:
        try:
            yield made, base
        finally:
            made.let_go.set()


def contact_of(made: Any, base: str) -> str:
    return "sms://+8613800000000" if isinstance(made, Gateway) else made.contact(base)


@pytest.mark.parametrize("kind", [Feishu, WeCom, DingTalk, Gateway])
@pytest.mark.parametrize("fault", ["hang", 502, 504])
async def test_a_slight_message_without_answer_is_not_repeated(
    place: World, clock: FakeClock, kind: type[Provider], fault: str | int
) -> None:
    async with provider(kind, clock) as (made, base):
        sms = SmsSettings(url=base, client_id="key-1", secret="s3cret", options=GATEWAY_OPTIONS)  # type: ignore[arg-type]
        with_notify(place, sms=sms, **({"timeout_s": HANGS_S} if fault == "hang" else {}))
        await place.person("wang", contact_of(made, base))
        made.answers.append(fault)
        alert = await place.alert(severity="major")
        await tell(place, alert)
        async with script(place, clock) as story:
            await story.run(until=60)
        with_notify(place, sms=sms)
        async with script(place, clock) as story:
            # The end is told: the person may know of the raise.
            await tell(place, await place.clear(alert), "cleared")
            await story.run(until=340)
        raised, cleared = await place.rows("notification")
    assert (raised["state"], raised["reason"], raised["attempts"]) == ("uncertain", "first_raise", 1)
    assert raised["error"] == (
        f"no reply: nothing within {HANGS_S:g} s" if fault == "hang" else f"status {fault}: not now"
    )
    assert (cleared["state"], cleared["reason"]) == ("sent", "resolved")
    assert len(made.taken) == 1


async def test_a_red_message_without_answer_comes_again_and_says_so(place: World, clock: FakeClock) -> None:
    async with provider(Feishu, clock) as (feishu, base):
        with_notify(place, timeout_s=HANGS_S)
        await place.person("wang", feishu.contact(base))
        await place.person("li", feishu.contact(base), language="en")
        feishu.answers.extend(["hang", "hang"])
        await tell(place, await place.alert(severity="critical"))
        async with script(place, clock) as story:
            await story.settle()
        with_notify(place)
        async with script(place, clock) as story:
            await story.run(until=30)
        rows = await place.rows("notification")
    assert [row["state"] for row in rows] == ["sent", "sent"]
    texts = [body["card"]["elements"][0]["text"]["content"] for _, body in feishu.taken]
    assert sorted(text.splitlines()[-1] for text in texts) == [
        "(The channel did not answer last time: this may be a repetition)",
        "（通道上次未回执，本条可能重复）",
    ]


async def test_from_which_severity_it_comes_again_is_a_setting(place: World, clock: FakeClock) -> None:
    async with provider(Feishu, clock) as (feishu, base):
        with_notify(place, resend_from="info", timeout_s=HANGS_S)
        await place.person("wang", feishu.contact(base))
        feishu.answers.append("hang")
        await tell(place, await place.alert(severity="major"))
        async with script(place, clock) as story:
            await story.settle()
        with_notify(place, resend_from="info")
        async with script(place, clock) as story:
            await story.run(until=30)
        (row,) = await place.rows("notification")
    assert (row["state"], row["attempts"], row["in_doubt"]) == ("sent", 2, True)


async def test_what_was_refused_or_not_reached_comes_again_without_a_word(place: World, clock: FakeClock) -> None:
    async with provider(Feishu, clock) as (feishu, base):
        with_notify(place)
        await place.person("wang", feishu.contact(base))
        feishu.answers.extend([500, {"code": 9499, "msg": "too many requests"}])
        await tell(place, await place.alert(severity="major"))
        async with script(place, clock) as story:
            await story.run(until=60)
        (row,) = await place.rows("notification")
    assert (row["state"], row["attempts"], row["in_doubt"]) == ("sent", 3, False)
    assert "重复" not in feishu.taken[0][1]["card"]["elements"][0]["text"]["content"]


async def test_a_webhook_is_asked_again_for_it_knows_the_message(place: World, clock: FakeClock) -> None:
    """Its header says which message it is; apprise itself gives up on the answer before we do."""
    async with provider(Feishu, clock) as (hook, base):
        keys: list[str | None] = []

        async def inbox(request: Any) -> Any:
            keys.append(request.headers.get("x-smartsite-message"))
            return await hook.answer(await request.json(), {})

        hook.app.router.add_route("/inbox", inbox, methods=["POST"])
        hook.answers.append("hang")
        with_notify(place, timeout_s=2 * HANGS_S)  # apprise takes half of it for the answer
        await place.person("wang", base.replace("http://", "json://") + "/inbox")
        await tell(place, await place.alert(severity="major"))
        async with script(place, clock) as story:
            await story.settle()
        with_notify(place)
        async with script(place, clock) as story:
            await story.run(until=30)
        (row,) = await place.rows("notification")
    assert (row["state"], row["attempts"]) == ("sent", 2)
    assert keys == [f"{row['id']}-1"] * 2


async def test_what_apprise_sends_is_not_repeated_either(place: World, clock: FakeClock) -> None:
    """Its channels know no keys, and do not say that they gave up on the answer: our own time-out comes first."""
    async with provider(Feishu, clock) as (bark, base):
        calls: list[str] = []

        async def push(request: Any) -> Any:
            calls.append(request.url.path)
            return await bark.answer(await request.json(), {})

        bark.app.router.add_route("/push", push, methods=["POST"])
        bark.answers.append("hang")
        with_notify(place, timeout_s=2 * HANGS_S)  # apprise takes half of it to connect
        await place.person("wang", base.replace("http://", "bark://") + "/key")
        await tell(place, await place.alert(severity="major"))
        async with script(place, clock) as story:
            await story.run(until=60)
        (row,) = await place.rows("notification")
    assert (row["state"], row["error"]) == ("uncertain", f"no answer from the channel within {2 * HANGS_S:g} s")
    assert calls == ["/push"]


async def test_what_is_uncertain_does_not_count_for_the_cool_down(place: World, clock: FakeClock) -> None:
    await place.connection.execute(
        "INSERT INTO rule_version VALUES ('pm10-high', 1, %s, '', now())", ('{"targets": [], "cool_down_s": 600}',)
    )
    async with provider(Feishu, clock) as (feishu, base):
        with_notify(place, timeout_s=HANGS_S)
        await place.person("wang", feishu.contact(base))
        feishu.answers.append("hang")
        first = await place.alert()
        await tell(place, first)
        async with script(place, clock) as story:
            await story.run(until=30)
        with_notify(place)
        async with script(place, clock) as story:
            await place.clear(first)
            await tell(place, await place.alert())
            await story.run(until=30)
        rows = await place.rows("notification")
    assert [(row["state"], row["reason"]) for row in rows] == [("uncertain", "first_raise"), ("sent", "first_raise")]
