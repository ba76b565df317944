"""The report says which stage failed, and holds the figures that were promised."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from smartsite.demo import report
from smartsite.demo.balance import Balance
from smartsite.demo.chaos import Kill
from smartsite.demo.ledger import Marks
from smartsite.demo.report import Run
from tests.smartsite.test_balance import ALERT, RAISE, READING, START, TIME, TOLD, WHOLE

PUBLISHED = START.timestamp()
RUN = Run(
    mode="endpoint",
    seconds=60.0,
    started_at="2026-08-01T00:00:00+00:00",
    published=1,
    acknowledged=1,
    readings=[replace(READING, published=PUBLISHED, acknowledged=PUBLISHED + 0.02)],
    deeds=[],
    stored_at={("a/d", TIME): PUBLISHED + 0.01},
    ledger=replace(
        WHOLE,
        deliveries=[replace(RAISE, accepted_at=START + timedelta(seconds=2.5)), WHOLE.deliveries[1]],
        notifications=[replace(TOLD, sent_at=START + timedelta(seconds=2))],
    ),
    end=Marks(alert=1, episode=1, frames=30, stored=1, duplicates=2, quarantined=3, command=0, decision=0),
    balance=Balance([], [], 0),
    kills=[],
    restarts={"ingest": 0},
    settled=True,
)


def failed(run: Run) -> set[str]:
    return {stage["name"] for stage in report.build(run)["stages"] if not stage["ok"]}


def test_counts_are_those_of_the_run_alone() -> None:
    counts = report.build(replace(RUN, ledger=replace(RUN.ledger, marks=Marks(0, 0, 10, 0, 1, 1, 0, 0))))["counts"]
    assert counts == {
        "published": 1,
        "acknowledged": 1,
        "stored": 1,
        "duplicates": 1,
        "quarantined": 2,
        "frames_analysed": 20,
        "episodes": 1,
        "alerts": {"pm10": 1},
        "deliveries_accepted": {"raise": {"threshold": 1}, "end": {"threshold": 1}},
        "notifications": {"sent": 1},
        "notifications_repeated": 0,
        "commands": {
            "requested": 0,
            "sent": 0,
            "replied": 0,
            "done": 0,
            "failed": 0,
            "expired": 0,
            "waiting": 0,
            "heard_again": 0,
            "decisions": {},
        },
        "lost": 0,
        "doubled": 0,
    }


def test_latencies_begin_at_the_publication() -> None:
    built = report.build(RUN)
    assert {name: figures["p99"] for name, figures in built["latencies_ms"].items()} == {
        "publish_to_acknowledged": 20.0,
        "publish_to_stored": 10.0,
        "publish_to_alert": 1000.0,
        "publish_to_regulator_accepted": 2500.0,
        "publish_to_notified": 2000.0,
        "publish_to_switched_on": None,
        "command_to_reply": None,
    }
    (target,) = built["targets"]
    assert (target["value"], target["met"]) == (2500.0, False)


def test_stages_that_did_nothing_are_named() -> None:
    assert failed(RUN) == {
        "window alerts",
        "offline alerts",
        "vision alerts",
        "window raise at the regulator",
        "vision raise at the regulator",
        "vision under policy auto at the regulator",
        "vision under policy review at the regulator",
        "commands",
    }
    assert not report.build(RUN)["ok"]


def test_loss_doubling_and_a_part_that_stayed_away_fail_the_run() -> None:
    worse = replace(
        RUN, balance=Balance(["a reading"], ["an alert"], 0), settled=False, kills=[Kill("ingest", 1, None)]
    )
    assert failed(worse) - failed(RUN) == {"lost", "doubled", "settled", "ingest back after kill -9"}
    built = report.build(worse)
    assert (built["counts"]["lost"], built["losses"], built["doubles"]) == (1, ["a reading"], ["an alert"])


def test_alert_whose_reading_is_not_of_this_run_has_no_latency() -> None:
    late = replace(RUN, ledger=replace(RUN.ledger, alerts=[replace(ALERT, started_at=START + timedelta(seconds=9))]))
    assert report.build(late)["latencies_ms"]["publish_to_alert"]["count"] == 0
