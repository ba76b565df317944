"""What a rule file may say, measured against the device kinds: known metrics, one unit, levels that can be reached."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

from alerts.rules import files
from alerts.rules.composite import CompositeRule
from alerts.rules.files import Block, Problem
from alerts.rules.model import (
    AnyRule,
    CountRule,
    DayCountRule,
    Reference,
    RuleSet,
    StateRule,
    StuckRule,
    ThresholdRule,
    VisionRule,
    WindowRule,
)
from core.errors import ConfigurationError
from sensors.profiles import Channel, Profile


def check(
    paths: Iterable[Path], profiles: Mapping[str, Profile], targets: Collection[str] | None = None
) -> list[Problem]:
    """All problems of the files; empty where `load` would take them. `targets`: names that rules may push to."""
    return _examine(paths, profiles, targets)[1]


def load(paths: Iterable[Path], profiles: Mapping[str, Profile], targets: Collection[str] | None = None) -> RuleSet:
    """The rules of the files.

    Raises:
        ConfigurationError: lists every problem with file, line, rule and reason.
    """
    rules, problems = _examine(paths, profiles, targets)
    if problems:
        lines = "\n".join(f"  {problem}" for problem in problems)
        raise ConfigurationError(
            f"the rules are not usable:\n{lines}", hint="`smartsite rules check FILE` tells the same"
        )
    return rules


def _examine(
    paths: Iterable[Path], profiles: Mapping[str, Profile], targets: Collection[str] | None
) -> tuple[RuleSet, list[Problem]]:
    rules, problems = files.read(paths)
    by_id: dict[str, Block] = {}
    by_meaning: dict[str, str] = {}
    for rule, block in rules:
        if rule.id in by_id:
            first = by_id[rule.id]
            problems.append(block.problem(rule.id, f"the id is taken by {first.file}:{first.line}", "id"))
            continue
        by_id[rule.id] = block
        twin = by_meaning.setdefault(_meaning(rule), rule.id)
        if twin != rule.id and rule.enabled:
            problems.append(block.problem(rule.id, f"says the same as rule {twin}", "kind"))
        problems.extend(_faults(rule, block, profiles, targets))
    return RuleSet(tuple(rule for rule, _ in rules)), problems


def _meaning(rule: AnyRule) -> str:
    """What makes two rules the same violation told twice."""
    definition = rule.definition()
    for word in ("id", "name", "name_en", "targets", "cool_down_s"):
        del definition[word]
    return json.dumps({**definition, "enabled": rule.enabled}, sort_keys=True)


def _faults(
    rule: AnyRule, block: Block, profiles: Mapping[str, Profile], targets: Collection[str] | None
) -> Iterator[Problem]:
    kind = rule.scope.device_kind
    if kind is not None and kind not in profiles:
        yield block.problem(
            rule.id, f"device kind {kind!r} is not known; known are {', '.join(sorted(profiles))}", "scope"
        )
    if isinstance(rule, VisionRule) and (kind is not None or rule.scope.tags):
        yield block.problem(rule.id, "a vision rule looks at cameras: its scope takes sites only", "scope")
    if targets is not None:
        for target in rule.targets:
            if target not in targets:
                yield block.problem(rule.id, f"target {target!r} is not configured", "targets")
    if isinstance(rule, CompositeRule):
        if kind is None:
            yield block.problem(rule.id, "scope.device_kind is missing: a metric belongs to a kind", "scope")
        yield from _condition_faults(rule, block, profiles)
    if isinstance(rule, ThresholdRule | StateRule | WindowRule | DayCountRule | CountRule | StuckRule):
        if kind is None:
            yield block.problem(rule.id, "scope.device_kind is missing: a metric belongs to a kind", "scope")
        elif kind in profiles:
            channel = profiles[kind].channel(rule.metric)
            if channel is None:
                known = ", ".join(item.name for item in profiles[kind].channels)
                yield block.problem(rule.id, f"kind {kind} has no metric {rule.metric!r}; it has {known}", "metric")
            elif isinstance(rule, StateRule):
                yield from _state_faults(rule, block, channel)
            elif not isinstance(rule, StuckRule):
                yield from _channel_faults(rule, block, channel)
                if isinstance(rule, WindowRule) and rule.reference is not None:
                    yield from _reference_faults(rule, rule.reference, block, channel, profiles[kind])


def _reference_faults(
    rule: WindowRule, reference: Reference, block: Block, channel: Channel, profile: Profile
) -> Iterator[Problem]:
    other = profile.channel(reference.metric or rule.metric)
    if other is None:
        yield block.problem(rule.id, f"kind {profile.kind} has no metric {reference.metric!r}", "reference")
        return
    if other.unit != channel.unit:
        reason = f"{other.name} is in {other.unit!r} and {channel.name} in {channel.unit!r}: they cannot be compared"
        yield block.problem(rule.id, reason, "reference")
    if channel.noise and (reference.compare == "ratio" or reference.factor != 1):
        yield block.problem(rule.id, "levels of noise have a difference, no ratio and no factor", "reference")
    if reference.tag in rule.scope.tags:
        reason = f"a station tagged {reference.tag!r} is the reference itself and is not judged"
        yield block.problem(rule.id, reason, "reference")


def _condition_faults(rule: CompositeRule, block: Block, profiles: Mapping[str, Profile]) -> Iterator[Problem]:
    for number, condition in enumerate(rule.conditions):
        key = "all_of" if number < len(rule.all_of) else "any_of"
        place = f"{key}[{number if key == 'all_of' else number - len(rule.all_of)}]"
        kind = rule.scope.device_kind if condition.scope is None else condition.scope.device_kind
        if kind is None or kind not in profiles:
            if kind is not None:
                yield block.problem(rule.id, f"{place}: device kind {kind!r} is not known", key)
            continue
        channel = profiles[kind].channel(condition.metric)
        if channel is None:
            yield block.problem(rule.id, f"{place}: kind {kind} has no metric {condition.metric!r}", key)
        elif channel.type == "enum":
            symbols = [symbol.name for symbol in channel.symbols]
            if not condition.raise_on:
                yield block.problem(rule.id, f"{place}: {channel.name} is an enumeration: use raise_on", key)
            for name in condition.raise_on:
                if name not in symbols:
                    reason = f"{place}: {channel.name} has no symbol {name!r}; it has {', '.join(symbols)}"
                    yield block.problem(rule.id, reason, key)
        elif condition.raise_on:
            yield block.problem(rule.id, f"{place}: {channel.name} is not an enumeration: it has levels", key)
        elif condition.unit != channel.unit:
            reason = f"{place}: unit {condition.unit!r} is not the channel's, which is {channel.unit!r}"
            yield block.problem(rule.id, reason, key)


def _channel_faults(
    rule: ThresholdRule | WindowRule | DayCountRule | CountRule, block: Block, channel: Channel
) -> Iterator[Problem]:
    if channel.type == "enum":
        reason = f"{channel.name} is an enumeration and has no level; a state rule judges its symbols"
        yield block.problem(rule.id, reason, "metric")
        return
    if isinstance(rule, WindowRule) and rule.reference is not None and rule.reference.compare == "ratio":
        if rule.unit != "1":
            yield block.problem(rule.id, f'unit {rule.unit!r}: a ratio has the unit "1"', "unit")
            return
    elif rule.unit != channel.unit:
        yield block.problem(rule.id, f"unit {rule.unit!r} is not the channel's, which is {channel.unit!r}", "unit")
        return
    if isinstance(rule, WindowRule) and rule.aggregate == "change":
        if channel.noise or channel.circular:
            what = "noise" if channel.noise else "a direction"
            yield block.problem(rule.id, f"{channel.name} is {what}: its means have no difference", "aggregate")
        return
    level = rule.raise_level
    if isinstance(rule, WindowRule) and rule.reference is not None:
        level = math.nan  # what is left of a value has no ends
    key = "raise_above" if rule.upward else "raise_below"
    if rule.upward and channel.maximum is not None and level >= channel.maximum:
        yield block.problem(
            rule.id, f"{key} {level:g} is never passed: {channel.name} ends at {channel.maximum:g}", key
        )
    if not rule.upward and channel.minimum is not None and level <= channel.minimum:
        yield block.problem(
            rule.id, f"{key} {level:g} is never passed: {channel.name} starts at {channel.minimum:g}", key
        )
    if isinstance(rule, WindowRule | DayCountRule):
        if channel.noise and rule.aggregate == "mean":
            yield block.problem(rule.id, f"{channel.name} is noise: its mean is the energy_mean (Leq)", "aggregate")
        if not channel.noise and rule.aggregate == "energy_mean":
            yield block.problem(rule.id, f"{channel.name} is not noise: energy_mean has no meaning for it", "aggregate")
        if channel.circular and rule.aggregate == "mean":
            yield block.problem(rule.id, f"{channel.name} is a direction: it has no arithmetic mean", "aggregate")


def _state_faults(rule: StateRule, block: Block, channel: Channel) -> Iterator[Problem]:
    if channel.type != "enum":
        yield block.problem(rule.id, f"{channel.name} is not an enumeration: it has levels, not symbols", "metric")
        return
    symbols = [symbol.name for symbol in channel.symbols]
    for key, names in (("raise_on", rule.raise_on), ("clear_on", rule.clear_on)):
        for name in names:
            if name not in symbols:
                reason = f"{channel.name} has no symbol {name!r}; it has {', '.join(symbols)}"
                yield block.problem(rule.id, reason, key)
    if set(symbols) <= set(rule.raise_on):
        yield block.problem(rule.id, f"every symbol of {channel.name} violates: the alert would never end", "raise_on")
