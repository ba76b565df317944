"""The generator is decided by seed and clock, looks like a building site, and its schedule does what it says."""

from __future__ import annotations

import itertools
import statistics
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import smartsite
from alerts.rules import ThresholdRule, builtin_packs, load
from core.errors import ConfigurationError
from sensors.codec_json import TelemetryDecoder
from sensors.profiles import load_profiles
from sensors.simulator import (
    Effect,
    Episode,
    Instrument,
    Reading,
    Schedule,
    SimulatedDevice,
    demo_schedule,
    read_devices,
)
from sensors.simulator.devices import MODELS
from sensors.simulator.journal import Beginning, Deed, Journal, read_journal
from sensors.simulator.spray import Spray
from sensors.simulator.sprayer import Sprayer

MIDNIGHT = datetime(2026, 7, 31, 16, tzinfo=UTC)  # 00:00 in Shanghai
REGISTRY = Path(smartsite.__file__).parent / "demo" / "registry.toml"


def device(kind: str = "dust", code: str = "d1", site: str = "a") -> SimulatedDevice:
    return SimulatedDevice(site=site, code=code, kind=kind, secret="secret", interval_s=1, time_zone="Asia/Shanghai")


def readings(
    kind: str = "dust",
    *,
    seed: int = 1,
    code: str = "d1",
    start: datetime = MIDNIGHT,
    seconds: int = 600,
    step: float = 1,
    episodes: tuple[Episode, ...] = (),
) -> list[Reading | None]:
    instrument = Instrument(device(kind, code), seed=seed)
    schedule = Schedule(episodes)
    found = []
    for n in range(int(seconds / step)):
        elapsed = n * step
        found.append(instrument.read(start + timedelta(seconds=elapsed), elapsed, schedule.at(f"a/{code}", elapsed)))
    return found


def column(found: list[Reading | None], channel: str) -> list[float]:
    return [float(r.values[channel]) for r in found if r is not None and r.values[channel] is not None]


def correlation(values: list[float], lag: int) -> float:
    return statistics.correlation(values[:-lag], values[lag:])


@pytest.mark.parametrize("kind", [kind for kind in MODELS if kind != "sprayer"])
def test_the_same_seed_gives_the_same_readings(kind: str) -> None:
    assert readings(kind) == readings(kind)
    assert readings(kind) != readings(kind, seed=2)
    assert readings(kind) != readings(kind, code="d2")


@pytest.mark.parametrize("kind", MODELS)
def test_a_day_is_plausible_and_complete(kind: str) -> None:
    profile = load_profiles()[kind]
    decoder = TelemetryDecoder(profile)
    import msgspec

    letters: Counter[str] = Counter()
    for reading in readings(kind, seconds=86_400, step=20):
        if reading is None:
            continue
        assert list(reading.values) == [channel.name for channel in profile.channels]
        decoded = decoder.decode(msgspec.json.encode(reading))
        assert not decoded.rejects
        letters.update(map(chr, decoded.messages[0].quality))
    assert "T" not in letters, "nothing is out of range by chance"
    assert set(letters) <= {"N", "B"}
    assert letters["N"] > 1000 * letters["B"]


def test_a_site_sleeps_at_night() -> None:
    found = readings(seconds=86_400, step=20)
    noise = column(found, "laeq")
    hour = len(noise) // 24
    night, day = noise[2 * hour : 4 * hour], noise[9 * hour : 11 * hour]
    assert statistics.mean(day) > statistics.mean(night) + 8
    warmth = column(found, "temperature")
    assert statistics.mean(warmth[13 * hour : 16 * hour]) > statistics.mean(warmth[3 * hour : 5 * hour]) + 2
    crane = [r.values["status"] for r in readings("tower_crane", seconds=86_400, step=20) if r is not None]
    assert crane[3 * hour : 4 * hour].count("working") == 0
    assert crane[9 * hour : 11 * hour].count("working") > hour


