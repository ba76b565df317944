"""Profiles, batches and log entries: what goes in comes out, what is wrong is named."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from core.errors import ConfigurationError
from sensors import batch, entries
from sensors.batch import BadBatch, ReadingBatch
from sensors.profiles import load_profiles, parse_profile

KINDS = {"dust", "tower_crane", "hoist", "sprayer"} | {
    *("edge_guard", "opening", "unloading_platform", "electric_box"),
    *("smoke", "water_leak", "gas", "pole_tilt", "excavation"),
}
DUST = ["pm10", "pm2_5", "tsp", "laeq", "temperature", "humidity", "pressure", "wind_speed", "wind_direction"]


def test_built_in_kinds() -> None:
    profiles = load_profiles()
    assert set(profiles) == KINDS
    assert [channel.name for channel in profiles["dust"].channels] == DUST
    assert [channel.name for channel in profiles["dust"].channels if channel.noise] == ["laeq"]
    assert profiles["dust"].table == "reading_dust"
    documented = (Path(__file__).parents[2] / "docs" / "devices.md").read_text(encoding="utf-8")
    for profile in profiles.values():
        assert f"| `{profile.kind}`" in documented
        for channel in profile.channels:
            assert channel.type == "enum" or (channel.minimum is not None and channel.maximum is not None)


GAUGE = """
kind = "gauge"
name = "测点"
name_en = "Gauge"
[[channels]]
name = "settlement"
type = "real"
unit = "mm"
label = "沉降"
label_en = "Settlement"
"""


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"mm"', '"inch"', "not canonical"),
        ('"real"', '"float"', "type"),
        ('"real"', '"enum"', "symbols"),
        ('"settlement"', '"Settlement"', "channel name"),
        ('"settlement"', '"time"', "channel name"),
        ('"settlement"', '"load_q"', "channel name"),
        ('"gauge"', '"unknown"', "kind 'unknown'"),
        ('"gauge"', '"x; drop"', "kind"),
        ("label_en", "labelen", "label"),
        ('unit = "mm"', 'unit = "mm"\nminimum = 2\nmaximum = 1', "not below"),
        ('kind = "gauge"', "kind = ", "gauge.toml"),
        (GAUGE[GAUGE.index("[[") :], "channels = []", "no channels"),
        (GAUGE[GAUGE.index("[[") :], GAUGE[GAUGE.index("[[") :] * 2, "appears twice"),
    ],
)
def test_a_wrong_profile_names_its_fault(old: str, new: str, words: str) -> None:
    assert parse_profile(GAUGE, "gauge.toml").kind == "gauge"
    assert old in GAUGE
    with pytest.raises(ConfigurationError, match=words) as caught:
        parse_profile(GAUGE.replace(old, new), "gauge.toml")
    assert "gauge.toml" in caught.value.message


VALVE = """
[[commands]]
name = "open"
label = "打开"
label_en = "Open"
arguments = [
    { name = "turns", type = "bigint", label = "圈数", label_en = "Turns", minimum = 1, maximum = 9 },
    { name = "side", type = "enum", label = "侧", label_en = "Side", required = false, symbols = [
        { name = "left", label = "左", label_en = "Left" },
        { name = "right", label = "右", label_en = "Right" },
    ] },
]
"""


@pytest.mark.parametrize(
    ("given_", "faults"),
    [
        ({"turns": 3}, {}),
        ({"turns": 3, "side": "left"}, {}),
        ({}, {"turns": "is missing"}),
        ({"turns": 0}, {"turns": "must be at least 1"}),
        ({"turns": 10}, {"turns": "must be at most 9"}),
        ({"turns": 1.5}, {"turns": "must be a whole number"}),
        ({"turns": True}, {"turns": "must be a whole number"}),
        ({"turns": 10**400}, {"turns": "must be at most 9"}),
        ({"turns": 3, "side": "up"}, {"side": "must be one of left, right"}),
        ({"turns": 3, "side": ["left"]}, {"side": "must be one of left, right"}),
        ({"turns": 3, "speed": 1}, {"speed": "is none of turns, side"}),
    ],
)
def test_arguments_of_a_command_are_checked_as_declared(given_: dict[str, object], faults: dict[str, str]) -> None:
    instruction = parse_profile(GAUGE + VALVE, "gauge.toml").instruction("open")
    assert instruction is not None
    assert instruction.faults(given_) == faults


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"side"', '"turns"', "appears twice"),
        ('"turns"', '"Turns"', "argument name"),
        ('"bigint"', '"enum"', "lists its symbols"),
        ('"bigint"', '"text"', "type"),
    ],
)
def test_a_wrong_argument_names_its_fault(old: str, new: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        parse_profile(GAUGE + VALVE.replace(old, new), "gauge.toml")


def test_kinds_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "gauge.toml").write_text(GAUGE, encoding="utf-8")
    (tmp_path / "hoist.toml").write_text(GAUGE.replace("gauge", "hoist"), encoding="utf-8")
    profiles = load_profiles(tmp_path)
    assert set(profiles) == KINDS | {"gauge"}
    assert len(profiles["hoist"].channels) == 1, "a folder's kind replaces the built-in one"
    (tmp_path / "gauge2.toml").write_text(GAUGE, encoding="utf-8")
    with pytest.raises(ConfigurationError, match="already defined"):
        load_profiles(tmp_path)
    with pytest.raises(ConfigurationError, match="does not exist"):
        load_profiles(tmp_path / "absent")


names = st.text(min_size=1, max_size=20)


@st.composite
def reading_batches(draw: st.DrawFn) -> ReadingBatch:
    rows = draw(st.integers(0, 12))

    def column(dtype: str) -> st.SearchStrategy:
        elements = st.floats(allow_nan=True, width=64) if dtype == "f8" else None
        fill = st.nothing() if draw(st.booleans()) else None
        return arrays.arrays(dtype, rows, elements=elements, fill=fill)

    channels = draw(st.lists(names, unique=True, max_size=4))
    return ReadingBatch(
        kind=draw(names),
        device=draw(column("i4")),
        site=draw(column("i4")),
        time=draw(column("i8")),
        values={name: draw(column("f8")) for name in channels},
        quality={name: draw(column("u1")) for name in channels},
        flags=draw(column("u1")),
        arrived=draw(st.integers(-(2**63), 2**63 - 1)),
    )


def same(left: ReadingBatch, right: ReadingBatch) -> bool:
    columns = ["device", "site", "time", "flags"]
    return (
        (left.kind, left.arrived, list(left.values)) == (right.kind, right.arrived, list(right.values))
        and all(getattr(left, name).tobytes() == getattr(right, name).tobytes() for name in columns)
        and all(getattr(left, name).dtype == getattr(right, name).dtype for name in columns)
        and all(left.values[name].tobytes() == right.values[name].tobytes() for name in left.values)
        and all(left.quality[name].tobytes() == right.quality[name].tobytes() for name in left.quality)
    )


@given(st.lists(reading_batches(), max_size=3))
def test_batches_come_back_to_the_bit(batches: list[ReadingBatch]) -> None:
    decoded = batch.decode(batch.encode(batches))
    assert len(decoded) == len(batches)
    assert all(map(same, batches, decoded))


@given(st.lists(reading_batches(), min_size=1, max_size=2), st.data())
def test_damaged_batches_are_refused(batches: list[ReadingBatch], data: st.DataObject) -> None:
    payload = batch.encode(batches)
    with pytest.raises(BadBatch):
        batch.decode(payload[: data.draw(st.integers(0, len(payload) - 1))])
    with pytest.raises(BadBatch):
        batch.decode(payload + b"\0")
    with pytest.raises(BadBatch, match="version 2"):
        batch.decode(b"\2" + payload[1:])


@given(st.binary(max_size=200))
def test_noise_is_no_batch(payload: bytes) -> None:
    with contextlib.suppress(BadBatch):
        batch.decode(b"\1" + payload)


def test_shared_columns_cost_one_item() -> None:
    rows = 1000
    one = ReadingBatch(
        kind="dust",
        device=np.arange(rows, dtype=np.int32),
        site=np.full(rows, 7, dtype=np.int32),
        time=np.arange(rows, dtype=np.int64),
        values={"pm10": np.arange(rows, dtype=np.float64), "tsp": np.full(rows, np.nan)},
        quality={name: np.full(rows, batch.NORMAL, dtype=np.uint8) for name in ("pm10", "tsp")},
        flags=np.zeros(rows, dtype=np.uint8),
        arrived=5,
    )
    assert len(batch.encode([one])) < rows * (4 + 8 + 8) + 100


def test_a_column_of_another_length_is_a_mistake() -> None:
    one = ReadingBatch(
        kind="dust",
        device=np.zeros(2, dtype=np.int32),
        site=np.zeros(1, dtype=np.int32),
        time=np.zeros(2, dtype=np.int64),
        values={},
        quality={},
        flags=np.zeros(2, dtype=np.uint8),
        arrived=0,
    )
    with pytest.raises(ValueError, match="2 rows"):
        batch.encode([one])


ENTRIES: list[entries.AnyEntry] = [
    entries.DeviceEntry(device=1, site=2, time=3, event="alarm", detail="力矩"),
    entries.EpisodeEntry(
        episode=1, camera=2, site=3, kind="no_helmet", phase="started", started_at=4, last_seen_at=5, ended_at=None,
        peak_score=0.5, zone="gate", frame_sha256="a" * 64, crop_sha256="b" * 64, box=(1.0, 2.0, 3.5, 4.0), model="m",
    ),
    entries.AlertEntry(alert=1, site=2, event="raised", at=3),
]  # fmt: skip


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: type(entry).__name__)
def test_entries_come_back(entry: entries.AnyEntry) -> None:
    assert entries.decode(entries.encode(entry)) == entry


@pytest.mark.parametrize("payload", [b"", b"\xc1", b"\x80", entries.encode(ENTRIES[2])[:-1]])
def test_a_damaged_entry_is_refused(payload: bytes) -> None:
    with pytest.raises(entries.BadEntry):
        entries.decode(payload)
