"""When a device is on line and a camera works, as tables."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from api.states import CameraCondition, camera_condition, camera_online, device_online, site_state

NOW = datetime(2026, 8, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("ago_s", "connected", "missed", "online"),
    [
        (None, None, False, None),  # never heard
        (None, True, False, None),
        (0, None, False, True),
        (30, None, False, True),  # three intervals are the grace
        (31, None, False, False),
        (31, True, False, False),  # an open connection proves nothing
        (10, False, False, True),
        (11, False, False, False),  # closed: one interval
        (1, True, True, False),  # the offline rule has spoken
    ],
)
def test_device(ago_s: float | None, connected: bool | None, missed: bool, online: bool | None) -> None:
    seen = None if ago_s is None else NOW - timedelta(seconds=ago_s)
    assert device_online(now=NOW, last_seen_at=seen, connected=connected, interval_s=10, missed=missed) is online


@pytest.mark.parametrize(
    ("ago_s", "listening_s", "connected", "online"),
    [
        (600, 5, None, None),  # silent, and so were we
        (600, 30, None, None),
        (600, 31, None, False),
        (600, 10, False, None),
        (600, 11, False, False),
        (20, 5, None, True),
        (None, 5, None, None),
    ],
)
def test_silence_of_our_own_is_held_against_nobody(
    ago_s: float | None, listening_s: float, connected: bool | None, online: bool | None
) -> None:
    found = device_online(
        now=NOW,
        last_seen_at=None if ago_s is None else NOW - timedelta(seconds=ago_s),
        connected=connected,
        interval_s=10,
        missed=False,
        listening_since=NOW - timedelta(seconds=listening_s),
    )
    assert found is online


@pytest.mark.parametrize(
    ("state", "ago_s", "shown", "online"),
    [
        (None, 0, "unknown", None),
        ("starting", 0, "starting", None),
        ("online", 30, "online", True),
        ("online", 31, "stalled", False),  # the vision worker is silent
        ("stalled", 0, "stalled", False),
        ("unreachable", 500, "unreachable", False),
        ("disabled", 0, "disabled", None),
    ],
)
def test_camera(state: CameraCondition | None, ago_s: float, shown: str, online: bool | None) -> None:
    reported = None if state is None else NOW - timedelta(seconds=ago_s)
    condition, _ = camera_condition(now=NOW, state=state, reason="", updated_at=reported)
    assert condition == shown
    assert camera_online(condition) is online


def test_an_info_alert_leaves_a_site_green() -> None:
    assert site_state(alerts={"info": 3}, devices=[True, None], cameras=[])[0] == "green"


def test_devices_that_were_never_heard_do_not_make_a_site_yellow() -> None:
    assert site_state(alerts={}, devices=[None, None], cameras=[None])[0] == "grey"
