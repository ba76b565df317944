"""All rules over all devices and cameras of one registry."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator

import numpy as np

from alerts.engine import snapshot
from alerts.engine.evaluator import Evaluator
from alerts.engine.fleet import Fleet
from alerts.engine.limits import ThresholdEvaluator
from alerts.engine.offline import OfflineEvaluator
from alerts.engine.sightings import SightingEvaluator
from alerts.engine.stuck import StuckEvaluator
from alerts.engine.transitions import Progress, Standing, Transition
from alerts.engine.violations import restore
from alerts.engine.windows import WindowEvaluator
from alerts.rules.model import AnyRule, OfflineRule, StuckRule, ThresholdRule, VisionRule, WindowRule
from sensors.batch import ReadingBatch
from sensors.entries import EpisodeEntry
from sensors.registry import Device, Registry

logger = logging.getLogger(__name__)


class Engine:
    """Rules and devices are fixed: for new ones a new engine is made, which loads the old one's `dump`.

    `rules` are those in force; the caller leaves out what is not enabled. Not thread-safe.
    """

    def __init__(self, rules: Iterable[AnyRule], registry: Registry) -> None:
        rules = tuple(rules)
        by_kind: dict[str, list[Device]] = {}
        for device in registry.devices.values():
            if device.enabled:
                by_kind.setdefault(device.kind, []).append(device)
        self._fleets = {kind: Fleet(kind, devices) for kind, devices in by_kind.items()}
        self._evaluators: dict[str, list[Evaluator]] = {
            kind: [evaluator for rule in rules for evaluator in _evaluators(rule, fleet)]
            for kind, fleet in self._fleets.items()
        }
        self._sightings = [SightingEvaluator(rule, registry) for rule in rules if isinstance(rule, VisionRule)]
        self.rules = {rule.id: rule for rule in rules}

    def feed(self, batch: ReadingBatch) -> list[Transition]:
        """Evaluate stored readings in the order of the log."""
        fleet = self._fleets.get(batch.kind)
        if fleet is None:
            return []
        rows = fleet.rows(batch)
        fleet.heard[rows.slots] = np.maximum(fleet.heard[rows.slots], batch.arrived)
        return [told for evaluator in self._evaluators[batch.kind] for told in evaluator.feed(rows)]

    def feed_episode(self, entry: EpisodeEntry) -> list[Transition]:
        """Evaluate the start or the end of a vision episode."""
        return [told for evaluator in self._sightings for told in evaluator.feed(entry)]

    def tick(self, now: int, *, listening_since: int) -> list[Transition]:
        """Judge absence at wall time `now`; silence from before `listening_since` is not held against a device."""
        told = [told for evaluator in self._all() for told in evaluator.tick(now, listening_since)]
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
        return sum(evaluator.late for evaluator in self._all() if isinstance(evaluator, WindowEvaluator))

    def is_open(self, rule: str, subject: str) -> bool:
        """Whether the engine holds (rule, subject) to be in violation."""
        kind, _, number = subject.partition(":")
        if kind == "camera":
            return any(e.rule.id == rule and int(number) in e.scenes for e in self._sightings)
        return any(evaluator.is_open(slot) for evaluator, slot in self._find(rule, int(number)))

    def close(self, rule: str, subject: str, now: int) -> None:
        """An alert was cleared by hand at wall time `now`: the next violating reading or episode raises anew."""
        kind, _, number = subject.partition(":")
        if kind == "camera":
            for sighting in self._sightings:
                if sighting.rule.id == rule:
                    sighting.close(int(number))
            return
        for evaluator, slot in self._find(rule, int(number)):
            evaluator.close(slot, now)

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
        for evaluator in self._all():
            for slot in evaluator.open_slots():
                if (evaluator.rule.id, f"device:{evaluator.fleet.ids[slot]}") not in known:
                    evaluator.close(int(slot), now)
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
                        rules={
                            evaluator.rule.id: (
                                evaluator.rule.state_digest(),
                                {name: column(array) for name, array in evaluator.arrays().items()},
                            )
                            for evaluator in self._evaluators[kind]
                        },
                    )
                    for kind, fleet in self._fleets.items()
                },
                scenes={e.rule.id: (e.rule.state_digest(), e.scenes) for e in self._sightings},
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
            if digest == sighting.rule.state_digest():
                sighting.scenes = {camera: scene for camera, scene in scenes.items() if camera in sighting.cameras}

    def _load_fleet(self, fleet: Fleet, state: snapshot.FleetState) -> None:
        new = fleet.slots_of(state.ids.array())
        old = np.flatnonzero(new >= 0)
        new = new[old]
        restore({"heard": fleet.heard}, {"heard": state.heard.array()}, old, new)
        for evaluator in self._evaluators[fleet.kind]:
            digest, columns = state.rules.get(evaluator.rule.id, ("", {}))
            if digest != evaluator.rule.state_digest():
                continue
            taken = {name: column.array() for name, column in columns.items()}
            # A device that left the rule's scope leaves its state behind, so that its alert shows as an orphan.
            inside = np.array([evaluator.is_member(int(slot)) for slot in new], dtype=np.bool_)
            restore(evaluator.arrays(), taken, old[inside], new[inside])

    def _stand(self, standing: Standing) -> bool:
        kind, _, number = standing.subject.partition(":")
        if kind == "camera":
            for sighting in self._sightings:
                if sighting.rule.id == standing.rule and int(number) in sighting.cameras:
                    sighting.stand(int(number), standing)
                    return True
            return False
        for evaluator, slot in self._find(standing.rule, int(number)):
            evaluator.stand(slot, standing)
            return True
        return False

    def _find(self, rule: str, device: int) -> Iterator[tuple[Evaluator, int]]:
        """The evaluator of a rule that looks at a device, with the device's slot; at most one."""
        for evaluator in self._all():
            if evaluator.rule.id == rule:
                slot = int(evaluator.fleet.slots_of(np.array([device]))[0])
                if slot >= 0 and evaluator.is_member(slot):
                    yield evaluator, slot

    def _all(self) -> Iterator[Evaluator]:
        for evaluators in self._evaluators.values():
            yield from evaluators


def _evaluators(rule: AnyRule, fleet: Fleet) -> Iterator[Evaluator]:
    """The evaluator of a rule on a fleet, none where the rule does not look at it. A new kind of rule is added here."""
    if isinstance(rule, VisionRule) or rule.scope.device_kind not in (None, fleet.kind):
        return
    if isinstance(rule, ThresholdRule):
        yield ThresholdEvaluator(rule, fleet)
    elif isinstance(rule, WindowRule):
        yield WindowEvaluator(rule, fleet)
    elif isinstance(rule, StuckRule):
        yield StuckEvaluator(rule, fleet)
    elif isinstance(rule, OfflineRule):
        yield OfflineEvaluator(rule, fleet)
