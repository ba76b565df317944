"""Whether every target is complete: its own options, what its sites are registered with, and what has stopped."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator

from alerts import adapters, outbox
from alerts.registration import missing_everywhere
from alerts.standing import standing
from core.clock import Clock
from core.database import connect
from core.errors import SmartsiteError
from core.evidence import EvidenceStore
from core.settings import Settings
from sensors.registry import load_registry
from smartsite.doctor.finding import Finding, fail, ok, warn

_SHOWN = 20


def examine_targets(settings: Settings, *, clock: Clock) -> list[Finding]:
    """Whether each target's adapter takes its options; with one that does not, the alerts process does not start."""
    found = []
    for target in settings.alerts.targets:
        try:
            adapters.create(target, evidence=EvidenceStore(settings.evidence_dir), clock=clock)
        except SmartsiteError as error:
            found.append(fail(f"target {target.name}", error.message, error.hint))
    return found


async def examine(settings: Settings) -> AsyncIterator[Finding]:
    """What the registry lacks for each target, switches and circuits, deliveries that wait for a person."""
    if not settings.alerts.targets:
        return
    async with await connect(settings.database, application="doctor") as connection:
        registry = await load_registry(connection)
        states = {state.target: state for state in await standing(connection)}
        stopped = Counter(item.target for item in await outbox.stopped(connection))
    for target in settings.alerts.targets:
        subject = f"target {target.name}"
        faults = missing_everywhere(target, registry)
        if faults:
            more = f" and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
            yield fail(subject, "; ".join(faults[:_SHOWN]) + more, "add it to the registry; until then nothing is sent")
        else:
            yield ok(subject, "its sites have all that it requires")
        state = states.get(target.name)
        if state is not None and state.off_since is not None:
            fact = f"switched off since {state.off_since:%Y-%m-%d %H:%M}Z by {state.switched_by}: {state.switch_reason}"
            yield warn(subject, fact, "its deliveries wait; switch it on under Administration, Regulators")
        elif state is not None and state.opened_at is not None:
            since = f"{state.opened_at:%Y-%m-%d %H:%M}Z"
            yield warn(subject, f"does not answer since {since}: {state.reason}", "it is tried again by itself")
        if stopped[target.name]:
            yield warn(subject, f"{stopped[target.name]} deliveries wait for a person", "see `smartsite deliveries`")
