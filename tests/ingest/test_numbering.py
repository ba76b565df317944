"""Running numbers: what is missing, late, repeated and begun anew, whoever heard it and in whichever order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ingest.numbering import JUMP, Numbering, Span, joined, note

SECOND = 1_000_000


def heard(*readings: tuple[int, int]) -> list[Span]:
    """Spans of (number, second) as they come in."""
    spans: dict[int, list[Span]] = {}
    for number, second in readings:
        note(spans, 1, number, second * SECOND)
    return spans.get(1, [])


def laid(*parts: list[Span]) -> Numbering:
    numbering = Numbering()
    for spans in parts:
        for span in spans:
            numbering.lay(span)
    return numbering


def told(numbering: Numbering) -> dict[str, int]:
    names = ("received", "missing", "late", "repeated", "restarts")
    return {name: value for name in names if (value := getattr(numbering, name))}


def test_numbers_in_order_are_one_span() -> None:
    assert heard(*[(n, n) for n in range(5, 1000)]) == [Span(5, 999, 5 * SECOND, 999 * SECOND)]


def test_a_gap_is_missing_until_it_is_filled_in() -> None:
    numbering = laid(heard((1, 1), (2, 2), (7, 7)))
    assert told(numbering) == {"received": 3, "missing": 4}
    assert numbering.gap_at == 7 * SECOND
    for span in heard((4, 4), (5, 5)):
        numbering.lay(span)
    assert told(numbering) == {"received": 5, "missing": 2, "late": 2}
    assert numbering.runs[0].gaps == [(3, 3), (6, 6)]
    for span in heard((3, 3), (6, 6), (6, 6)):
        numbering.lay(span)
    assert told(numbering) == {"received": 8, "late": 4, "repeated": 1}


def test_a_restart_begins_a_new_run_and_loses_nothing() -> None:
    numbering = laid(heard((98, 1), (99, 2), (0, 3), (1, 4), (3, 6)))
    assert told(numbering) == {"received": 5, "missing": 1, "restarts": 1}


def test_what_was_kept_over_a_restart_belongs_to_the_run_before() -> None:
    numbering = laid(heard((98, 1), (99, 2), (0, 20), (1, 21)), heard((100, 3), (102, 5)))
    assert told(numbering) == {"received": 6, "missing": 1, "restarts": 1}
    assert [(run.low, run.newest, run.gaps) for run in numbering.runs] == [(98, 102, [(101, 101)]), (0, 1, [])]


def test_a_run_whose_later_numbers_came_first_is_one_run() -> None:
    numbering = laid(heard((98, 1), (99, 2)), heard((5, 25), (6, 26)), heard((0, 20), (1, 21)), heard((2, 22), (4, 24)))
    assert told(numbering) == {"received": 8, "missing": 1, "late": 2, "restarts": 1}


def test_two_workers_who_share_a_device_see_no_gap_in_the_end() -> None:
    one, two = heard((1, 1), (3, 3), (5, 5)), heard((2, 2), (4, 4), (6, 6))
    assert told(laid(one, two)) == {"received": 6, "late": 2}
    assert told(laid(two, one)) == {"received": 6, "late": 2}  # 1 is from before the first number


def test_a_clock_set_back_is_no_restart() -> None:
    assert told(laid(heard((1, 100), (2, 101), (3, 50), (4, 51)))) == {"received": 4}


def test_a_number_far_ahead_is_a_restart() -> None:
    assert told(laid(heard((1, 1), (JUMP + 2, 2)))) == {"received": 2, "restarts": 1}
    assert told(laid(heard((1, 1), (JUMP + 1, 2)))) == {"received": 2, "missing": JUMP - 1}


def test_what_is_too_far_back_stays_missing() -> None:
    numbering = laid(heard(*[(2 * n, n) for n in range(1000)]))
    assert told(numbering) == {"received": 1000, "missing": 999}
    assert len(numbering.runs[0].gaps) == 64
    numbering = laid(heard(*[pair for run in range(10) for pair in ((0, 10 * run), (2, 10 * run + 2))]))
    assert told(numbering) == {"received": 20, "missing": 10, "restarts": 9}
    assert len(numbering.runs) == 4


@given(st.lists(st.integers(0, 30), min_size=1), st.data())
def test_parts_may_come_in_any_order(numbers: list[int], data: st.DataObject) -> None:
    """What is missing does not depend on order, nor on repetition; the first number comes first, it opens the count."""
    readings = [(-1, -1), *data.draw(st.permutations([(number, number) for number in numbers]))]
    cut = data.draw(st.integers(1, len(readings)))
    one, two = heard(*readings[:cut]), heard(*readings[cut:])
    apart = laid(one, two)
    together = laid(joined({1: one}, {1: two} if two else {})[1])
    for numbering in (apart, together):
        assert numbering.missing == max(numbers) + 1 - len(set(numbers))
        assert numbering.received == len(readings)
        assert numbering.repeated == len(numbers) - len(set(numbers))
        assert numbering.restarts == 0


@given(st.lists(st.tuples(st.integers(0, 2**53), st.integers(0, 2**40))))
def test_no_nonsense_breaks_it(readings: list[tuple[int, int]]) -> None:
    numbering = laid(heard(*readings))
    assert numbering.received == len(readings)
    assert numbering.missing >= 0
    for run in numbering.runs:
        assert run.gaps == sorted(run.gaps)
        assert all(run.low < low <= high < run.newest for low, high in run.gaps)
    assert sorted(run.start for run in numbering.runs) == [run.start for run in numbering.runs]
