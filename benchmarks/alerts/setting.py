"""Stations, rules and readings: mostly quiet, with excursions of some minutes, one reading a minute."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from alerts.rules import load
from alerts.rules.model import ThresholdRule, WindowRule
from core.log import SHARDS
from sensors.batch import NORMAL, ReadingBatch, encode
from sensors.profiles import load_profiles
from sensors.registry import Device, Registry, Site

KIND = "dust"
CHANNELS = ("pm10", "pm2_5", "tsp", "laeq", "temperature", "humidity", "pressure", "wind_speed")
LEVELS = (150.0, 75.0, 300.0, 70.0, 37.0, 90.0, 1040.0, 10.8)
SITES = 100
INTERVAL = 60_000_000
START = 1_767_225_600_000_000  # on the boundary of a minute, a quarter and an hour
COMMIT = 500

Rule = ThresholdRule | WindowRule


@dataclass(frozen=True, slots=True)
class Alert:
    """What the three must agree on; times in microseconds."""

    phase: str
    rule: str
    device: int
    started_at: int


def rules() -> tuple[Rule, ...]:
    """Twenty rules, as a rule file has them."""
    parts = []
    units = {channel.name: channel.unit for channel in load_profiles(None)[KIND].channels}

    def add(name: str, channel: str, level: float, more: str) -> None:
        parts.append(
            f'[[rules]]\nid = "{name}"\nname = "{name}"\nname_en = "{name}"\nseverity = "major"\n'
            f'scope = {{ device_kind = "{KIND}" }}\nmetric = "{channel}"\nunit = "{units[channel]}"\n'
            f"raise_above = {level}\n{more}\n"
        )

    for channel, level in zip(CHANNELS, LEVELS, strict=True):
        add(f"{channel}-now", channel, level, f'kind = "threshold"\nclear_below = {0.9 * level}\nclear_after = "2 min"')
    for channel, level in list(zip(CHANNELS, LEVELS, strict=True))[:6]:
        add(f"{channel}-long", channel, 0.95 * level, 'kind = "threshold"\nduration = "3 min"')
    for channel, window, aggregate, share in (
        ("pm10", "15 min", "mean", 0.8),
        ("pm2_5", "15 min", "mean", 0.8),
        ("tsp", "5 min", "mean", 0.85),
        ("laeq", "20 min", "energy_mean", 0.93),
        ("laeq", "5 min", "max", 0.97),
        ("wind_speed", "5 min", "max", 0.9),
    ):
        level = share * LEVELS[CHANNELS.index(channel)]
        add(
            f"{channel}-{aggregate}", channel, level, f'kind = "window"\nwindow = "{window}"\naggregate = "{aggregate}"'
        )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "rules.toml")
        path.write_text("\n".join(parts), encoding="utf-8")
        found = load([path], load_profiles(None)).enabled
    return tuple(rule for rule in found if isinstance(rule, ThresholdRule | WindowRule))


def registry(stations: int) -> Registry:
    """Stations 1 to `stations`, spread over the sites."""
    return Registry(
        version=1,
        sites={number: _site(number) for number in range(1, SITES + 1)},
        units={},
        site_units=(),
        people={},
        devices={number: _device(number) for number in range(1, stations + 1)},
        cameras={},
        by_topic={},
    )


def readings(stations: int, ticks: int) -> npt.NDArray[np.float64]:
    """[ticks, channels, stations]: 30 to 80 % of the limit; now and then for one to eight minutes beyond it."""
    random = np.random.default_rng(20260101)
    values = random.uniform(0.3, 0.8, (ticks, len(CHANNELS), stations))
    beginnings = np.argwhere(random.random(values.shape) < 0.0005)
    for tick, channel, station in beginnings.tolist():
        values[tick : tick + random.integers(1, 9), channel, station] = random.uniform(0.96, 1.3)
    return np.asarray(np.round(values * np.array(LEVELS)[:, np.newaxis], 2))


def moment(tick: int) -> int:
    """Event time of a tick's readings."""
    return START + tick * INTERVAL


def reads(values: npt.NDArray[np.float64], commit: int) -> list[list[bytes]]:
    """Payloads of log entries, those of one commit of ingest (at most `commit` messages) in one read."""
    found = []
    for tick, by_channel in enumerate(values):
        for start in range(0, by_channel.shape[1], commit):
            devices = np.arange(start, min(start + commit, by_channel.shape[1])) + 1
            shards = (devices % SITES + 1) % SHARDS
            cut = [devices[shards == shard] for shard in range(SHARDS)]
            found.append([encode([_batch(part, tick, by_channel)]) for part in cut if len(part)])
    return found


def _batch(devices: npt.NDArray[np.int_], tick: int, by_channel: npt.NDArray[np.float64]) -> ReadingBatch:
    count = len(devices)
    normal = np.full(count, NORMAL, dtype=np.uint8)
    return ReadingBatch(
        kind=KIND,
        device=devices.astype(np.int32),
        site=(devices % SITES + 1).astype(np.int32),
        time=np.full(count, moment(tick), dtype=np.int64),
        values={name: by_channel[place, devices - 1] for place, name in enumerate(CHANNELS)},
        quality=dict.fromkeys(CHANNELS, normal),
        flags=np.zeros(count, dtype=np.uint8),
        arrived=moment(tick),
    )


def _site(number: int) -> Site:
    return Site(
        id=number, code=f"s{number}", name="", name_en="", address="", region_code="", latitude=None, longitude=None,
        time_zone="Asia/Shanghai", stage="", area_m2=None, project_code="", permit_number="", supervision_number="",
        vision_policy="auto", vision_auto_score=0.9, enabled=True,
    )  # fmt: skip


def _device(number: int) -> Device:
    site = number % SITES + 1
    return Device(
        id=number, site_id=site, site=f"s{site}", code=f"d{number}", kind=KIND, name="", name_en="", secret_hash=None,
        record_number="", factory="", latitude=None, longitude=None, clock_offset_ms=0, interval_s=INTERVAL / 1e6,
        tags=(), enabled=True,
    )  # fmt: skip
