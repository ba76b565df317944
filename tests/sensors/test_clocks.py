"""Wrong clocks: the eight-hour error both ways, slow and fast ones, and what is no error."""

from __future__ import annotations

from datetime import timedelta

import pytest

from sensors.clocks import skew_of, suggest

CHINA = timedelta(hours=8)


@pytest.mark.parametrize(
    ("skew_s", "offset_ms", "expected"),
    [
        (-0.4, 0, None),
        (-119, 0, None),
        (28_797, 0, (-28_800_000, "local_time")),
        (-28_803, 0, (28_800_000, "local_time")),
        (28_800 - 500, 0, (-28_800_000, "local_time")),
        (900.4, 0, (-900_000, "ahead")),
        (-86_400, 0, (86_400_000, "behind")),
        # A correction that is in force and wrong by now.
        (28_800, 28_800_000, (0, "local_time")),
        (300, 5_000, (-295_000, "ahead")),
    ],
)
def test_suggestions(skew_s: float, offset_ms: int, expected: tuple[int, str] | None) -> None:
    found = suggest(timedelta(seconds=skew_s), offset_ms=offset_ms, zone=CHINA)
    assert (found and (found.clock_offset_ms, found.reason)) == expected


def test_a_site_on_utc_has_no_zone_to_forget() -> None:
    found = suggest(timedelta(seconds=300), offset_ms=0, zone=timedelta(0))
    assert found is not None
    assert found.reason == "ahead"


def test_one_message_that_was_held_back_does_not_move_the_skew() -> None:
    assert skew_of([timedelta(seconds=s) for s in (-1, -2, -4000, -1, -1)]) == timedelta(seconds=-1)
