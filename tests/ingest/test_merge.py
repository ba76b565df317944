"""Same key, three cases: within a batch, checked against a model that takes one reading after another."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ingest.merge import fold
from ingest.rows import Rows
from sensors.profiles import Channel, Profile

PROFILE = Profile(
    kind="tiny",
    name="",
    name_en="",
    channels=tuple(Channel(name=name, type="real", unit="", label="", label_en="") for name in ("a", "b", "c")),
)
NONE = (math.nan, 0)
CELLS = st.sampled_from([NONE, NONE, (1.0, ord("N")), (2.0, ord("N")), (1.0, ord("T")), (math.nan, ord("D"))])
READINGS = st.lists(
    st.tuples(st.integers(1, 2), st.integers(1, 2), st.lists(CELLS, min_size=3, max_size=3)), min_size=1, max_size=12
)


def rows_of(readings: list[tuple[int, int, list[tuple[float, int]]]]) -> Rows:
    """Columns of (device, time, cells); the message is the place."""
    count = len(readings)
    return Rows(
        profile=PROFILE,
        device=np.array([device for device, _, _ in readings], dtype=np.int32),
        site=np.ones(count, dtype=np.int32),
        time=np.array([time for _, time, _ in readings], dtype=np.int64),
        flags=np.zeros(count, dtype=np.uint8),
        values=np.array([[value for value, _ in cells] for _, _, cells in readings]),
        quality=np.array([[letter for _, letter in cells] for _, _, cells in readings], dtype=np.uint8),
        message=np.arange(count, dtype=np.int32),
        arrived=np.zeros(count, dtype=np.int64),
    )


def one_after_another(readings: list[tuple[int, int, list[tuple[float, int]]]]) -> tuple[dict, list[str]]:
    """The rule in plain words."""
    table: dict[tuple[int, int], list[tuple[float, int]]] = {}
    became = []
    for device, time, cells in readings:
        there = table.get((device, time))
        if there is None:
            table[device, time] = list(cells)
            became.append("new")
            continue
        filled = conflict = False
        for place, (value, letter) in enumerate(cells):
            old_value, old_letter = there[place]
            if letter == 0:
                continue
            if math.isnan(old_value) and (not math.isnan(value) or old_letter == 0):
                there[place] = (value, letter)
                filled = True
            elif letter != old_letter or not (value == old_value or (math.isnan(value) and math.isnan(old_value))):
                conflict = True
        became.append("conflict" if conflict else "filled" if filled else "duplicate")
    return table, became


@given(READINGS)
def test_a_batch_is_folded_as_if_readings_came_one_by_one(readings: list) -> None:
    folded = fold(rows_of(readings))
    table, became = one_after_another(readings)
    assert len(folded.rows) == len(table)
    for place in range(len(folded.rows)):
        key = int(folded.rows.device[place]), int(folded.rows.time[place])
        cells = zip(folded.rows.values[place].tolist(), folded.rows.quality[place].tolist(), strict=True)
        assert str(list(cells)) == str(table[key])
    for outcome, places in (
        ("filled", folded.filled),
        ("duplicate", folded.duplicates),
        ("conflict", folded.conflicts),
    ):
        assert sorted(places.tolist()) == [place for place, found in enumerate(became) if found == outcome]


def test_values_are_compared_as_the_table_holds_them() -> None:
    # 0.1 and the float32 next to it are the same value in a `real` column.
    near = float(np.float32(0.1))
    folded = fold(rows_of([(1, 1, [(0.1, ord("N")), NONE, NONE]), (1, 1, [(near, ord("N")), NONE, NONE])]))
    assert folded.duplicates.tolist() == [1]