@pytest.mark.parametrize("seed", range(5))
def test_calm_weather_keeps_below_the_limits_of_the_demo(seed: int) -> None:
    found = readings(seed=seed, seconds=86_400, step=7)
    assert max(column(found, "pm10")) < 200
    assert max(column(found, "laeq")) < 80
    assert max(column(readings("tower_crane", seed=seed, seconds=86_400, step=7), "moment_ratio")) < 95


def test_noise_is_correlated_and_loses_its_memory() -> None:
    found = readings(start=MIDNIGHT + timedelta(hours=2), seconds=3000)
    dust = column(found, "pm10")
    assert correlation(dust, 1) > 0.9
    assert correlation(dust, 1) > correlation(dust, 30)
    wind = column(found, "wind_speed")
    assert 0.5 < correlation(wind, 1) < 0.99
    assert statistics.stdev(wind) / statistics.mean(wind) > 0.1, "wind has gusts"


def test_stations_of_a_site_share_its_weather() -> None:
    one = column(readings(seconds=86_400, step=300), "temperature")
    two = column(readings(seconds=86_400, step=300, code="d2"), "temperature")
    assert max(abs(a - b) for a, b in zip(one, two, strict=False)) < 1.5


def test_cranes_move_without_jumps() -> None:
    found = [r for r in readings("tower_crane", start=MIDNIGHT + timedelta(hours=9), seconds=3600) if r is not None]
    for before, after in itertools.pairwise(found):
        if after.ts - before.ts != 1000 or "B" in (before.flags | after.flags).values():
            continue
        turn = abs(float(after.values["slewing"]) - float(before.values["slewing"]))
        assert min(turn, 360 - turn) < 13
        assert abs(float(after.values["radius"]) - float(before.values["radius"])) < 4
        assert abs(float(after.values["height"]) - float(before.values["height"])) < 6
    assert {"working", "idle"} == {str(r.values["status"]) for r in found}
    assert max(column(list(found), "load")) > 1


def test_hoists_stop_with_open_doors() -> None:
    found = [r for r in readings("hoist", start=MIDNIGHT + timedelta(hours=9), seconds=3600) if r is not None]
    for reading in found:
        if "B" not in reading.flags.values() and reading.values["door"] == "open":
            assert reading.values["speed"] == 0
    assert len({r.values["floor"] for r in found}) > 3


def effect(kind: Effect, level: float = 0, channel: str = "", code: str = "d1") -> tuple[Episode, ...]:
    return (Episode(device=f"a/{code}", effect=kind, start=10, end=40, level=level, channel=channel),)


def test_episodes_raise_and_end() -> None:
    storm = readings(seconds=60, episodes=effect(Effect.SANDSTORM, 460))
    assert max(column(storm[:10], "pm10")) < 200
    assert min(column(storm[15:36], "pm10")) > 400
    assert max(column(storm[42:], "pm10")) < 200
    noise = readings(seconds=60, episodes=effect(Effect.NOISE, 96))
    assert min(column(noise[10:40], "laeq")) > 90
    assert max(column(noise[:10] + noise[40:], "laeq")) < 80
    load = readings("tower_crane", seconds=60, episodes=effect(Effect.OVERLOAD, 108))
    assert min(column(load[10:40], "moment_ratio")) > 104
    gust = readings("tower_crane", seconds=60, episodes=effect(Effect.GUST, 14))
    assert min(column(gust[10:40], "wind_speed")) > 12


