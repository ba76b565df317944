"""The account of a run sees what is missing and what is there twice."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from smartsite.demo.balance import Balance, settle
from smartsite.demo.expected import Reading, Violation
from smartsite.demo.ledger import (
    AlertFact,
    DeliveryFact,
    EpisodeFact,
    Ledger,
    Marks,
    NotificationFact,
    Received,
)

START = datetime(2026, 8, 1, tzinfo=UTC)
TIME = round(START.timestamp() * 1_000_000)
READING = Reading(device="a/d", kind="dust", time=TIME, values={"pm10": 400.0}, published=1.0, acknowledged=1.1)
ALERT = AlertFact(
    id=1,
    rule="pm10",
    rule_kind="threshold",
    subject="device:1",
    started_at=START,
    raised_at=START + timedelta(seconds=1),
    ended_at=START + timedelta(seconds=9),
    cleared_at=START + timedelta(seconds=10),
    verdict=None,
    site="a",
    vision_policy="auto",
    device="a/d",
    episode_id=None,
)
RAISE = DeliveryFact(1, "sandbox", "raise", 0, "key-raise", "validated", START, "")
END = replace(RAISE, phase="end", idempotency_key="key-end")
TOLD = NotificationFact(1, "raised", 7, "json", "sent", "first_raise", START)
WHOLE = Ledger(
    marks=Marks(0, 0, 0, 0, 0, 0, 0, 0),
    alerts=[ALERT],
    deliveries=[RAISE, END],
    notifications=[TOLD],
    episodes=[EpisodeFact(1, "a", told=True)],
    received=[Received("key-raise", 1, "raise", 0, 1), Received("key-end", 1, "end", 0, 1)],
    inbox=[(1, "raised")],
    commands=[],
    decisions=[],
)


def balance(ledger: Ledger = WHOLE, *, rows: set[tuple[str, int]] | None = None, stored: int = 1) -> Balance:
    return settle(
        readings=[READING],
        rows={("a/d", TIME)} if rows is None else rows,
        new_rows=1,
        stored=stored,
        violations=[Violation("pm10", "a/d", READING)],
        ledger=ledger,
        deeds=[],
        ended_at=START.timestamp() + 60,
    )


def test_whole_run_is_in_balance() -> None:
    assert balance() == Balance([], [], 0)


def test_acknowledged_reading_without_row_is_lost() -> None:
    assert balance(rows=set()).lost == ["reading of a/d at 00:00:00.000000: acknowledged, and not in its table"]


def test_violation_without_alert_is_lost() -> None:
    (line,) = balance(replace(WHOLE, alerts=[], deliveries=[], notifications=[], received=[], inbox=[])).lost
    assert line == "violation of pm10 by a/d at 00:00:00.000000: no alert"


def test_alert_of_another_reading_is_no_match() -> None:
    late = replace(ALERT, started_at=START + timedelta(seconds=1))
    assert any("no alert" in line for line in balance(replace(WHOLE, alerts=[late])).lost)


def test_delivery_that_did_not_arrive_is_lost() -> None:
    (line,) = balance(replace(WHOLE, received=WHOLE.received[:1])).lost
    assert line == "end of alert 1 to sandbox: validated, not at the regulator."


def test_end_that_was_never_put_in_the_outbox_is_lost() -> None:
    (line,) = balance(replace(WHOLE, deliveries=[RAISE], received=WHOLE.received[:1])).lost
    assert "its end was never put in the outbox" in line


def test_what_waits_for_a_review_or_was_withdrawn_is_not_lost() -> None:
    for state in ("held", "withdrawn"):
        waiting = [replace(RAISE, state=state), replace(END, state=state)]
        assert balance(replace(WHOLE, deliveries=waiting, received=[])).lost == []


def test_episode_that_the_engine_never_saw_is_lost() -> None:
    assert balance(replace(WHOLE, episodes=[EpisodeFact(3, "a", told=False)])).lost == ["episode 3 at a: no alert"]


def test_message_that_did_not_arrive_is_lost() -> None:
    assert balance(replace(WHOLE, inbox=[])).lost == ["message to person 7 about alert 1 (raised): did not arrive"]
    failed = replace(TOLD, state="failed")
    # A digest that tells of two is one message, which arrives as the first.
    both = [replace(TOLD, message="1-1"), replace(TOLD, phase="cleared", message="1-1")]
    assert balance(replace(WHOLE, notifications=both)).lost == []
    other = [*both, replace(TOLD, phase="cleared", message="2-1")]
    assert len(balance(replace(WHOLE, notifications=other)).lost) == 1
    assert balance(replace(WHOLE, notifications=[failed])).lost == [
        "message to person 7 about alert 1 (raised): failed"
    ]


def test_row_that_was_counted_twice_is_doubled() -> None:
    (line,) = balance(stored=2).doubled
    assert line == "1 readings: ingest counted 2 new rows, the tables have 1 more"


def test_second_alert_of_the_same_violation_is_doubled() -> None:
    (line,) = balance(replace(WHOLE, alerts=[ALERT, replace(ALERT, id=2, cleared_at=None)])).doubled
    assert line == "violation of pm10 by device:1 at 00:00:00.000000: 2 alerts"


def test_regulator_that_holds_a_phase_twice_is_doubled() -> None:
    twice = [Received("key-raise", 1, "raise", 0, 2), WHOLE.received[1]]
    assert balance(replace(WHOLE, received=twice)).doubled == [
        "raise of alert 1 (amendment 0): the regulator accepted it 2 times"
    ]
    other_key = [*WHOLE.received, Received("another", 1, "raise", 0, 1)]
    assert len(balance(replace(WHOLE, received=other_key)).doubled) == 1


def test_repeated_message_is_counted_and_two_people_told_are_none() -> None:
    again = balance(replace(WHOLE, inbox=[(1, "raised"), (1, "raised")]))
    assert (again.repeated_messages, again.doubled) == (1, [])
    both = replace(WHOLE, notifications=[TOLD, replace(TOLD, person_id=8)], inbox=[(1, "raised"), (1, "raised")])
    assert balance(both).repeated_messages == 0
