"""Alerts: filters, pages, the story of one, acknowledgement and review."""

from __future__ import annotations

from tests.api.conftest import LogIn
from tests.api.world import World

URL = "/api/v1/alerts"


async def test_an_alert_names_its_rule_site_and_subject(log_in: LogIn, world: World) -> None:
    client = await log_in("officer")
    await world.connection.execute(
        "INSERT INTO rule_version VALUES ('rule-a', 1, %s, 'x', now())",
        ['{"name": "PM10 超限", "name_en": "PM10 over the limit", "targets": []}'],
    )
    number = await world.alert("a", device="dust-north")
    (alert,) = (await client.get(URL)).json()["items"]
    assert alert["id"] == number
    assert alert["rule_name"] == {"zh": "PM10 超限", "en": "PM10 over the limit"}
    assert alert["site_name"] == "工地 north"
    assert alert["subject"] == {
        "type": "device",
        "id": world.ids["dust-north"],
        "code": "dust-north",
        "name": "设备 dust-north",
        "name_en": "Device dust-north",
    }
    assert alert["raised_at"] == int((world.now.timestamp() - 10) * 1000)
    assert (alert["first_value"], alert["limit_value"]) == (170.5, 150)
    assert alert["deliveries_summary"] == {"accepted": 0, "pending": 0, "failed": 0}


async def test_filters(log_in: LogIn, world: World) -> None:
    client = await log_in("operator")
    await world.alert("old", device="dust-north", ago_s=100, cleared_at=world.now, cleared_by="auto")
    await world.alert("open", device="dust-north", severity="warning")
    await world.alert("seen", camera="cam-south", ago_s=5)

    async def rules(**query: object) -> list[str]:
        answer = await client.get(URL, params=query)  # type: ignore[arg-type]
        assert answer.status_code == 200, answer.text
        return [alert["rule"] for alert in answer.json()["items"]]

    assert await rules() == ["rule-seen", "rule-open", "rule-old"]
    assert await rules(state="open") == ["rule-seen", "rule-open"]
    assert await rules(site_id=world.ids["south"]) == ["rule-seen"]
    assert await rules(severity="warning") == ["rule-open"]
    assert await rules(severity=["warning", "major"], state="all") == ["rule-seen", "rule-open", "rule-old"]


async def test_pages_follow_each_other_without_gap_or_repeat(log_in: LogIn, world: World) -> None:
    client = await log_in("operator")
    # Five of them in the very same microsecond.
    expected = [await world.alert(str(n), device="dust-north", ago_s=60 if n < 5 else 100 - n) for n in range(11)]
    found: list[int] = []
    query: dict[str, str | int] = {"limit": 3}
    while True:
        page = (await client.get(URL, params=query)).json()
        found += [alert["id"] for alert in page["items"]]
        if page["next"] is None:
            break
        query["cursor"] = page["next"]
    assert len(found) == 11
    assert set(found) == set(expected)


async def test_a_cursor_of_somebody_else_is_refused(log_in: LogIn, world: World) -> None:
    client = await log_in("operator")
    for cursor in ("x", "5", "LTEuLTE", "MTIuMTIuMTI", "中"):
        answer = await client.get(URL, params={"cursor": cursor})
        assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid_input"), cursor


async def test_one_alert_comes_with_its_story(log_in: LogIn, world: World) -> None:
    client = await log_in("officer")
    number = await world.alert("a", device="dust-north")
    at = world.now
    await world.connection.execute(
        "INSERT INTO alert_event (alert_id, at, kind, actor) VALUES (%s, %s, 'raised', 'engine')", [number, at]
    )
    await world.connection.execute(
        "INSERT INTO delivery (alert_id, target, phase, idempotency_key, state, reason, payload, next_attempt_at, "
        "created_at, pending_since, receipt, accepted_at) "
        "VALUES (%(id)s, 'bureau', 'raise', 'k', 'accepted', 'sent', '{}', %(at)s, %(at)s, %(at)s, 'R-1', %(at)s)",
        {"id": number, "at": at},
    )
    await world.connection.execute(
        "INSERT INTO notification (alert_id, phase, person_id, channel, state, reason, next_attempt_at, created_at)"
        " VALUES (%s, 'raised', %s, 'json', 'withheld', 'cool_down', %s, %s)",
        [number, world.ids["officer"], at, at],
    )
    alert = (await client.get(f"{URL}/{number}")).json()
    assert alert["deliveries_summary"] == {"accepted": 1, "pending": 0, "failed": 0}
    assert [(event["kind"], event["actor"]) for event in alert["events"]] == [("raised", "engine")]
    assert alert["deliveries"][0]["receipt"] == "R-1"
    assert alert["notifications"][0] | {"id": 0} == {
        "id": 0,
        "person": "code-officer",
        "person_name": "人员 officer",
        "person_name_en": "officer",
        "channel": "json",
        "phase": "raised",
        "state": "withheld",
        "reason": "cool_down",
        "error": "",
        "attempts": 0,
        "created_at": int(at.timestamp() * 1000),
        "sent_at": None,
    }


async def test_acknowledging_twice_is_the_same_as_once(log_in: LogIn, world: World) -> None:
    client = await log_in("officer")
    number = await world.alert("a", device="dust-north")
    first = await client.post(f"{URL}/{number}/acknowledge", json={"comment": "洒水车已到位"})
    assert first.status_code == 200, first.text
    assert first.json()["acknowledged_by"] == "code-officer"
    second = await client.post(f"{URL}/{number}/acknowledge", json={"comment": "洒水车已到位"})
    assert (second.status_code, second.json()) == (200, first.json())
    third = await client.post(f"{URL}/{number}/acknowledge")  # without a body
    assert (third.status_code, third.json()) == (200, first.json())


async def test_a_review_is_decided_once(log_in: LogIn, world: World) -> None:
    client = await log_in("supervisor")
    number = await world.alert("a", camera="cam-north")
    first = await client.post(f"{URL}/{number}/review", json={"verdict": "false_alarm", "reason": "是安全员的红帽"})
    assert first.status_code == 200, first.text
    assert first.json()["verdict"] == "false_alarm"
    again = await client.post(f"{URL}/{number}/review", json={"verdict": "false_alarm"})
    assert again.status_code == 200
    other = await client.post(f"{URL}/{number}/review", json={"verdict": "confirmed"})
    assert other.status_code == 409
    assert other.json()["error"]["code"] == "conflict"


async def test_rights(log_in: LogIn, world: World) -> None:
    number = await world.alert("a", camera="cam-north")
    for login, action, body in [
        ("auditor", "acknowledge", {}),
        ("auditor", "review", {"verdict": "confirmed"}),
        ("officer", "review", {"verdict": "confirmed"}),
    ]:
        answer = await (await log_in(login)).post(f"{URL}/{number}/{action}", json=body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")


async def test_actions_are_audited(log_in: LogIn, world: World) -> None:
    client = await log_in("supervisor")
    number = await world.alert("a", camera="cam-north")
    await client.post(f"{URL}/{number}/acknowledge", json={"comment": "看到了"})
    await client.post(f"{URL}/{number}/review", json={"verdict": "confirmed"})
    rows = await (
        await world.connection.execute(
            "SELECT action, object, detail FROM audit WHERE object LIKE 'alert:%' ORDER BY id"
        )
    ).fetchall()
    assert rows == [
        ("alert.acknowledge", f"alert:{number}", {"comment": "看到了"}),
        ("alert.review", f"alert:{number}", {"verdict": "confirmed", "reason": ""}),
    ]
