"""The two worked examples of docs/examples, delivered by the worker to stand-ins for their regulators."""

from __future__ import annotations

import base64
import hashlib
import json
import tomllib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from core.settings import Settings, TargetSettings
from tests.alerts.outgoing import World, delivering, with_targets, world
from tests.support.clock import FakeClock
from tests.support.stubs import SignedRegulator, TokenRegulator, served
from tests.support.wait import eventually

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


def example(name: str, url: str, **changes: Any) -> TargetSettings:
    """The target of an example with the stand-in's address and credentials."""
    (target,) = tomllib.loads((EXAMPLES / name).read_text(encoding="utf-8"))["alerts"]["targets"]
    return TargetSettings.model_validate(
        {**target, "url": url, "client_id": "c-1", "secret": "s/3 cret", "timeout_s": 20, **changes}
    )


@pytest.fixture
async def city() -> AsyncIterator[tuple[TokenRegulator, str]]:
    regulator = TokenRegulator()
    async with served(regulator.app) as url:
        yield regulator, url


@pytest.fixture
async def province(clock: FakeClock) -> AsyncIterator[tuple[SignedRegulator, str]]:
    # 2026-08-01 08:00 UTC.
    regulator = SignedRegulator(now="20260801160000")
    async with served(regulator.app) as url:
        yield regulator, url


async def settled(place: World, *states: str) -> list[dict[str, Any]]:
    async def done() -> bool:
        return await place.states() == list(states)

    await eventually(done)
    return await place.rows("delivery")


async def test_an_interval_with_its_maximum_behind_a_bearer_token(
    settings: Settings, clock: FakeClock, city: tuple[TokenRegulator, str]
) -> None:
    regulator, url = city
    async with world(with_targets(settings, example("regulator-oauth2.toml", url)), clock) as place:
        alert = await place.alert()
        await clock.advance(90)
        async with delivering(place.settings, clock):
            await place.enqueue(alert)
            await place.enqueue(await place.clear(alert), "end")
            await settled(place, "accepted")
        (attempt,) = await place.rows("delivery_attempt")
    ((service, record),) = regulator.taken
    assert service == "EnvironmentDataService/PushWarnInfo"
    assert record == {
        "UnifiedProjectCode": "5101072608010101",
        "DataTimeStamp": 1785571290000,
        "DeviceFactory": "F",
        "DeviceSN": "B-7",
        "StartDate": "2026-08-01",
        "StartTime": "15:59:59",
        "EndDate": "2026-08-01",
        "EndTime": "16:01:30",
        "AlarmType": 2,
        "MaxValue": 210.0,
        "OtherField": "pm10-high > 150 µg/m³",
    }
    kept = json.dumps(attempt["request"]) + attempt["response"]
    assert "token-1" not in kept
    assert "cret" not in kept
    assert "5101072608010101" in kept


async def test_a_helmet_warning_with_its_picture(
    settings: Settings, clock: FakeClock, city: tuple[TokenRegulator, str]
) -> None:
    regulator, url = city
    picture = b"\xff\xd8\xff somebody" * 50
    async with world(with_targets(settings, example("regulator-oauth2.toml", url)), clock) as place:
        await place.connection.execute("UPDATE site SET vision_policy = 'auto'")
        await place.reload()
        alert = await place.vision_alert(picture=picture)
        async with delivering(place.settings, clock):
            await place.enqueue(await place.clear(alert), "end")
            await settled(place, "accepted")
        (attempt,) = await place.rows("delivery_attempt")
    ((service, record),) = regulator.taken
    assert service == "SafetyHelmetData/PushSafetyHelmetWarningInfo"
    assert record["alarmType"] == 2
    (photo,) = record["generalInfo"]
    assert base64.b64decode(photo["photoDocument"]) == picture
    assert photo["photoIdentify"] == hashlib.md5(picture).hexdigest()
    assert photo["photoName"].endswith(".jpg")
    assert "characters)" in attempt["request"]["body"]
    assert photo["photoDocument"] not in json.dumps(attempt["request"])


async def test_a_token_is_used_until_it_ends_and_renewed_when_it_is_refused(
    settings: Settings, clock: FakeClock, city: tuple[TokenRegulator, str]
) -> None:
    regulator, url = city
    regulator.lifetime_s = 600
    async with world(with_targets(settings, example("regulator-oauth2.toml", url)), clock) as place:
        async with delivering(place.settings, clock):

            async def report(number: int) -> None:
                alert = await place.alert(subject=f"device:{number}", started_at=clock.now())
                await place.enqueue(await place.clear(alert), "end")
                await settled(place, *["accepted"] * number)

            await report(1)
            await report(2)
            assert regulator.tokens == 1
            await clock.advance(541)
            await report(3)
            assert regulator.tokens == 2
            # Withdrawn before its time: the same delivery fetches the next and goes through.
            regulator.refuse_tokens.add("token-2")
            await report(4)
            assert regulator.tokens == 3
        assert [row["attempts"] for row in await place.rows("delivery")] == [1, 1, 1, 1]


