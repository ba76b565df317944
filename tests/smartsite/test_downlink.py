"""The account of a run's commands: what is lost, what is doubled, and what merely was on its way."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from sensors.simulator.journal import Deed
from smartsite.demo import downlink, report
from smartsite.demo.ledger import CommandFact, DecisionFact, Ledger
from tests.smartsite.test_balance import START, WHOLE
from tests.smartsite.test_report import RUN, failed

ENDED = START.timestamp() + 60
ON = CommandFact(
    id=5,
    device="a/spray",
    name="spray_on",
    state="done",
    reason="",
    requested_by="linkage:dust",
    requested_at=START + timedelta(seconds=1),
    expires_at=START + timedelta(seconds=31),
    sent_at=START + timedelta(seconds=1.1),
    replied_at=START + timedelta(seconds=1.25),
)
OFF = replace(ON, id=6, name="spray_off", requested_at=START + timedelta(seconds=30))
ON_DECIDED = DecisionFact(id=1, linkage="dust", device="a/spray", decision="on", alert_id=1, command_id=5)
OFF_DECIDED = replace(ON_DECIDED, id=2, decision="off", alert_id=None, command_id=6)
ON_DONE = Deed(device="a/spray", id=5, name="spray_on", at=round((START.timestamp() + 1.2) * 1e6), ok=True, replied=1)
OFF_DONE = replace(ON_DONE, id=6, name="spray_off")
LEDGER = replace(WHOLE, commands=[ON, OFF], decisions=[ON_DECIDED, OFF_DECIDED])
DEEDS = [ON_DONE, OFF_DONE]


def lost(ledger: Ledger = LEDGER, deeds: list[Deed] = DEEDS) -> list[str]:
    return list(downlink.lost(ledger, deeds, ended_at=ENDED))


def with_off(**changes: object) -> Ledger:
    return replace(LEDGER, commands=[ON, replace(OFF, **changes)])  # type: ignore[arg-type]


def test_commands_that_both_sides_know_the_end_of_are_in_balance() -> None:
    assert lost() == []
    assert list(downlink.doubled(LEDGER, DEEDS)) == []


def test_done_without_the_device_is_lost() -> None:
    assert lost(deeds=[ON_DONE]) == ["command 6 (spray_off) to a/spray: done, and its device has never heard it"]


def test_sides_that_disagree_are_named() -> None:
    refused = replace(OFF_DONE, ok=False)
    assert "its device says otherwise" in lost(deeds=[ON_DONE, refused])[0]
    assert lost(with_off(state="failed"), [ON_DONE, refused]) == []


def test_an_acknowledged_reply_that_is_not_there_is_lost() -> None:
    unheard = with_off(state="sent", replied_at=None, requested_at=START + timedelta(seconds=59))
    assert "is not there" in lost(unheard)[0]
    # Without its PUBACK the device knows that nobody may have heard it.
    assert lost(unheard, [ON_DONE, replace(OFF_DONE, replied=None)]) == []


def test_expired_while_the_device_was_there_is_lost() -> None:
    late = with_off(state="expired", replied_at=None, expires_at=START + timedelta(seconds=59), reason="why")
    assert lost(late, [ON_DONE]) == ["command 6 (spray_off) to a/spray: expired while its device was there: why"]
    gone = with_off(state="expired", replied_at=None, expires_at=START + timedelta(seconds=61))
    assert lost(gone, [ON_DONE]) == []


def test_what_waits_is_lost_unless_it_was_asked_for_when_the_devices_went() -> None:
    assert "still queued" in lost(with_off(state="queued", replied_at=None), [ON_DONE])[0]
    late = START + timedelta(seconds=59)
    assert lost(with_off(state="queued", replied_at=None, requested_at=late), [ON_DONE]) == []


def test_a_decision_without_its_command_and_a_command_from_nowhere_are_lost() -> None:
    (line,) = lost(replace(LEDGER, commands=[ON]), [ON_DONE])
    assert line == "decision 2 of dust (off, a/spray): no command"
    assert "is not in the database" in lost(deeds=[*DEEDS, replace(ON_DONE, id=99)])[0]
    (doubt,) = downlink.doubled(replace(LEDGER, decisions=[ON_DECIDED]), DEEDS)
    assert "no decision tells of it" in doubt


def test_carried_out_twice_and_given_twice_are_doubled() -> None:
    assert list(downlink.doubled(LEDGER, [*DEEDS, ON_DONE])) == ["command 5: a/spray carried it out 2 times"]
    twice = [ON, replace(ON, id=7), OFF]
    decided = [*LEDGER.decisions, replace(ON_DECIDED, id=3, command_id=7)]
    (line,) = downlink.doubled(replace(LEDGER, commands=twice, decisions=decided), DEEDS)
    assert line == "command 7 (spray_on) to a/spray: linkage:dust had given it already, as command 5"
    # After a failure it is tried again, and after somebody's hand anything may be right.
    for between in ([replace(ON, state="failed")], [ON, replace(OFF, requested_by="p1")]):
        again = replace(LEDGER, commands=[*between, replace(ON, id=7)], decisions=decided)
        assert list(downlink.doubled(again, DEEDS)) == []


def test_the_report_tells_and_fails_without_any_command() -> None:
    run = replace(RUN, ledger=replace(RUN.ledger, commands=LEDGER.commands, decisions=LEDGER.decisions))
    built = report.build(replace(run, deeds=[ON_DONE, replace(OFF_DONE, again=2)]))
    counts = built["counts"]["commands"]
    assert (counts["requested"], counts["sent"], counts["replied"], counts["expired"]) == (2, 2, 2, 0)
    assert (counts["heard_again"], counts["decisions"]) == (2, {"off": 1, "on": 1})
    assert built["latencies_ms"]["command_to_reply"]["max"] == 250.0
    assert built["latencies_ms"]["publish_to_switched_on"]["p50"] == 1200.0
    assert failed(RUN) - failed(run) == {"commands"}
