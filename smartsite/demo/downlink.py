"""What became of the run's commands: the platform's rows against what the devices know they carried out.

Pure functions; each item is a line for the report. No simulated sprayer ever loses power, so that a command which
expired while the devices were there is one that was lost.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sensors.simulator.journal import Deed
from smartsite.demo.ledger import CommandFact, Ledger

#: A command that was asked for less than this before the devices went may still have been on its way.
_ON_ITS_WAY_S = 20.0
_SWITCHES = frozenset({"on", "off"})


def lost(ledger: Ledger, deeds: Sequence[Deed], *, ended_at: float) -> Iterator[str]:
    """Commands that vanished, that only one side knows the end of, and decisions without their command.

    ``ended_at``: when the devices went, in seconds since the epoch.
    """
    done = {deed.id: deed for deed in deeds}
    for command in ledger.commands:
        fault = _fault(command, done.get(command.id), ended_at)
        if fault:
            yield f"{_command(command)}: {fault}"
    given = {command.id for command in ledger.commands}
    for deed in deeds:
        if deed.id not in given:
            yield f"command {deed.id} ({deed.name}): {deed.device} carried it out, and it is not in the database"
    for decision in ledger.decisions:
        if decision.decision in _SWITCHES and decision.command_id not in given:
            yield f"decision {decision.id} of {decision.linkage} ({decision.decision}, {decision.device}): no command"


def doubled(ledger: Ledger, deeds: Sequence[Deed]) -> Iterator[str]:
    """Commands that were carried out twice, or that a linkage gave twice for one thing."""
    for (device, number), count in Counter((deed.device, deed.id) for deed in deeds).items():
        if count > 1:
            yield f"command {number}: {device} carried it out {count} times"
    decided = {decision.command_id for decision in ledger.decisions}
    last: dict[str, CommandFact] = {}
    for command in ledger.commands:
        if not command.requested_by.startswith("linkage:"):
            last.pop(command.device, None)
            continue
        if command.id not in decided:
            yield f"{_command(command)}: by {command.requested_by}, and no decision tells of it"
        before = last.get(command.device)
        # After one that failed the linkage tries again.
        if before is not None and before.name == command.name and before.state == "done":
            yield f"{_command(command)}: {before.requested_by} had given it already, as command {before.id}"
        last[command.device] = command


def counts(ledger: Ledger, deeds: Sequence[Deed]) -> dict[str, Any]:
    """Figures of the run's commands for the report."""
    states = Counter(command.state for command in ledger.commands)
    return {
        "requested": len(ledger.commands),
        "sent": sum(command.sent_at is not None for command in ledger.commands),
        "replied": sum(command.replied_at is not None for command in ledger.commands),
        "done": states["done"],
        "failed": states["failed"],
        "expired": states["expired"],
        "waiting": states["queued"] + states["sent"],
        "heard_again": sum(deed.again for deed in deeds),
        "decisions": dict(sorted(Counter(decision.decision for decision in ledger.decisions).items())),
    }


def reply_times(ledger: Ledger) -> list[float]:
    """Seconds from the request of a command to its reply."""
    return [
        (command.replied_at - command.requested_at).total_seconds()
        for command in ledger.commands
        if command.replied_at is not None
    ]


def reaction_times(ledger: Ledger, deeds: Sequence[Deed], begun: Mapping[int, float]) -> list[float]:
    """Seconds from the reading that began an alert (its publication in ``begun``) to a device that switches for it."""
    done = {deed.id: deed.at / 1e6 for deed in deeds}
    return [
        done[decision.command_id] - begun[decision.alert_id]
        for decision in ledger.decisions
        if decision.command_id is not None
        and decision.alert_id is not None
        and decision.command_id in done
        and decision.alert_id in begun
    ]


def _fault(command: CommandFact, deed: Deed | None, ended_at: float) -> str:
    """How a command was lost; empty where it was not."""
    if command.state in ("done", "failed"):
        if deed is None:
            return f"{command.state}, and its device has never heard it"
        if deed.ok != (command.state == "done"):
            return f"{command.state}, and its device says otherwise"
    elif deed is not None and deed.replied is not None and command.replied_at is None:
        return f"{command.state}, and the reply that its device had acknowledged is not there"
    elif command.state == "expired" and command.replied_at is None and command.expires_at.timestamp() < ended_at:
        return f"expired while its device was there: {command.reason}"
    elif command.state != "expired" and command.requested_at.timestamp() < ended_at - _ON_ITS_WAY_S:
        return f"still {command.state} though its device was there"
    return ""


def _command(command: CommandFact) -> str:
    return f"command {command.id} ({command.name}) to {command.device}"
