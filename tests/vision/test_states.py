from __future__ import annotations

from datetime import timedelta

from prometheus_client import REGISTRY

from tests.support.clock import FakeClock
from vision import wire
from vision.states import StateBoard


def test_counts_go_on_when_the_capture_process_begins_anew() -> None:
    status = StateBoard(FakeClock()).status(1, "alpha/gate")
    for received, gated in ((10, 4), (30, 9), (0, 0), (5, 2)):
        status.count(wire.Figures(frames_in=received, gated=gated))
    assert (status.frames_in, status.frames_gated) == (35, 11)


def test_since_is_the_moment_of_the_change_and_not_of_its_repetition() -> None:
    clock = FakeClock()
    status = StateBoard(clock).status(1, "alpha/gate")
    began = clock.now()
    assert status.change("unreachable", reason="refused", now=began)
    assert not status.change("unreachable", reason="refused", now=began + timedelta(seconds=9))
    assert status.since == began
    assert status.change("unreachable", reason="time_out", now=began + timedelta(seconds=10))
    assert status.since == began + timedelta(seconds=10)


def test_cameras_that_are_gone_are_forgotten() -> None:
    board = StateBoard(FakeClock())
    board.status(1, "alpha/gate").change("online", now=FakeClock().now())
    board.status(2, "alpha/yard")
    board.keep({1})
    assert (len(board), board.online()) == (1, 1)


def test_the_metrics_tell_state_reason_and_rates() -> None:
    clock = FakeClock()
    status = StateBoard(clock).status(1, "alpha/metered")
    status.change("online", now=clock.now())
    status.count(wire.Figures(frames_in=50, fps=25, key_interval_s=2, decode_ms=4))
    status.analysed(0.02)
    status.change("stalled", reason="no_data", now=clock.now() + timedelta(seconds=7))

    status.judged_in(frozenset({"night", "noisy"}))
    status.judged_in(frozenset({"noisy"}))

    def value(name: str, **labels: str) -> float | None:
        return REGISTRY.get_sample_value(f"smartsite_vision_camera_{name}", {"camera": "alpha/metered", **labels})

    assert value("state", state="stalled", reason="no_data") == 1
    assert value("state", state="online", reason="") == 0
    assert [value("condition", condition=one) for one in ("night", "noisy", "hazy")] == [0, 1, None]
    assert value("since_seconds") == clock.now().timestamp() + 7
    assert (value("fps"), value("key_interval_seconds")) == (25, 2)
    assert (value("decode_seconds"), value("inference_seconds")) == (0.004, 0.02)
