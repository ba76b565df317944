"""All rules over all devices and cameras of one registry."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from alerts.engine import snapshot
from alerts.engine.composite import composites
from alerts.engine.daycount import DayCountEvaluator
from alerts.engine.evaluator import Evaluator, RuleState
from alerts.engine.fleet import Fleet
from alerts.engine.offline import OfflineEvaluator
from alerts.engine.reference import ReferenceEvaluator
from alerts.engine.sightings import SightingEvaluator
from alerts.engine.states import StateEvaluator
from alerts.engine.stuck import StuckEvaluator
from alerts.engine.thresholds import ThresholdEvaluator
from alerts.engine.transitions import Progress, Standing, Transition
from alerts.engine.violations import restore
from alerts.engine.windows import WindowEvaluator, alike
from alerts.rules.composite import CompositeRule
from alerts.rules.model import (
    AnyRule,
    CountRule,
    DayCountRule,
    OfflineRule,
    StateRule,
    StuckRule,
    ThresholdRule,
    VisionRule,
    WindowRule,
)
from sensors.batch import ReadingBatch
from sensors.entries import EpisodeEntry
from sensors.profiles import Profile
from sensors.registry import Device, Registry

logger = logging.getLogger(__name__)


class Engine:
    """Rules and devices are fixed: for new ones a new engine is made, which loads the old one's `dump`.

    `rules` are those in force, the caller leaves out what is not enabled; `profiles` are the device kinds by name. Not
    thread-safe.
    """

    def __init__(self, rules: Iterable[AnyRule], registry: Registry, profiles: Mapping[str, Profile]) -> None:
        rules = tuple(rules)
        by_kind: dict[str, list[Device]] = {}
        for device in registry.devices.values():
            if device.enabled:
                by_kind.setdefault(device.kind, []).append(device)
        self._fleets = {kind: Fleet(kind, devices) for kind, devices in by_kind.items()}
        self._evaluators: dict[str, tuple[Evaluator, ...]] = {
            kind: tuple(_evaluators(rules, fleet, registry, profiles.get(kind))) for kind, fleet in self._fleets.items()
        }
        self._composites = composites(
            [rule for rule in rules if isinstance(rule, CompositeRule)], self._fleets, registry, profiles
        )
        for composite in self._composites:
            self._evaluators[composite.fleet.kind] += (composite,)
            for part in composite.parts:
                if part.fleet.kind in self._evaluators:
                    self._evaluators[part.fleet.kind] += (part,)
        self._states: dict[str, list[RuleState]] = {rule.id: [] for rule in rules}
        for evaluator in self._all():
            for state in evaluator.states:
                self._states[state.rule.id].append(state)
        self._sightings = [SightingEvaluator(rule, registry) for rule in rules if isinstance(rule, VisionRule)]
        self.rules = {rule.id: rule for rule in rules}
        self._digests = {rule.id: rule.state_digest() for rule in rules}

    def feed(self, *batches: ReadingBatch) -> list[Transition]:
        """Evaluate stored readings in the order of the log; many batches at once cost less than one by one."""
        by_kind: dict[str, list[ReadingBatch]] = {}
        for batch in batches:
            by_kind.setdefault(batch.kind, []).append(batch)
        told: list[Transition] = []
        for kind, group in by_kind.items():
            fleet = self._fleets.get(kind)
            if fleet is None:
                continue
            rows = fleet.rows(group)
            np.maximum.at(fleet.heard, rows.slots, rows.arrived)
            for evaluator in self._evaluators[kind]:
                told += evaluator.feed(rows)
        if self._composites:
            told += self._feed_composites(batches)
        return told

    def _feed_composites(self, batches: Sequence[ReadingBatch]) -> list[Transition]:
        """Composite rules look at several kinds: theirs is the order of the log."""
        told: list[Transition] = []
        for batch in batches:
            concerned = [one for one in self._composites if batch.kind in one.kinds]
            if concerned and batch.kind in self._fleets:
                rows = self._fleets[batch.kind].rows([batch])
                for composite in concerned:
                    told += composite.take(batch.kind, rows)
        return told

    def feed_episode(self, entry: EpisodeEntry) -> list[Transition]:
        """Evaluate the start or the end of a vision episode."""
        return [told for evaluator in self._sightings for told in evaluator.feed(entry)]

    def tick(self, now: int, *, listening_since: int, heard_until: int | None = None) -> list[Transition]:
        """Judge absence at wall time `now`, by which everything in the log has been fed.

        Of devices silence counts from `listening_since` to `heard_until` (`now` where it is None): what arrived outside
        of it may be anywhere but in the log.
        """
        until = now if heard_until is None else heard_until
        told = [told for evaluator in self._all() for told in evaluator.tick(until, listening_since)]
        return told + [told for evaluator in self._sightings for told in evaluator.tick(now)]

    def progress(self) -> list[Progress]:
        """Open violations whose values moved since the last call."""
        return [moved for evaluator in self._all() for moved in evaluator.progress()]

    def hear(self, device: int, arrived: int) -> None:
        """Learn from elsewhere when a device's last reading was accepted; an older time changes nothing."""
        for fleet in self._fleets.values():
            slot = fleet.slots_of(np.array([device]))[0]
            if slot >= 0:
                fleet.heard[slot] = max(fleet.heard[slot], arrived)

    def unknown(self, batch: ReadingBatch) -> bool:
        """Whether the batch has rows of devices that the engine's registry does not hold."""
        fleet = self._fleets.get(batch.kind)
        return fleet is None or bool((fleet.slots_of(batch.device) < 0).any())

    def late(self) -> int:
        """Readings that came too late for their window, since the engine was made."""
        return sum(evaluator.late for evaluator in self._all())

    def is_open(self, rule: str, subject: str) -> bool:
        """Whether the engine holds (rule, subject) to be in violation."""
        kind, _, number = subject.partition(":")
        if kind == "camera":
            return any(e.rule.id == rule and int(number) in e.scenes for e in self._sightings)
        return any(state.is_open(slot) for state, slot in self._find(rule, int(number)))

    def close(self, rule: str, subject: str, now: int) -> None:
        """An alert was cleared by hand at wall time `now`: the next violating reading or episode raises anew."""
        kind, _, number = subject.partition(":")
        if kind == "camera":
            for sighting in self._sightings:
                if sighting.rule.id == rule:
                    sighting.close(int(number))
            return
        for state, slot in self._find(rule, int(number)):
            state.close(slot, now)

    def adopt(self, standings: Iterable[Standing], now: int) -> list[Standing]:
        """Make what is open agree with the database, which is right where the two differ.

        Returns the alerts that no rule in force looks at any more: the caller ends them.
        """
        orphans: list[Standing] = []
        known: set[tuple[str, str]] = set()
        for standing in standings:
            known.add((standing.rule, standing.subject))
            if not self.is_open(standing.rule, standing.subject) and not self._stand(standing):
                orphans.append(standing)
        for rule, states in self._states.items():
            for state in states:
                for slot in state.open_slots():
                    if (rule, f"device:{state.fleet.ids[slot]}") not in known:
                        state.close(int(slot), now)
        for sighting in self._sightings:
            for camera in list(sighting.scenes):
                if (sighting.rule.id, f"camera:{camera}") not in known:
                    sighting.close(camera)
        return orphans

    def dump(self) -> bytes:
        """The whole state, to be stored with the position in the log that it stands for."""
        column = snapshot.Column.of
        return snapshot.encode(
            snapshot.EngineState(
                fleets={
                    kind: snapshot.FleetState(
                        ids=column(fleet.ids),
                        heard=column(fleet.heard),
                        shared={
                            name: column(array)
                            for evaluator in self._evaluators[kind]
                            for name, array in evaluator.shared().items()
                        },
                        rules={
                            state.rule.id: (
                                self._digests[state.rule.id],
                                {name: column(array) for name, array in state.arrays().items()},
                            )
                            for evaluator in self._evaluators[kind]
                            for state in evaluator.states
                        },
                    )
                    for kind, fleet in self._fleets.items()
                },
                scenes={e.rule.id: (self._digests[e.rule.id], e.scenes) for e in self._sightings},
            )
        )

    def load(self, payload: bytes) -> None:
        """Take over the state of an engine; rules that mean something else now, and new devices, start empty.

        Raises:
            BadSnapshot: the bytes are of no use; the engine is as it was.
        """
        state = snapshot.decode(payload)
        for kind, fleet in self._fleets.items():
            if kind in state.fleets:
                self._load_fleet(fleet, state.fleets[kind])
        for sighting in self._sightings:
            digest, scenes = state.scenes.get(sighting.rule.id, ("", {}))
            if digest == self._digests[sighting.rule.id]:
                sighting.scenes |= {camera: scene for camera, scene in scenes.items() if camera in sighting.cameras}

    def _load_fleet(self, fleet: Fleet, state: snapshot.FleetState) -> None:
        new = fleet.slots_of(state.ids.array())
        old = np.flatnonzero(new >= 0)
        new = new[old]
        restore({"heard": fleet.heard}, {"heard": state.heard.array()}, old, new)
        for evaluator in self._evaluators[fleet.kind]:
            shared = evaluator.shared()
            kept = {name: state.shared[name].array() for name in shared if name in state.shared}
            restore({name: shared[name] for name in kept}, kept, old, new)
            for own in evaluator.states:
                digest, columns = state.rules.get(own.rule.id, ("", {}))
                if digest != self._digests[own.rule.id]:
                    continue
                taken = {name: column.array() for name, column in columns.items()}
                # A device that left the rule's scope leaves its state behind, so that its alert shows as an orphan.
                inside = np.array([own.keeps(int(slot)) for slot in new], dtype=np.bool_)
                restore(own.arrays(), taken, old[inside], new[inside])
            evaluator.restored()

    def _stand(self, standing: Standing) -> bool:
        kind, _, number = standing.subject.partition(":")
        if kind == "camera":
            for sighting in self._sightings:
                if sighting.rule.id == standing.rule and int(number) in sighting.cameras:
                    sighting.stand(int(number), standing)
                    return True
            return False
        for state, slot in self._find(standing.rule, int(number)):
            state.stand(slot, standing)
            return True
        return False

    def _find(self, rule: str, device: int) -> Iterator[tuple[RuleState, int]]:
        """The state of a rule that looks at a device, with the device's slot; at most one."""
        for state in self._states.get(rule, ()):
            slot = int(state.fleet.slots_of(np.array([device]))[0])
            if slot >= 0 and state.is_member(slot):
                yield state, slot

    def _all(self) -> Iterator[Evaluator]:
        for evaluators in self._evaluators.values():
            yield from evaluators


