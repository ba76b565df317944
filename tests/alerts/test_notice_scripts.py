"""Timed scripts: who is told of what, when, on which channel; against robots that behave as the vendors' do."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from alerts import desk, notices
from alerts.model import AlertRow
from alerts.notices import duty, links
from core.settings import NotifySettings, Settings, SmsSettings
from tests.alerts.outgoing import World, world
from tests.alerts.providers import GATEWAY_OPTIONS, DingTalk, Feishu, Gateway, Provider, WeCom
from tests.alerts.script import script
from tests.support.clock import FakeClock
from tests.support.stubs import served


@pytest.fixture
async def place(settings: Settings, clock: FakeClock) -> AsyncIterator[World]:
    async with world(settings, clock) as made:
        yield made


def with_notify(place: World, **changes: Any) -> None:
    alerts = place.settings.alerts.model_copy(update={"notify": NotifySettings.model_validate(changes)})
    place.settings = place.settings.model_copy(update={"alerts": alerts})


async def tell(place: World, alert: AlertRow, phase: Any = "raised") -> AlertRow:
    async with place.connection.transaction():
        await notices.plan(place.connection, alert, phase, place.registry, place.settings, place.clock)
    return alert


async def reasons(place: World) -> list[tuple[str, str, str]]:
    names = {person.id: person.code for person in place.registry.people.values()}
    return [(names[row["person_id"]], row["phase"], row["reason"]) for row in await place.rows("notification")]


@contextlib.asynccontextmanager
async def robot(kind: type[Provider], clock: FakeClock) -> AsyncIterator[tuple[Any, str]]:
    provider = kind(clock)
    async with served(provider.app) as base:
        try:
            yield provider, base
        finally:
            provider.let_go.set()


async def test_a_signed_card_reaches_feishu_at_once(place: World, clock: FakeClock) -> None:
    async with robot(Feishu, clock) as (feishu, base):
        await place.person("wang", feishu.contact(base))
        async with script(place, clock) as story:
            story.at(1, lambda: raised(place))
            await story.run(until=3)
            story.want(feishu, (1, 1.5))
    (_, body) = feishu.taken[0]
    card = body["card"]
    assert card["header"] == {
        "title": {"tag": "plain_text", "content": "【较重】东区一号工地：pm10-high"},
        "template": "orange",
    }
    text, action = card["elements"]
    assert "数值：163.5 µg/m³（限值 150 µg/m³）" in text["text"]["content"]
    assert action["actions"][0]["url"].startswith("http://127.0.0.1:8000/a/")


async def raised(place: World, **changes: Any) -> AlertRow:
    return await tell(place, await place.alert(**changes))


async def test_a_wrong_signature_is_told_tried_again_and_shows_no_secret(place: World, clock: FakeClock) -> None:
    async with robot(Feishu, clock) as (feishu, base):
        await place.person("wang", feishu.contact(base, "AnotherSecret"))
        async with script(place, clock) as story:
            story.at(0, lambda: raised(place))
            await story.run(until=5)
        (row,) = await place.rows("notification")
    assert row["state"] == "pending"
    assert row["attempts"] >= 2
    assert row["error"].startswith("code 19021: sign match fail")
    assert not feishu.taken


async def test_wecom_gets_markdown_and_the_picture_where_it_is_asked_for(place: World, clock: FakeClock) -> None:
    async with robot(WeCom, clock) as (wecom, base):
        await place.person("wang", wecom.contact(base, "&picture=yes"))

        async def seen() -> None:
            await tell(place, await place.vision_alert(picture=b"\xff\xd8\xff a frame"))

        async with script(place, clock) as story:
            story.at(1, seen)
            await story.run(until=2)
    assert [body["msgtype"] for _, body in wecom.taken] == ["markdown", "image"]
    assert wecom.pictures == [b"\xff\xd8\xff a frame"]
    content = wecom.taken[0][1]["markdown"]["content"]
    assert content.startswith('<font color="warning">**【较重】东区一号工地：no-helmet**</font>\n>工地：东区一号工地')
    assert "[查看并确认](http://127.0.0.1:8000/a/" in content


async def test_no_picture_unless_it_is_asked_for(place: World, clock: FakeClock) -> None:
    async with robot(WeCom, clock) as (wecom, base):
        await place.person("wang", wecom.contact(base))
        async with script(place, clock) as story:
            await tell(place, await place.vision_alert())
            await story.run(until=1)
    assert [body["msgtype"] for _, body in wecom.taken] == ["markdown"]


async def test_dingtalk_refusals_in_a_good_status_are_seen(place: World, clock: FakeClock) -> None:
    async with robot(DingTalk, clock) as (dingtalk, base):
        dingtalk.answers.append({"errcode": 310000, "errmsg": "keywords not in content"})
        await place.person("wang", dingtalk.contact(base))
        async with script(place, clock) as story:
            story.at(0, lambda: raised(place))
            await story.run(until=0.5)
            (row,) = await place.rows("notification")
            assert row["error"] == "errcode 310000: keywords not in content"
            await story.run(until=3)
            story.want(dingtalk, (1, 2))
    assert dingtalk.taken[0][1]["markdown"]["title"].startswith("【较重】")


async def test_text_messages_go_to_the_persons_phone_through_the_gateway(place: World, clock: FakeClock) -> None:
    async with robot(Gateway, clock) as (gateway, base):
        sms = SmsSettings(url=base, client_id="key-1", secret="s3cret", options=GATEWAY_OPTIONS)  # type: ignore[arg-type]
        with_notify(place, sms=sms, channels={"sms": "major"})
        person = await place.person("wang", "sms://")
        await place.connection.execute("UPDATE person SET phone = '138 0000-0000' WHERE id = %s", [person])
        await place.reload()
        gateway.answers.append({"Code": "LIMIT", "Message": "flow control"})
        async with script(place, clock) as story:
            story.at(1, lambda: raised(place, severity="warning", subject="device:9"))
            story.at(2, lambda: raised(place))
            await story.run(until=35)
            story.want(gateway, (32, 32.5))
        rows = await place.rows("notification")
    (_, form) = gateway.taken[0]
    assert (form["PhoneNumbers"], form["AccessKeyId"], form["OutId"]) == ("13800000000", "key-1", f"{rows[1]['id']}-1")
    assert form["TemplateParam"]["value"] == "163.5 µg/m³"
    assert [(row["state"], row["reason"]) for row in rows] == [("withheld", "below_channel"), ("sent", "first_raise")]


# -- limits, order, digests


async def test_twenty_a_minute_and_no_more_red_ones_first(place: World, clock: FakeClock) -> None:
    async with robot(WeCom, clock) as (wecom, base):
        await place.person("wang", wecom.contact(base))

        async def flood() -> None:
            for number in range(40):
                await raised(place, severity="warning", subject=f"device:{100 + number}")

        async with script(place, clock) as story:
            story.at(0, flood)
            story.at(10, lambda: raised(place, severity="critical", subject="device:7"))
            await story.run(until=70)
        rows = await place.rows("notification")
    assert {row["state"] for row in rows} == {"sent"}
    titles = [(moment, body["markdown"]["content"].partition("\n")[0]) for moment, body in wecom.taken]
    # Fifteen of twenty are for what is not red; the last of them carries all that waits.
    assert [moment for moment, _ in titles] == [0] * 15 + [10]
    assert "【汇总】26 条告警" in titles[14][1]
    assert "【严重】" in titles[15][1]
    assert len(wecom.calls) == 16


async def test_a_robot_that_says_too_often_is_left_alone_for_a_minute(place: World, clock: FakeClock) -> None:
    async with robot(WeCom, clock) as (wecom, base):
        # Somebody else uses the robot as well.
        wecom.answers.append({"errcode": 45009, "errmsg": "api freq out of limit"})
        await place.person("wang", wecom.contact(base))
        async with script(place, clock) as story:
            story.at(1, lambda: raised(place))
            story.at(5, lambda: raised(place, subject="device:8", severity="critical"))
            await story.run(until=65)
            story.want(wecom, (61, 61.5), (61, 61.5))
        assert "【严重】" in wecom.taken[0][1]["markdown"]["content"]
        assert [row["attempts"] for row in await place.rows("notification")] == [2, 1]


async def test_retry_after_and_failures_of_the_provider_are_waited_out(place: World, clock: FakeClock) -> None:
    async with robot(Feishu, clock) as (feishu, base):
        feishu.answers.extend([429, 503, {"code": 9499, "msg": "too many request"}])
        await place.person("wang", feishu.contact(base))
        async with script(place, clock) as story:
            story.at(0, lambda: raised(place))
            await story.run(until=60)
            # 30 s by Retry-After, 2 to 4 s of our own, 10 s by the vendor's code.
            story.want(feishu, (42, 46))


async def test_one_address_that_hangs_holds_up_no_other(place: World, clock: FakeClock) -> None:
    # Long enough for the one that answers on a busy machine.
    with_notify(place, timeout_s=2, in_flight=4, resend_from="info")
    async with robot(Feishu, clock) as (bad, bad_base), robot(WeCom, clock) as (good, good_base):
        bad.answers.extend(["hang"] * 4)
        await place.person("li", bad.contact(bad_base))
        await place.person("wang", good.contact(good_base))
        async with script(place, clock) as story:

            async def several() -> None:
                for number in range(6):
                    await raised(place, subject=f"device:{number}")

            story.at(1, several)
            await story.run(until=1)
            story.want(good, *[(1, 1)] * 6)
            assert not bad.taken
        bad.let_go.set()
        with_notify(place, in_flight=4, resend_from="info")
        async with script(place, clock) as story:
            await story.run(until=20)
        assert {row["state"] for row in await place.rows("notification")} == {"sent"}
        assert len(bad.taken) == 6


async def test_slight_violations_are_told_in_digests(place: World, clock: FakeClock) -> None:
    with_notify(place, digest_below="warning", digest_minutes=1)
    async with robot(Feishu, clock) as (feishu, base):
        await place.person("wang", feishu.contact(base))

        async def over() -> None:
            await tell(place, await place.clear(first[0]), "cleared")

        first: list[AlertRow] = []

        async def begins() -> None:
            first.append(await raised(place, severity="info"))

        async with script(place, clock) as story:
            story.at(5, begins)
            story.at(10, lambda: raised(place, severity="info", subject="device:8"))
            story.at(20, lambda: raised(place, severity="major", subject="device:9"))
            story.at(30, over)
            await story.run(until=65)
            story.want(feishu, (20, 20.5), (60, 60.5))
        card = feishu.taken[1][1]["card"]
        assert card["header"]["title"]["content"] == "【汇总】2 条告警"
        text = card["elements"][0]["text"]["content"]
        assert text.count("\n") == 1
        assert "（已恢复）" in text
        rows = await place.rows("notification")
        assert {row["message"] for row in rows if row["digest"]} == {f"{rows[0]['id']}-3"}


async def test_a_queued_message_is_withheld_when_its_like_was_delivered_meanwhile(
    place: World, clock: FakeClock
) -> None:
    await place.connection.execute(
        "INSERT INTO rule_version VALUES ('pm10-high', 1, %s, '', now())", ('{"targets": [], "cool_down_s": 600}',)
    )
    async with robot(Feishu, clock) as (feishu, base):
        feishu.answers.append(503)
        await place.person("wang", feishu.contact(base))

        async def flaps() -> None:
            for _ in range(3):
                alert = await raised(place)
                await tell(place, await place.clear(alert), "cleared")
                await clock.advance(0.1)

        async with script(place, clock) as story:
            story.at(1, flaps)
            await story.run(until=30)
        # One raise and its end; nobody is told three times of one thing.
        assert len(feishu.taken) == 2
        assert [reason for _, _, reason in await reasons(place)] == [
            "first_raise", "resolved", "cool_down", "not_told", "cool_down", "not_told",
        ]  # fmt: skip


# -- escalation


async def test_escalation_goes_step_by_step_until_somebody_acknowledges(place: World, clock: FakeClock) -> None:
    steps = [
        {"after_minutes": 1, "roles": ["supervisor"], "severity": "major"},
        {"after_minutes": 2, "roles": ["inspector"], "severity": "major"},
        {"after_minutes": 3, "roles": ["leader"], "severity": "major"},
    ]
    with_notify(place, escalation=steps, roles={"officer": "info"})
    async with robot(Feishu, clock) as (feishu, base):
        for code, role in (("wang", "officer"), ("li", "supervisor"), ("zhao", "inspector"), ("chen", "leader")):
            await place.person(code, f"{feishu.contact(base)}", role=role)
        alert: list[AlertRow] = []

        async def begins() -> None:
            alert.append(await raised(place))

        async def acknowledged() -> None:
            async with place.connection.transaction():
                await desk.acknowledge(place.connection, alert[0].id, "zhao", clock)

        async with script(place, clock) as story:
            story.at(1, begins)
            story.at(150, acknowledged)
            await story.run(until=200)
            story.want(feishu, (1, 1.5), (61, 61.5), (121, 121.5))
        assert "已 1 分钟无人确认" in feishu.taken[1][1]["card"]["elements"][0]["text"]["content"]
        assert await reasons(place) == [
            ("wang", "raised", "first_raise"),
            ("li", "escalated", "escalated"),
            ("zhao", "escalated", "escalated"),
        ]
        steps_left = await (await place.connection.execute("SELECT step, state, reason FROM escalation")).fetchall()
        assert sorted(steps_left) == [(1, "told", ""), (2, "told", ""), (3, "cancelled", "acknowledged")]
        await tell(place, await place.clear(alert[0]), "cleared")
        assert {(who, why) for who, phase, why in await reasons(place) if phase == "cleared"} == {
            ("wang", "resolved"),
            ("li", "resolved"),
            ("zhao", "resolved"),
        }


@pytest.mark.parametrize("ended", ["acknowledged", "over"])
async def test_an_escalation_that_waits_to_be_sent_is_overtaken(place: World, clock: FakeClock, ended: str) -> None:
    with_notify(place, escalation=[{"after_minutes": 1, "roles": ["supervisor"]}], roles={"officer": "info"})
    async with robot(Feishu, clock) as (feishu, base):
        await place.person("li", feishu.contact(base), role="supervisor")
        feishu.answers.append(429)
        alert: list[AlertRow] = []

        async def begins() -> None:
            alert.append(await raised(place))

        async def ends() -> None:
            if ended == "over":
                await tell(place, await place.clear(alert[0]), "cleared")
            else:
                await place.change(alert[0], acknowledged_at=clock.now(), acknowledged_by="wang")

        async with script(place, clock) as story:
            story.at(0, begins)
            story.at(70, ends)
            await story.run(until=100)
        assert not feishu.taken
        assert (await reasons(place))[0] == ("li", "escalated", ended)
        assert {row["state"] for row in await place.rows("notification")} == {"withheld"}


async def test_what_is_hushed_does_not_escalate_until_it_is_told(place: World, clock: FakeClock) -> None:
    with_notify(place, escalation=[{"after_minutes": 1, "roles": ["supervisor"]}], roles={"officer": "info"})
    async with robot(Feishu, clock) as (feishu, base):
        await place.person("wang", feishu.contact(base))
        await place.person("li", feishu.contact(base), role="supervisor")

        async def muted() -> None:
            await raised(place)
            await place.connection.execute("UPDATE notification SET state = 'withheld', reason = 'muted'")

        async def unmuted() -> None:
            await place.connection.execute(
                "UPDATE notification SET state = 'pending', reason = 'first_raise', next_attempt_at = %s", [clock.now()]
            )

        async with script(place, clock) as story:
            story.at(0, muted)
            story.at(100, unmuted)
            await story.run(until=130)
            story.want(feishu, (100, 100.5), (120, 120.5))
    assert await reasons(place) == [("wang", "raised", "first_raise"), ("li", "escalated", "escalated")]


# -- duty


async def test_only_those_on_duty_are_told_and_everybody_where_nobody_is(place: World, clock: FakeClock) -> None:
    async with robot(Feishu, clock) as (feishu, base):
        for code in ("day", "night", "relief"):
            await place.person(code, feishu.contact(base))
        rota = duty.Rota.model_validate(
            {
                "shifts": [
                    {"person": "day", "weekdays": [1, 2, 3, 4, 5, 6, 7], "starts": "06:00", "ends": "18:00"},
                    {"person": "night", "weekdays": [1, 2, 3, 4, 5, 6, 7], "starts": "18:00", "ends": "06:00"},
                ],
                # The clock stands at Saturday 1 August 2026, 16:00 in Shanghai.
                "changes": [
                    {"day": "2026-08-01", "person": "night", "substitute": "relief"},
                    {"day": "2026-08-02", "person": "day"},
                ],
            }
        )
        await duty.save(place.connection, place.site_id, rota, version=0, by="x", at=clock.now())
        async with script(place, clock) as story:
            story.at(0, lambda: raised(place, subject="device:1"))
            await story.run(until=1)
            await clock.advance(timedelta(hours=10).total_seconds())  # 02:00, the relief's night
            await raised(place, subject="device:2")
            await story.run(until=story.second)
            await clock.advance(timedelta(hours=8).total_seconds())  # Sunday 10:00, day is away
            await raised(place, subject="device:3")
            await story.run(until=story.second)
    assert await reasons(place) == [
        ("day", "raised", "first_raise"),
        ("night", "raised", "off_duty"),
        ("relief", "raised", "off_duty"),
        ("day", "raised", "off_duty"),
        ("night", "raised", "off_duty"),
        ("relief", "raised", "first_raise"),
        ("day", "raised", "nobody_on_duty"),
        ("night", "raised", "nobody_on_duty"),
        ("relief", "raised", "nobody_on_duty"),
    ]
    assert len(feishu.taken) == 5


async def test_roles_and_severities_are_those_of_the_site(place: World, clock: FakeClock) -> None:
    with_notify(place, roles={"officer": "warning"}, sites={"east": {"leader": "critical", "officer": "major"}})
    await place.person("wang", "log://a")
    await place.person("chen", "log://b", role="leader")
    await raised(place, severity="warning")
    await raised(place, severity="critical", subject="device:2")
    assert await reasons(place) == [
        ("chen", "raised", "below_severity"),
        ("wang", "raised", "below_severity"),
        ("chen", "raised", "first_raise"),
        ("wang", "raised", "first_raise"),
    ]


async def test_the_link_of_a_message_is_for_its_person_and_alert_alone(place: World, clock: FakeClock) -> None:
    async with robot(Feishu, clock) as (feishu, base):
        person = await place.person("wang", feishu.contact(base))
        async with script(place, clock) as story:
            alert = await raised(place)
            await story.run(until=1)
    url = feishu.taken[0][1]["card"]["elements"][1]["actions"][0]["url"]
    key = await links.signing_key(place.connection, now=clock.now())
    claim = links.read(key, url.rpartition("/")[2], now=clock.now())
    assert (claim.alert_id, claim.person_id) == (alert.id, person)
    with pytest.raises(links.BadLink):
        links.read(key, url.rpartition("/")[2], now=clock.now() + timedelta(hours=48))