@pytest.mark.parametrize(
    ("kind", "level"),
    [
        *((kind, 2) for kind in ("edge_guard", "opening", "smoke", "water_leak", "gas")),
        ("electric_box", 80),
        ("pole_tilt", 14),
        ("excavation", 26),
        ("unloading_platform", 112),
    ],
)
def test_an_alarm_breaks_a_rule_of_the_safety_pack_and_calm_breaks_none(kind: str, level: float) -> None:
    rules = [rule for rule in load(builtin_packs(), load_profiles()) if getattr(rule.scope, "device_kind", "") == kind]
    calm = readings(kind, seconds=86_400, step=20)
    what = Effect.OVERLOAD if kind == "unloading_platform" else Effect.ALARM
    alarm = readings(kind, seconds=60, episodes=effect(what, level))[12:38]
    broken = set()
    for rule in rules:
        if isinstance(rule, ThresholdRule) and rule.raise_above is not None:
            assert max(column(calm, rule.metric)) <= rule.raise_above
            if min(column(alarm, rule.metric)) > rule.raise_above:
                broken.add(rule.id)
    assert broken


def test_faults_are_flagged_and_gaps_are_empty() -> None:
    faulty = readings(seconds=60, episodes=effect(Effect.FAULT, channel="tsp"))[10:40]
    assert {r.flags.get("tsp") for r in faulty if r is not None} == {"D"}
    assert len({r.values["tsp"] for r in faulty if r is not None}) == 1
    for kind in (Effect.GAP, Effect.SILENCE):
        silent = readings(seconds=60, episodes=effect(kind))
        assert silent[10:40] == [None] * 30
        assert any(silent[40:])


def sprayed(*commands: tuple[float, str, dict[str, float]], seconds: int = 120) -> tuple[list[float], list[Reading]]:
    """PM10 of a station in a long sandstorm, and readings of the sprayer of its site, commanded at seconds."""
    water = Spray()
    station, sprayer = (
        Instrument(device(), seed=1, spray=water),
        Instrument(device("sprayer", "s"), seed=1, spray=water),
    )
    storm = Episode(device="a/d1", effect=Effect.SANDSTORM, start=0, end=1000, level=460)
    waiting = list(commands)
    dust, shown = [], []
    for second in range(seconds):
        moment = MIDNIGHT + timedelta(seconds=second)
        while waiting and waiting[0][0] <= second:
            _, name, arguments = waiting.pop(0)
            assert isinstance(sprayer.model, Sprayer)
            assert sprayer.model.carry_out(name, arguments, moment).ok
        taken, said = station.read(moment, second, storm), sprayer.read(moment, second, None)
        if taken is not None and said is not None and None not in said.values.values():
            dust.append(float(taken.values["pm10"] or 0))
            shown.append(said)
    return dust, shown


def test_spraying_binds_dust_and_what_dried_is_blown_again() -> None:
    dust, shown = sprayed((20, "spray_on", {}), (60, "spray_off", {}), seconds=240)
    assert min(dust[5:20]) > 400
    assert 200 < dust[30] < 400, "it takes a while"
    assert max(dust[50:60]) < 200
    assert min(dust[200:]) > 400
    assert {reading.values["state"] for reading in shown[21:58]} == {"on"}
    assert {reading.values["state"] for reading in shown[62:]} == {"off"}
    assert float(shown[50].values["flow"] or 0) > 50
    assert float(shown[200].values["flow"] or 0) < 1
    assert sprayed()[0] == sprayed()[0]


def test_a_sprayer_stops_by_itself_after_its_minutes() -> None:
    _, shown = sprayed((10, "spray_on", {"minutes": 0.5}))
    states = [reading.values["state"] for reading in shown]
    assert (states[12], states[36], states[45]) == ("on", "on", "off")


def test_a_sprayer_says_what_it_will_not_do() -> None:
    sprayer = Instrument(device("sprayer", "s"), seed=1).model
    assert isinstance(sprayer, Sprayer)
    assert not sprayer.carry_out("spray_on", {"minutes": "five"}, MIDNIGHT).ok
    assert sprayer.carry_out("dance", {}, MIDNIGHT).detail == "unknown command dance"


def test_something_happens_to_devices_of_every_kind() -> None:
    schedule = demo_schedule({f"a/{kind}": kind for kind in MODELS}, seed=1)
    assert {episode.device.removeprefix("a/") for episode in schedule.episodes} == set(MODELS) - {"sprayer"}
    for kind in MODELS:
        readings(kind, code=kind, seconds=86_400, step=60, episodes=schedule.episodes)