def _evaluators(
    rules: Iterable[AnyRule], fleet: Fleet, registry: Registry, profile: Profile | None
) -> Iterator[Evaluator]:
    """What evaluates the rules that look at a fleet. A new kind of rule is added here."""
    mine = [rule for rule in rules if rule.scope.device_kind in (None, fleet.kind)]
    if thresholds := [rule for rule in mine if isinstance(rule, ThresholdRule)]:
        yield ThresholdEvaluator(thresholds, fleet, registry)
    # Symbols have a meaning as long as the profile of the kind is there; without it nothing can be said.
    if profile and (states := [rule for rule in mine if isinstance(rule, StateRule)]):
        yield StateEvaluator(states, fleet, registry, profile)
    windows = [rule for rule in mine if isinstance(rule, WindowRule)]
    compared = [rule for rule in windows if rule.reference is not None]
    plain = [rule for rule in windows if rule.reference is None]
    for group in alike(plain):
        yield WindowEvaluator(group, fleet, registry)
    for counts in alike([rule for rule in mine if isinstance(rule, CountRule)]):
        yield WindowEvaluator(counts, fleet, registry)
    for references in alike(compared):
        yield ReferenceEvaluator(references, fleet, registry)
    for days in alike([rule for rule in mine if isinstance(rule, DayCountRule)]):
        yield DayCountEvaluator(days, fleet, registry)
    for rule in mine:
        if isinstance(rule, StuckRule):
            yield StuckEvaluator(rule, fleet)
        elif isinstance(rule, OfflineRule):
            yield OfflineEvaluator(rule, fleet, registry)
