"""A small registry, batches and rules for tests of the alerts room."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from alerts.rules import load
from alerts.rules.model import AnyRule
from core.clock import micros
from sensors.batch import ReadingBatch
from sensors.entries import EpisodeEntry
from sensors.profiles import load_profiles
from sensors.registry import Camera, Device, Registry, Site
from tests.support.clock import FakeClock

# Second 0 of every script, on the boundary of a minute, a quarter and an hour.
ORIGIN = micros(FakeClock().now())
PROFILES = load_profiles()


def at(seconds: float) -> int:
    """Microseconds of a moment of the script."""
    return ORIGIN + round(seconds * 1e6)


def make_site(number: int = 1) -> Site:
    return Site(
        id=number,
        code=f"site-{number}",
        name=f"工地 {number}",
        name_en=f"Site {number}",
        address="",
        region_code="",
        latitude=None,
        longitude=None,
        time_zone="Asia/Shanghai",
        stage="",
        area_m2=None,
        project_code="",
        permit_number="",
        supervision_number="",
        vision_policy="auto",
        vision_auto_score=0.9,
        enabled=True,
    )


def make_device(
    number: int,
    *,
    site: int = 1,
    kind: str = "dust",
    interval: float = 1.0,
    tags: Sequence[str] = (),
    enabled: bool = True,
) -> Device:
    return Device(
        id=number,
        site_id=site,
        site=f"site-{site}",
        code=f"device-{number}",
        kind=kind,
        name=f"设备 {number}",
        name_en=f"Device {number}",
        secret_hash=None,
        record_number="",
        factory="",
        latitude=None,
        longitude=None,
        clock_offset_ms=0,
        interval_s=interval,
        tags=tuple(tags),
        enabled=enabled,
    )


def make_camera(number: int, *, site: int = 1) -> Camera:
    return Camera(
        id=number,
        site_id=site,
        code=f"camera-{number}",
        name=f"摄像机 {number}",
        name_en=f"Camera {number}",
        url="rtsp://127.0.0.1/none",
        zone="",
        options={},
        latitude=None,
        longitude=None,
        enabled=True,
    )


def make_registry(devices: Sequence[Device], cameras: Sequence[Camera] = ()) -> Registry:
    sites = {item.site_id for item in (*devices, *cameras)}
    return Registry(
        version=1,
        sites={number: make_site(number) for number in sorted(sites)},
        units={},
        site_units=(),
        people={},
        devices={device.id: device for device in devices},
        cameras={camera.id: camera for camera in cameras},
        by_topic={(device.site, device.code): device for device in devices},
    )


def batch(
    rows: Sequence[tuple[int, float, Mapping[str, float]]],
    *,
    arrived: float,
    kind: str = "dust",
    quality: Mapping[str, str] | None = None,
    sites: Mapping[int, int] | None = None,
) -> ReadingBatch:
    """Rows of (device, event second, values); `quality` by channel, for all rows, N where it says nothing."""
    channels = sorted({channel for _, _, values in rows for channel in values})
    letters = {channel: ord((quality or {}).get(channel, "N")) for channel in channels}
    return ReadingBatch(
        kind=kind,
        device=np.array([device for device, _, _ in rows], dtype=np.int32),
        site=np.array([(sites or {}).get(device, 1) for device, _, _ in rows], dtype=np.int32),
        time=np.array([at(second) for _, second, _ in rows], dtype=np.int64),
        values={
            channel: np.array([values.get(channel, np.nan) for _, _, values in rows], dtype=np.float64)
            for channel in channels
        },
        quality={
            channel: np.array([letters[channel] if channel in values else 0 for _, _, values in rows], dtype=np.uint8)
            for channel in channels
        },
        flags=np.zeros(len(rows), dtype=np.uint8),
        arrived=at(arrived),
    )


def episode(
    number: int,
    phase: str,
    *,
    camera: int = 1,
    started: float,
    seen: float,
    site: int = 1,
    score: float = 0.8,
) -> EpisodeEntry:
    return EpisodeEntry(
        episode=number,
        camera=camera,
        site=site,
        kind="no_helmet",
        phase="started" if phase == "started" else "ended",
        started_at=at(started),
        last_seen_at=at(seen),
        ended_at=None if phase == "started" else at(seen),
        peak_score=score,
        zone="",
        frame_sha256=f"{number:064x}",
        crop_sha256=f"{number + 1000:064x}",
        box=(0.0, 0.0, 1.0, 1.0),
        model="test",
    )


def rules(folder: Path, text: str) -> tuple[AnyRule, ...]:
    """The rules that are switched on in a TOML text."""
    path = folder / "rules.toml"
    path.write_text(text, encoding="utf-8")
    return load([path], PROFILES).enabled


PM10 = """
[[rules]]
id = "pm10"
name = "PM10 超限"
name_en = "PM10 over the limit"
kind = "threshold"
severity = "major"
scope = { device_kind = "dust" }
metric = "pm10"
unit = "µg/m³"
raise_above = 150
clear_below = 120
clear_after = "5 s"
"""
