"""When a device is on line, a camera works and a site is green: decided here for the REST answers and the live push.

Pure functions of rows and the present moment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Literal

from pydantic import BaseModel, Field

Severity = Literal["info", "warning", "major", "critical"]
SiteColour = Literal["green", "yellow", "red", "grey"]
CameraCondition = Literal["unknown", "starting", "online", "stalled", "unreachable", "broken", "disabled"]

# A device may miss two readings before it counts as gone: mobile networks of sites drop that much every day.
_GRACE_INTERVALS = 3
_CAMERA_REPORT = timedelta(seconds=30)


class Reason(BaseModel):
    """Why a site has its colour: a stable code and a sentence in both languages."""

    code: Literal["open_alerts", "offline", "no_data", "ok"] = Field(examples=["open_alerts"])
    zh: str = Field(examples=["1 条严重告警未解除"])
    en: str = Field(examples=["1 serious alert is open"])


def device_online(
    *,
    now: datetime,
    last_seen_at: datetime | None,
    connected: bool | None,
    interval_s: float,
    missed: bool,
    listening_since: datetime | None = None,
) -> bool | None:
    """True: readings arrive as expected; False: they have stopped; None: not known.

    Not known is a device that was never heard, and one whose silence may be ours: ingest listens again since
    `listening_since` (None: for long), and the device's grace has not passed since then.

    `missed`: the offline rule has an open alert. `connected`: what its connection says, None where nothing is known; a
    closed connection shortens the grace to one interval, an open one proves nothing (the peer may have lost power).
    """
    if last_seen_at is None:
        return None
    if missed:
        return False
    grace = timedelta(seconds=(1 if connected is False else _GRACE_INTERVALS) * interval_s)
    if now - last_seen_at <= grace:
        return True
    if listening_since is not None and now - listening_since <= grace:
        return None
    return False


def camera_condition(
    *, now: datetime, state: CameraCondition | None, reason: str | None, updated_at: datetime | None
) -> tuple[CameraCondition, str]:
    """The camera's state and reason as vision reported them, or `stalled` where the reports themselves have stopped."""
    if state is None or updated_at is None:
        return "unknown", ""
    if state == "online" and now - updated_at > _CAMERA_REPORT:
        return "stalled", "no report from the vision worker"
    return state, reason or ""


def camera_online(condition: CameraCondition) -> bool | None:
    """True: frames come; False: they should and do not; None: nothing is known yet, or it is switched off."""
    if condition in ("unknown", "starting", "disabled"):
        return None
    return condition == "online"


def site_state(
    *, alerts: Mapping[Severity, int], devices: Sequence[bool | None], cameras: Sequence[bool | None]
) -> tuple[SiteColour, Reason]:
    """The colour of a site, and why.

    Red: a major or critical alert is open. Yellow: a warning is open, or a device or camera is off line. Grey: nothing
    was ever heard from the site. Green: none of these.
    """
    serious = alerts.get("major", 0) + alerts.get("critical", 0)
    if serious:
        return "red", Reason(
            code="open_alerts", zh=f"{serious} 条严重告警未解除", en=_count(serious, "serious alert", "open")
        )
    if warnings := alerts.get("warning", 0):
        return "yellow", Reason(
            code="open_alerts", zh=f"{warnings} 条预警未解除", en=_count(warnings, "warning", "open")
        )
    lost_devices, lost_cameras = devices.count(False), cameras.count(False)
    if lost_devices or lost_cameras:
        zh = [f"{lost_devices} 台设备离线"] * bool(lost_devices) + [f"{lost_cameras} 路摄像机离线"] * bool(lost_cameras)
        en = [_count(lost_devices, "device", "off line")] * bool(lost_devices)
        en += [_count(lost_cameras, "camera", "off line")] * bool(lost_cameras)
        return "yellow", Reason(code="offline", zh="，".join(zh), en=", ".join(en))
    if not any(devices) and not any(cameras):
        return "grey", Reason(code="no_data", zh="尚未收到任何数据", en="no data yet")
    return "green", Reason(code="ok", zh="正常", en="all is well")


def _count(n: int, noun: str, state: str) -> str:
    return f"{n} {noun} is {state}" if n == 1 else f"{n} {noun}s are {state}"
