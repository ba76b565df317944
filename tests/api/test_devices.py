"""Devices: newest values, limits of the rules in force, history."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from alerts.rules import load
from api.limits import limits_of
from sensors import tables
from sensors.profiles import load_profiles
from tests.api.conftest import LogIn
from tests.api.world import World
from tests.support.clock import FakeClock


@pytest.fixture
async def readings(world: World, clock: FakeClock) -> World:
    """Tables cut for the test's own time."""
    await tables.maintain(world.connection, load_profiles(), clock.now())
    return world


def ms(world: World, ago_s: float = 0) -> int:
    return int((world.now - timedelta(seconds=ago_s)).timestamp() * 1000)


async def test_a_device_has_its_newest_values(log_in: LogIn, readings: World) -> None:
    await readings.reading("dust-north", ago_s=20, pm10=90)
    await readings.reading("dust-north", ago_s=10, pm10=152.5, laeq=63.25)
    await readings.seen("dust-north", ago_s=9)
    crane, dust = (await (await log_in("officer")).get("/api/v1/devices")).json()["items"]
    assert dust["values"] == {"pm10": {"value": 152.5, "quality": "N"}, "laeq": {"value": 63.25, "quality": "N"}}
    assert (dust["online"], dust["last_seen_at"]) == (True, ms(readings, 9))
    assert (crane["online"], crane["values"], crane["last_time"]) == (None, {}, None)


async def test_after_a_restart_of_ingest_a_silent_device_is_not_known(log_in: LogIn, readings: World) -> None:
    await readings.seen("dust-north", ago_s=600)
    client = await log_in("officer")

    async def online() -> bool | None:
        found: bool | None = (await client.get("/api/v1/devices")).json()["items"][1]["online"]
        return found

    assert await online() is False
    for name, started_s, beat_s, known in (("1", 20, 1, None), ("2", 3600, 60, None), ("3", 40, 1, False)):
        await readings.connection.execute(
            "INSERT INTO worker (name, room, host, pid, started_at, beat_at) VALUES (%s, 'ingest', 'h', 1, %s, %s)",
            [f"ingest-{name}", *(readings.now - timedelta(seconds=ago) for ago in (started_s, beat_s))],
        )
        assert await online() is known, name


async def test_a_device_that_numbers_its_readings_tells_what_is_missing(log_in: LogIn, readings: World) -> None:
    await readings.connection.execute(
        "INSERT INTO device_sequence VALUES (%(id)s, %(at)s, 100, 3, 2, 1, 4, 0, %(at)s, '[]')",
        {"id": readings.ids["dust-north"], "at": readings.now},
    )
    crane, dust = (await (await log_in("officer")).get("/api/v1/devices")).json()["items"]
    now = ms(readings)
    assert dust["sequence"] == {
        "since": now,
        "received": 100,
        "missing": 3,
        "late": 2,
        "repeated": 1,
        "restarts": 4,
        "gap_at": now,
    }
    assert crane["sequence"] is None


async def test_a_series_is_raw_where_it_fits_and_buckets_where_not(log_in: LogIn, readings: World) -> None:
    for n in range(60):
        await readings.reading("dust-north", ago_s=600 - n * 10, pm10=float(n))
    client = await log_in("officer")
    url = f"/api/v1/devices/{readings.ids['dust-north']}/series"
    span = {"start": ms(readings, 600), "end": ms(readings)}
    raw = (await client.get(url, params={"channel": ["pm10", "laeq"], **span})).json()
    assert (raw["source"], raw["bucket_ms"], raw["start"], raw["end"]) == ("raw", None, *span.values())
    assert len(raw["series"]["pm10"]["time"]) == 60
    assert raw["series"]["pm10"]["value"][:2] == [0, 1]
    assert raw["series"]["laeq"] == {"time": [], "value": [], "minimum": None, "maximum": None}
    coarse = (await client.get(url, params={"channel": "pm10", "points": 10, **span})).json()
    assert (coarse["source"], coarse["bucket_ms"]) == ("raw", 60000)
    assert coarse["series"]["pm10"]["minimum"][1] <= coarse["series"]["pm10"]["value"][1]
    last_day = (await client.get(url, params={"channel": "pm10"})).json()
    assert (last_day["start"], last_day["end"]) == (ms(readings, 86400), ms(readings))


async def test_a_senseless_question_is_told(log_in: LogIn, readings: World) -> None:
    client = await log_in("officer")
    for query, status in (
        ({"channel": "nonsense"}, 404),
        ({}, 422),
        ({"channel": "pm10", "start": 2_000_000_000_000, "end": 1_900_000_000_000}, 422),
        ({"channel": "pm10", "start": -5}, 422),
        ({"channel": "pm10", "end": 10**18}, 422),
        ({"channel": "pm10", "points": 1}, 422),
    ):
        answer = await client.get(f"/api/v1/devices/{readings.ids['dust-north']}/series", params=query)
        assert answer.status_code == status, query
        assert answer.json()["error"]["code"] in ("not_found", "invalid_input")


def test_limits_are_those_of_the_rules_that_look_at_the_device(tmp_path: Path) -> None:
    def rule(name: str, level: str, scope: str = "") -> str:
        return (
            f'[[rules]]\nid = "{name}"\nname = "{name}"\nname_en = "{name}"\nkind = "threshold"\nseverity = "major"\n'
            f'scope = {{ device_kind = "dust"{scope} }}\nmetric = "pm10"\nunit = "µg/m³"\n{level}\n'
        )

    path = tmp_path / "rules.toml"
    path.write_text(
        rule("high", "raise_above = 150")
        + rule("higher", "raise_above = 250")
        + rule("elsewhere", "raise_above = 50", ', sites = ["other"]')
        + rule("tagged", "raise_above = 80", ', tags = ["road"]')
    )
    rules = load([path], load_profiles()).enabled
    plain = limits_of(rules, site="north", kind="dust", tags=[])
    assert plain["pm10"].model_dump() == {"raise_above": 150, "raise_below": None, "severity": "major"}
    assert limits_of(rules, site="other", kind="dust", tags=["road"])["pm10"].raise_above == 50
    assert limits_of(rules, site="north", kind="dust", tags=["road"])["pm10"].raise_above == 80
    assert limits_of(rules, site="north", kind="hoist", tags=[]) == {}