@pytest.mark.parametrize(
    ("code", "state", "reason"),
    [
        (1007, "accepted", ""),
        (503, "pending", "code 503: said 503"),
        (1001, "config_error", "code 1001: said 1001"),
    ],
)
async def test_codes_of_the_answer_are_told_apart(
    settings: Settings, clock: FakeClock, city: tuple[TokenRegulator, str], code: int, state: str, reason: str
) -> None:
    regulator, url = city
    regulator.answers = [code]
    async with world(with_targets(settings, example("regulator-oauth2.toml", url)), clock) as place:
        async with delivering(place.settings, clock):
            await place.enqueue(await place.clear(await place.alert()), "end")
            await eventually(lambda: not regulator.answers)
            (row,) = await settled(place, state)

            async def recorded() -> bool:
                return len(await place.rows("delivery_attempt")) == 1

            await eventually(recorded)
        (row,) = await place.rows("delivery")
    assert row["reason"] == reason


async def test_wrong_credentials_are_a_configuration_error_and_nothing_is_in_doubt(
    settings: Settings, clock: FakeClock, city: tuple[TokenRegulator, str]
) -> None:
    regulator, url = city
    target = example("regulator-oauth2.toml", url, secret="another")
    async with world(with_targets(settings, target), clock) as place, delivering(place.settings, clock):
        await place.enqueue(await place.clear(await place.alert()), "end")
        (row,) = await settled(place, "config_error")
    assert row["reason"] == "no token: status 401: refused"
    assert row["in_doubt_since"] is None
    assert regulator.taken == []


async def test_a_device_without_record_number_is_not_reported(
    settings: Settings, clock: FakeClock, city: tuple[TokenRegulator, str]
) -> None:
    regulator, url = city
    async with world(with_targets(settings, example("regulator-oauth2.toml", url)), clock) as place:
        await place.connection.execute("UPDATE device SET record_number = ''")
        await place.reload()
        async with delivering(place.settings, clock):
            await place.enqueue(await place.clear(await place.alert()), "end")
            (row,) = await settled(place, "config_error")
            assert row["reason"] == "device east/dust-1 has no record_number (设备备案号)"
            await place.connection.execute("UPDATE device SET record_number = 'B-8'")
            await place.reload()
            assert await place.resend(row["id"]) == "pending"
            await settled(place, "accepted")
    assert regulator.taken[0][1]["DeviceSN"] == "B-8"


async def test_a_sorted_signature_and_a_result_that_comes_later(
    settings: Settings, clock: FakeClock, province: tuple[SignedRegulator, str]
) -> None:
    regulator, url = province
    async with world(with_targets(settings, example("regulator-signed.toml", url)), clock) as place:
        builder = await place.insert("unit", code="u", name="施工单位", credit_code="91510100X")
        await place.connection.execute("INSERT INTO site_unit VALUES (%s, %s, 'contractor')", (place.site_id, builder))
        await place.reload()
        first, second = (
            await place.alert(),
            await place.alert(subject="device:2", max_value=0.5, unit="", limit_value=None),
        )
        async with delivering(place.settings, clock):
            await place.enqueue(first)
            await settled(place, "accepted")
            await place.enqueue(second)
            await settled(place, "accepted", "accepted")
            regulator.states = {"S1": ("20", ""), "S2": ("30", "项目编码不存在")}
            # Before the results are due: a call under way then would bring the time that is over.
            regulator.now = "20260801160001"
            await clock.advance(1)
            rows = await settled(place, "validated", "rejected")
        attempts = await place.rows("delivery_attempt")
    assert [row["receipt"] for row in rows] == ["S1", "S2"]
    assert rows[1]["reason"] == "项目编码不存在"
    assert regulator.records["S1"] == {
        "projectCode": "5101072608010101",
        "builderLicenseNum": "510107202608010101",
        "contractorCorpCode": "91510100X",
        "deviceCode": "dust-1",
        "alarmNo": rows[0]["idempotency_key"],
        "alarmLevel": "2",
        "alarmItem": "pm10",
        "alarmState": "1",
        "alarmTime": "2026-08-01 15:59:59",
        "limit": "150",
        "value": "163.5",
        "unit": "µg/m³",
    }
    assert (regulator.records["S2"]["value"], regulator.records["S2"]["limit"]) == ("0.5", "")
    for attempt in attempts:
        assert json.loads(attempt["request"]["body"])["sign"] == "***"
        assert "cret" not in json.dumps(attempt["request"])


async def test_a_wrong_clock_is_told_in_the_regulators_words(
    settings: Settings, clock: FakeClock, province: tuple[SignedRegulator, str]
) -> None:
    regulator, url = province
    regulator.now = "20260801162000"
    settings = with_targets(settings, example("regulator-signed.toml", url))
    async with world(settings, clock) as place, delivering(settings, clock):
        await place.enqueue(await place.alert())
        (row,) = await settled(place, "config_error")
    assert row["reason"] == "code 40: timestamp 20260801160000, here it is 20260801162000"
