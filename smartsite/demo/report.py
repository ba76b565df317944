"""The report of a bounded run: counts a stage, latencies, what was lost or doubled, and a verdict a stage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import Any

from core.clock import micros
from sensors.simulator.journal import Deed
from smartsite.demo import downlink, latency
from smartsite.demo.balance import Balance
from smartsite.demo.chaos import Kill
from smartsite.demo.expected import Reading
from smartsite.demo.ledger import AlertFact, Ledger, Marks

#: How many lines of what was lost or doubled the report holds.
_LINES = 50
_ACCEPTED_MS = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """All that was gathered about a run. ``published`` counts messages, ``readings`` are what they held."""

    mode: str
    seconds: float
    started_at: str
    published: int
    acknowledged: int
    readings: Sequence[Reading]
    deeds: Sequence[Deed]
    stored_at: Mapping[tuple[str, int], float]
    ledger: Ledger
    end: Marks
    balance: Balance
    kills: Sequence[Kill]
    restarts: Mapping[str, int]
    settled: bool


@dataclass(frozen=True, slots=True)
class Stage:
    """Whether a stage did its work."""

    name: str
    ok: bool
    fact: str


def build(run: Run) -> dict[str, Any]:
    """The report as JSON; ``ok`` is the verdict on the whole run."""
    counts = _counts(run)
    stages = _stages(run, counts)
    latencies = _latencies(run)
    return {
        "version": metadata.version("smartsite"),
        "mode": run.mode,
        "started_at": run.started_at,
        "seconds": round(run.seconds, 1),
        "ok": all(stage.ok for stage in stages),
        "stages": [asdict(stage) for stage in stages],
        "counts": counts,
        "latencies_ms": latencies,
        "targets": [_target(latencies)],
        "losses": run.balance.lost[:_LINES],
        "doubles": run.balance.doubled[:_LINES],
        "kills": [asdict(kill) for kill in run.kills],
        "restarts": dict(run.restarts),
    }


def _counts(run: Run) -> dict[str, Any]:
    ledger, begin, end = run.ledger, run.ledger.marks, run.end
    kinds = {alert.id: alert.rule_kind for alert in ledger.alerts}
    accepted: dict[str, Counter[str]] = {"raise": Counter(), "end": Counter()}
    for item in ledger.received:
        accepted[item.phase][kinds[item.alert]] += 1
    return {
        "published": run.published,
        "acknowledged": run.acknowledged,
        "stored": end.stored - begin.stored,
        "duplicates": end.duplicates - begin.duplicates,
        "quarantined": end.quarantined - begin.quarantined,
        "frames_analysed": end.frames - begin.frames,
        "episodes": len(ledger.episodes),
        "alerts": dict(sorted(Counter(alert.rule for alert in ledger.alerts).items())),
        "deliveries_accepted": {phase: dict(sorted(by_kind.items())) for phase, by_kind in accepted.items()},
        "notifications": dict(sorted(Counter(item.state for item in ledger.notifications).items())),
        "notifications_repeated": run.balance.repeated_messages,
        "commands": downlink.counts(ledger, run.deeds),
        "lost": len(run.balance.lost),
        "doubled": len(run.balance.doubled),
    }


def _latencies(run: Run) -> dict[str, Any]:
    """Milliseconds from the publication of a reading; for alerts, of the reading that began a threshold violation.

    Other rules have no single reading that they could be counted from.
    """
    published = {(reading.device, reading.time): reading.published for reading in run.readings}
    begun = [
        (alert, published[key])
        for alert in run.ledger.alerts
        if alert.rule_kind == "threshold" and (key := _key(alert)) in published
    ]
    accepted = {
        item.alert_id: item.accepted_at.timestamp()
        for item in run.ledger.deliveries
        if item.phase == "raise" and item.accepted_at is not None
    }
    told = {
        item.alert_id: item.sent_at.timestamp()
        for item in run.ledger.notifications
        if item.phase == "raised" and item.state == "sent" and item.sent_at is not None
    }
    return {
        "publish_to_acknowledged": latency.summary(
            [reading.acknowledged - reading.published for reading in run.readings if reading.acknowledged is not None]
        ),
        "publish_to_stored": latency.summary(
            [written - published[key] for key, written in run.stored_at.items() if key in published]
        ),
        "publish_to_alert": latency.summary([alert.raised_at.timestamp() - at for alert, at in begun]),
        "publish_to_regulator_accepted": latency.summary(
            [accepted[alert.id] - at for alert, at in begun if alert.id in accepted]
        ),
        "publish_to_notified": latency.summary([told[alert.id] - at for alert, at in begun if alert.id in told]),
        "publish_to_switched_on": latency.summary(
            downlink.reaction_times(run.ledger, run.deeds, {alert.id: at for alert, at in begun})
        ),
        "command_to_reply": latency.summary(downlink.reply_times(run.ledger)),
    }


def _target(latencies: Mapping[str, Any]) -> dict[str, Any]:
    """What the platform promises of a threshold violation; it is no part of the verdict, which is about loss."""
    value = latencies["publish_to_regulator_accepted"]["p99"]
    return {
        "name": "publish_to_regulator_accepted_p99_ms",
        "value": value,
        "op": "<=",
        "target": _ACCEPTED_MS,
        "met": value is not None and value <= _ACCEPTED_MS,
    }


def _key(alert: AlertFact) -> tuple[str, int]:
    return alert.device or "", micros(alert.started_at)


def _stages(run: Run, counts: Mapping[str, Any]) -> list[Stage]:
    ledger = run.ledger
    by_kind = Counter(alert.rule_kind for alert in ledger.alerts)
    stages = [
        Stage("published", run.published > 0, f"{run.published} messages, {run.acknowledged} acknowledged"),
        Stage("stored", counts["stored"] > 0, f"{counts['stored']} readings"),
        Stage("frames analysed", counts["frames_analysed"] > 0, f"{counts['frames_analysed']}"),
        Stage("episodes", counts["episodes"] > 0, f"{counts['episodes']}"),
    ]
    stages += [
        Stage(f"{kind} alerts", by_kind[kind] > 0, f"{by_kind[kind]}")
        for kind in ("threshold", "window", "offline", "vision")
    ]
    for phase, kinds in (("raise", ("threshold", "window", "vision")), ("end", ("threshold",))):
        for kind in kinds:
            number = counts["deliveries_accepted"][phase].get(kind, 0)
            stages.append(Stage(f"{kind} {phase} at the regulator", number > 0, f"{number}"))
    accepted = {item.alert for item in ledger.received}
    for policy in ("auto", "review"):
        arrived = sum(
            alert.rule_kind == "vision" and alert.vision_policy == policy and alert.id in accepted
            for alert in ledger.alerts
        )
        stages.append(Stage(f"vision under policy {policy} at the regulator", arrived > 0, f"{arrived}"))
    sent = counts["notifications"].get("sent", 0)
    stages.append(Stage("notifications", sent > 0, f"{sent} sent, {len(ledger.inbox)} arrived"))
    commands = counts["commands"]
    words = ("sent", "replied", "expired")
    stages.append(Stage("commands", commands["done"] > 0, ", ".join(f"{commands[word]} {word}" for word in words)))
    stages.append(
        Stage("settled", run.settled, "all was delivered in time" if run.settled else "something still waited")
    )
    for name, lines in (("lost", run.balance.lost), ("doubled", run.balance.doubled)):
        stages.append(Stage(name, not lines, f"{len(lines)}{': ' + lines[0] if lines else ''}"))
    stages += [
        Stage(f"{kill.part} back after kill -9", kill.back_after_s is not None, f"after {kill.back_after_s} s")
        for kill in run.kills
    ]
    return stages
