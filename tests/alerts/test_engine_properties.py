"""What holds for every stream of readings: any cut into batches, any restart and any allowed order tell the same."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from alerts.engine import Engine, Standing, Transition
from alerts.engine.fleet import rounds
from alerts.engine.snapshot import BadSnapshot, Column
from sensors.batch import ReadingBatch
from tests.alerts.test_day_count import COUNT, REFERENCE
from tests.alerts.test_ladder import LADDER
from tests.alerts.test_offline import OFFLINE
from tests.alerts.test_sightings import HELMET
from tests.alerts.test_windows import LEQ, MEAN
from tests.alerts.world import PM10, PROFILES, at, batch, episode, make_camera, make_device, make_registry, rules

NOISE = """
[[rules]]
id = "quiet"
name = "过静"
name_en = "Too quiet"
kind = "threshold"
severity = "info"
scope = { device_kind = "dust", tags = ["gate"] }
metric = "laeq"
unit = "dB(A)"
raise_below = 55
clear_above = 60
clear_after = "2 s"
"""

COMPOSITE = """
[[rules]]
id = "both"
name = "扬尘与噪声"
name_en = "Dust and noise"
kind = "composite"
severity = "major"
scope = { device_kind = "dust" }
step = "2 s"
lateness = "3 s"
clear_after = "2 s"
all_of = [{ metric = "pm10", unit = "µg/m³", raise_above = 120 }]
any_of = [
  { metric = "laeq", unit = "dB(A)", raise_above = 65, clear_below = 60 },
  { metric = "pm10", unit = "µg/m³", raise_above = 150, scope = { device_kind = "dust", tags = ["gate"] } },
]
"""


def _named(text: str, name: str) -> str:
    """The same rule under another id."""
    old = text.split('id = "')[1].split('"', maxsplit=1)[0]
    return text.replace(f'id = "{old}"', f'id = "{name}"')


# Second 60 of the streams is the first outside of the hours; the days are those of the site.
KINDS = (
    _named(LADDER, "ladder")
    + _named(PM10, "hours")
    + 'schedule = [{ from = "12:00", to = "16:01" }]\n'
    + _named(COUNT, "days").replace('"1 h"', '"10 s"').replace("allowed = 2", "allowed = 1")
    + _named(REFERENCE, "compared").replace('tag = "upwind"', 'tag = "gate"')
    + COMPOSITE
)

with tempfile.TemporaryDirectory() as folder:
    RULES = rules(
        Path(folder),
        PM10
        + PM10.replace('"pm10"\nname', '"pm10-long"\nname')
        + 'duration = "3 s"\n'
        + MEAN
        + MEAN.replace('"mean"\nname', '"sliding"\nname')
        + 'every = "2 s"\n'
        + MEAN.replace('"mean"\nname', '"peak"\nname').replace('"mean"\nlateness', '"max"\nlateness')
        + LEQ
        + NOISE
        + OFFLINE
        + HELMET
        + KINDS,
    )
REGISTRY = make_registry(
    [make_device(1, tags=["gate"]), make_device(2, interval=2), make_device(5, tags=["gate"])], [make_camera(1)]
)

Row = tuple[int, float, float, str]
row = st.tuples(
    st.sampled_from([1, 2, 5, 77]),
    st.integers(0, 60).map(float),
    st.sampled_from([50.0, 110.0, 130.0, 155.0, 400.0]),
    st.sampled_from("NNNND"),
)
streams = st.lists(row, min_size=1, max_size=120)


def _batch(rows: Sequence[Row]) -> ReadingBatch:
    """Noise is a function of the value, and missing beside some of them."""
    whole = batch(
        [
            (device, second, {"pm10": value} if value == 110 else {"pm10": value, "laeq": 30 + value / 4})
            for device, second, value, _ in rows
        ],
        arrived=rows[-1][1],
    )
    whole.quality["pm10"][:] = [ord(letter) for *_, letter in rows]
    return whole


def _cut(rows: Sequence[Row], cuts: Sequence[int]) -> list[Sequence[Row]]:
    bounds = sorted({0, len(rows), *(cut % (len(rows) + 1) for cut in cuts)})
    return [rows[first:last] for first, last in itertools.pairwise(bounds)]


def _by_subject(told: Sequence[Transition]) -> dict[tuple[str, str], list[Transition]]:
    """Rules are evaluated one after another, so only the order within a (rule, subject) means anything."""
    grouped: dict[tuple[str, str], list[Transition]] = {}
    for item in told:
        grouped.setdefault((item.rule.id, item.subject), []).append(item)
    return grouped


def _play(
    parts: Sequence[Sequence[Row]], *, restart: bool = False, together: bool = False
) -> dict[tuple[str, str], list[Transition]]:
    engine = Engine(RULES, REGISTRY, PROFILES)
    told: list[Transition] = []
    if together:
        return _by_subject(engine.feed(*(_batch(part) for part in parts if part)))
    for part in parts:
        told += engine.feed(_batch(part))
        if restart:
            state = engine.dump()
            engine = Engine(RULES, REGISTRY, PROFILES)
            engine.load(state)
            assert engine.dump() == state
    return _by_subject(told)


@example([(1, 0.0, 50.0, "N"), (1, 0.0, 50.0, "N"), (1, 5.0, 50.0, "N")], [1])
@settings(max_examples=150, deadline=None)
@given(streams, st.lists(st.integers(0, 200), max_size=8))
def test_any_cut_into_batches_tells_the_same(rows: list[Row], cuts: list[int]) -> None:
    one_by_one = [[item] for item in rows]
    assert _play(_cut(rows, cuts)) == _play(one_by_one) == _play([rows])
    assert _play(one_by_one, together=True) == _play(one_by_one)


@settings(max_examples=60, deadline=None)
@given(streams, st.lists(st.integers(0, 200), max_size=8))
def test_a_restart_at_any_moment_tells_the_same(rows: list[Row], cuts: list[int]) -> None:
    parts = _cut(rows, cuts)
    assert _play(parts, restart=True) == _play(parts)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([50.0, 130.0, 155.0, 400.0]), min_size=20, max_size=60), st.randoms())
def test_windows_tell_the_same_for_any_allowed_order(values: list[float], random: Any) -> None:
    ordered = [(1, float(second), value, "N") for second, value in enumerate(values)]
    # Displaced by less than the lateness of 5 s; the last reading closes the same windows in both.
    shuffled = sorted(ordered, key=lambda item: item[1] + random.uniform(0, 4.9))
    closing = [(1, 200.0, 0.0, "N")]
    windows = {("mean", "device:1"), ("sliding", "device:1")}
    told = {name: items for name, items in _play([[*ordered], closing]).items() if name in windows}
    assert {name: items for name, items in _play([[*shuffled], closing]).items() if name in windows} == told


@settings(max_examples=60, deadline=None)
@given(streams)
def test_thresholds_and_means_agree_with_the_obvious_loop(rows: list[Row]) -> None:
    told = _play([rows])
    for device in (1, 2, 5):
        mine = [item for item in rows if item[0] == device]
        for rule, expected in (("pm10", _loop_threshold(mine)), ("mean", _loop_mean(mine, 2 if device == 2 else 1))):
            got = [
                (item.phase, item.started_at, item.ended_at, item.worst)
                for item in told.get((rule, f"device:{device}"), [])
            ]
            assert got == expected, rule


def _loop_threshold(rows: Sequence[Row]) -> list[tuple[str, int, int | None, float]]:
    told: list[tuple[str, int, int | None, float]] = []
    newest, since, quiet, worst = -1.0, None, None, 0.0
    for _, second, value, letter in rows:
        if letter != "N" or second <= newest:
            continue
        newest = second
        if since is None:
            if value > 150:
                since, quiet, worst = second, None, value
                told.append(("raise", at(since), None, worst))
            continue
        worst = max(worst, value)
        quiet = None if value > 120 else quiet if quiet is not None else second
        if quiet is not None and second - quiet >= 5:
            told.append(("clear", at(since), at(quiet), worst))
            since = None
    return told


def _loop_mean(rows: Sequence[Row], interval: float) -> list[tuple[str, int, int | None, float]]:
    told: list[tuple[str, int, int | None, float]] = []
    windows: dict[int, list[float]] = {}
    newest, since, worst = -1e9, None, 0.0
    judged: int | None = None
    for _, second, value, letter in rows:
        newest = max(newest, second)
        until = int((newest - 5) // 10)
        judged = until if judged is None else judged
        while judged < until:
            values = windows.pop(judged, [])
            if values and len(values) >= 0.75 * 10 / interval:
                mean = round(sum(values) / len(values), 6)
                if since is None and mean > 150:
                    since, worst = judged * 10, mean
                    told.append(("raise", at(since), None, worst))
                elif since is not None:
                    worst = max(worst, mean)
                    if mean <= 120:
                        told.append(("clear", at(since), at(judged * 10), worst))
                        since = None
            judged += 1
        if letter == "N" and second // 10 >= judged:
            windows.setdefault(int(second // 10), []).append(value)
    return told


def test_rounds_keep_the_order_of_each_slot() -> None:
    slots = np.array([3, 1, 3, 3, 2, 1])
    turns = [np.arange(len(slots))[turn].tolist() for turn in rounds(slots)]
    assert turns == [[0, 1, 4], [2, 5], [3]]
    assert [np.arange(3)[turn].tolist() for turn in rounds(np.array([5, 1, 3]))] == [[0, 1, 2]]


def _engine_with_open_alerts() -> Engine:
    engine = Engine(RULES, REGISTRY, PROFILES)
    engine.feed(batch([(1, 0, {"pm10": 200.0}), (2, 0, {"pm10": 200.0})], arrived=0))
    engine.feed_episode(episode(1, "started", started=0, seen=1))
    assert engine.is_open("pm10", "device:1")
    assert engine.is_open("helmet", "camera:1")
    return engine


def test_the_database_is_right_about_what_is_open() -> None:
    engine = _engine_with_open_alerts()
    orphans = engine.adopt(
        [
            Standing(rule="pm10", subject="device:1", started_at=at(0)),
            Standing(rule="pm10", subject="device:5", started_at=at(0), first=1, last=2, worst=3),
            Standing(rule="gone", subject="device:1", started_at=at(0)),
            Standing(rule="helmet", subject="camera:9", started_at=at(0)),
        ],
        at(5),
    )
    assert [(item.rule, item.subject) for item in orphans] == [("gone", "device:1"), ("helmet", "camera:9")]
    assert engine.is_open("pm10", "device:1")
    assert engine.is_open("pm10", "device:5")
    assert not engine.is_open("pm10", "device:2")
    assert not engine.is_open("helmet", "camera:1")
    told = engine.feed(batch([(5, 10, {"pm10": 0.0}), (5, 15, {"pm10": 0.0})], arrived=15))
    assert [(item.phase, item.worst) for item in told if item.rule.id == "pm10"] == [("clear", 3)]


def test_state_follows_the_device_into_a_new_registry() -> None:
    state = _engine_with_open_alerts().dump()
    # Device 1 is gone, device 0 is new and moves every slot; device 5 stays.
    engine = Engine(RULES, make_registry([make_device(0), make_device(2, interval=2), make_device(5)]), PROFILES)
    engine.load(state)
    assert engine.is_open("pm10", "device:2")
    assert not engine.is_open("pm10", "device:1")
    assert engine.unknown(batch([(1, 0, {"pm10": 1.0})], arrived=0))
    assert not engine.unknown(batch([(5, 0, {"pm10": 1.0})], arrived=0))


def test_state_is_kept_by_meaning_not_by_name(tmp_path: Path) -> None:
    state = _engine_with_open_alerts().dump()
    renamed = Engine(
        rules(tmp_path, PM10.replace("major", "critical").replace("PM10 超限", "扬尘")), REGISTRY, PROFILES
    )
    renamed.load(state)
    assert renamed.is_open("pm10", "device:1")
    moved = Engine(rules(tmp_path, PM10.replace("150", "300")), REGISTRY, PROFILES)
    moved.load(state)
    assert not moved.is_open("pm10", "device:1")


@pytest.mark.parametrize("payload", [b"", b"\x00", b"\x01", b"\x01\xc1", b"\x01\x80", b"\xff" * 40])
def test_a_damaged_snapshot_is_refused(payload: bytes) -> None:
    engine = Engine(RULES, REGISTRY, PROFILES)
    with pytest.raises(BadSnapshot):
        engine.load(payload)


@given(
    st.lists(st.sampled_from([0.0, -0.0, float("nan"), 1.5]), max_size=40),
    st.sampled_from([1, 2]),
    st.sampled_from(["<f8", "<i8", "?"]),
)
def test_a_column_comes_back_to_the_bit(items: list[float], width: int, dtype: str) -> None:
    whole = np.nan_to_num(np.array(items * width)) if dtype != "<f8" else np.array(items * width)
    array = whole.astype(dtype).reshape(-1, width)
    column = Column.of(array)
    back = column.array()
    assert (back.dtype, back.shape, back.tobytes()) == (array.dtype, array.shape, array.tobytes())


def test_few_exceptions_make_a_small_column() -> None:
    array = np.zeros(10_000, dtype=np.int64)
    array[[0, 77]] = 5
    assert len(Column.of(array).data) == 3 * 8
    assert Column.of(array).array().tolist() == array.tolist()