def test_the_demo_schedule_keeps_its_promise() -> None:
    devices = {item.name: item.kind for item in read_devices(REGISTRY)}
    schedule = demo_schedule(devices, seed=1)
    assert schedule.episodes == demo_schedule(devices, seed=1).episodes
    assert schedule.episodes != demo_schedule(devices, seed=2).episodes
    for site in ("binjiang-hub", "qianjiang-metro"):
        opening = [e for e in schedule.episodes if e.start < 80 and e.device.startswith(f"{site}/")]
        assert all(episode.end < 75 for episode in opening)
        effects = {episode.effect: episode for episode in opening}
        assert set(effects) == {Effect.NOISE, Effect.SANDSTORM, Effect.SILENCE, Effect.OVERLOAD, Effect.FAULT}
        assert effects[Effect.SANDSTORM].end - effects[Effect.SANDSTORM].start >= 30, "a window of 20 s is filled"
        assert effects[Effect.SILENCE].end - effects[Effect.SILENCE].start >= 40, (
            "longer than the offline rule waits, twice"
        )
    assert not [e for e in schedule.episodes if 80 < e.start < 150], "a run of two minutes ends calm"
    assert {e.effect for e in schedule.episodes} == set(Effect) - {Effect.ALARM}


def test_a_site_with_one_station_has_one_trouble_at_a_time() -> None:
    schedule = demo_schedule({"a/d1": "dust"}, seed=1, horizon_s=100)
    assert [e.effect for e in schedule.episodes] == [Effect.NOISE, Effect.SANDSTORM, Effect.SILENCE]


def test_overlapping_episodes_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="overlaps"):
        Schedule([*effect(Effect.GAP), *effect(Effect.NOISE)])


def test_the_registry_must_hold_secrets(tmp_path: Path) -> None:
    text = '[[sites]]\ncode = "a"\nname = "A"\n[[devices]]\nsite = "a"\ncode = "d"\nkind = "dust"\nname = "D"\n'
    path = tmp_path / "registry.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError, match="secret: is missing"):
        read_devices(path)


def test_a_journal_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "run" / "journal.jsonl"
    first, second = Reading(1000, {"pm10": 1.5, "status": "idle"}), Reading(2000, {"pm10": None}, {"pm10": "B"})
    with Journal(path) as journal:
        journal.begin(Beginning(5, 1, {"a/d1": "dust"}, effect(Effect.NOISE, 90)))
        journal.published("a/d1", first, 10)
        journal.published("a/d1", second, 20)
        journal.acknowledged("a/d1", first, 30)
        journal.carried_out("a/s1", 7, "spray_on", 40, ok=True)
        journal.heard_again("a/s1", 7, 50)
        journal.replied("a/s1", 7, 60)
        journal.replied("a/s1", 7, 70)
    with path.open("ab") as file:
        file.write(b'["p","a/d1",3000,')
    written = read_journal(path)
    assert written.kinds == {"a/d1": "dust"}
    assert written.beginnings[0].episodes == effect(Effect.NOISE, 90)
    assert [(r.time, r.published, r.acknowledged) for r in written.records] == [
        (1_000_000, 10, 30),
        (2_000_000, 20, None),
    ]
    assert written.records[1].flags == {"pm10": "B"}
    assert written.deeds == [Deed(device="a/s1", id=7, name="spray_on", at=40, ok=True, again=1, replied=60)]

    with Journal(path) as journal:
        journal.begin(Beginning(7, 1, {"a/d1": "dust"}, ()))
    assert len(read_journal(path).beginnings) == 2

    path.write_bytes(b"[]\n" + path.read_bytes())
    with pytest.raises(ConfigurationError, match="line 1 is damaged"):
        read_journal(path)
