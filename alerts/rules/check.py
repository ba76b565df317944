"""What a rule file may say, measured against the device kinds: known metrics, one unit, levels that can be reached."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

from alerts.rules import files
from alerts.rules.composite import CompositeRule
from alerts.rules.files import Block, Problem, RuleText
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
    paths: Iterable[Path],
    profiles: Mapping[str, Profile],
    targets: Collection[str] | None = None,
    written: Iterable[RuleText] = (),
) -> list[Problem]:
    """All problems; empty where `load` would take the rules. `targets`: names that rules may push to."""
    return _examine(paths, written, profiles, targets)[1]


def load(
    paths: Iterable[Path],
    profiles: Mapping[str, Profile],
    targets: Collection[str] | None = None,
    written: Iterable[RuleText] = (),
) -> RuleSet:
    """The rules of the files, and those of `written` in place of the files' rules with their ids.

    Raises:
        ConfigurationError: lists every problem with file, line, rule and reason.
    """
    rules, problems = _examine(paths, written, profiles, targets)
    if problems:
        lines = "\n".join(f"  {problem}" for problem in problems)
        raise ConfigurationError(
            f"the rules are not usable:\n{lines}", hint="`smartsite rules check FILE` tells the same"
        )
    return rules


def check_text(
    text: RuleText,
    paths: Iterable[Path],
    profiles: Mapping[str, Profile],
    targets: Collection[str] | None = None,
    written: Iterable[RuleText] = (),
) -> tuple[RuleSet, list[Problem]]:
    """The rules of a text and its problems, as if they counted in place of the rules with their ids."""
    rules, problems = files.read([text])
    named = {rule.id for rule, _ in rules}
    beside = [(rule, block) for rule, block in files.read_over(paths, written)[0] if rule.id not in named]
    problems += [one for one in _measure([*beside, *rules], profiles, targets) if one.file == text.name]
    return RuleSet(tuple(rule for rule, _ in rules)), problems


def _examine(
    paths: Iterable[Path],
    written: Iterable[RuleText],
    profiles: Mapping[str, Profile],
    targets: Collection[str] | None,
) -> tuple[RuleSet, list[Problem]]:
    rules, problems = files.read_over(paths, written)
    problems += _measure(rules, profiles, targets)
    return RuleSet(tuple(rule for rule, _ in rules)), problems


def _measure(
    rules: Iterable[tuple[AnyRule, Block]], profiles: Mapping[str, Profile], targets: Collection[str] | None
) -> list[Problem]:
    """What is wrong with rules beside each other and against the device kinds."""
    problems: list[Problem] = []
    by_id: dict[str, Block] = {}
    by_meaning: dict[str, str] = {}
    for rule, block in rules:
        if rule.id in by_id:
            first = by_id[rule.id]
            problems.append(block.problem(rule.id, "id_taken", "id", place=f"{first.file}:{first.line}"))
            continue
        by_id[rule.id] = block
        twin = by_meaning.setdefault(_meaning(rule), rule.id)
        if twin != rule.id and rule.enabled:
            problems.append(block.problem(rule.id, "same_as", "kind", twin=twin))
        problems.extend(_faults(rule, block, profiles, targets))
    return problems


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
        yield block.problem(rule.id, "no_device_kind", "scope", kind=kind, kinds=", ".join(sorted(profiles)))
    if isinstance(rule, VisionRule) and (kind is not None or rule.scope.tags):
        yield block.problem(rule.id, "vision_scope", "scope")
    if targets is not None:
        for target in rule.targets:
            if target not in targets:
                yield block.problem(rule.id, "no_target", "targets", target=target)
    if isinstance(rule, CompositeRule):
        if kind is None:
            yield block.problem(rule.id, "kind_missing", "scope")
        yield from _condition_faults(rule, block, profiles)
    if isinstance(rule, ThresholdRule | StateRule | WindowRule | DayCountRule | CountRule | StuckRule):
        if kind is None:
            yield block.problem(rule.id, "kind_missing", "scope")
        elif kind in profiles:
            channel = profiles[kind].channel(rule.metric)
            if channel is None:
                known = ", ".join(item.name for item in profiles[kind].channels)
                yield block.problem(rule.id, "no_metric", "metric", kind=kind, metric=rule.metric, metrics=known)
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
        metric = str(reference.metric)
        yield block.problem(rule.id, "reference_no_metric", "reference", kind=profile.kind, metric=metric)
        return
    if other.unit != channel.unit:
        units = {"other": other.name, "other_unit": other.unit, "metric": channel.name, "unit": channel.unit}
        yield block.problem(rule.id, "reference_unit", "reference", **units)
    if channel.noise and (reference.compare == "ratio" or reference.factor != 1):
        yield block.problem(rule.id, "reference_noise", "reference")
    if reference.tag in rule.scope.tags:
        yield block.problem(rule.id, "reference_itself", "reference", tag=reference.tag)


def _condition_faults(rule: CompositeRule, block: Block, profiles: Mapping[str, Profile]) -> Iterator[Problem]:
    for number, condition in enumerate(rule.conditions):
        key = "all_of" if number < len(rule.all_of) else "any_of"
        place = f"{key}[{number if key == 'all_of' else number - len(rule.all_of)}]"
        kind = rule.scope.device_kind if condition.scope is None else condition.scope.device_kind
        if kind is None or kind not in profiles:
            if kind is not None:
                yield block.problem(rule.id, "condition_no_kind", key, place=place, kind=kind)
            continue
        channel = profiles[kind].channel(condition.metric)
        if channel is None:
            wrong = {"place": place, "kind": kind, "metric": condition.metric}
            yield block.problem(rule.id, "condition_no_metric", key, **wrong)
        elif channel.type == "enum":
            symbols = [symbol.name for symbol in channel.symbols]
            if not condition.raise_on:
                yield block.problem(rule.id, "condition_enumeration", key, place=place, metric=channel.name)
            for name in condition.raise_on:
                if name not in symbols:
                    wrong = {"place": place, "metric": channel.name, "symbol": name, "symbols": ", ".join(symbols)}
                    yield block.problem(rule.id, "condition_no_symbol", key, **wrong)
        elif condition.raise_on:
            yield block.problem(rule.id, "condition_levels", key, place=place, metric=channel.name)
        elif condition.unit != channel.unit:
            wrong = {"place": place, "unit": str(condition.unit), "channel_unit": channel.unit}
            yield block.problem(rule.id, "condition_unit", key, **wrong)


def _channel_faults(
    rule: ThresholdRule | WindowRule | DayCountRule | CountRule, block: Block, channel: Channel
) -> Iterator[Problem]:
    if channel.type == "enum":
        yield block.problem(rule.id, "enumeration", "metric", metric=channel.name)
        return
    if isinstance(rule, WindowRule) and rule.reference is not None and rule.reference.compare == "ratio":
        if rule.unit != "1":
            yield block.problem(rule.id, "ratio_unit", "unit", unit=rule.unit)
            return
    elif rule.unit != channel.unit:
        yield block.problem(rule.id, "unit_differs", "unit", unit=rule.unit, channel_unit=channel.unit)
        return
    if isinstance(rule, WindowRule) and rule.aggregate == "change":
        if channel.noise or channel.circular:
            code = "change_of_noise" if channel.noise else "change_of_direction"
            yield block.problem(rule.id, code, "aggregate", metric=channel.name)
        return
    level = rule.raise_level
    if isinstance(rule, WindowRule) and rule.reference is not None:
        level = math.nan  # what is left of a value has no ends
    key = "raise_above" if rule.upward else "raise_below"
    if rule.upward and channel.maximum is not None and level >= channel.maximum:
        told = {"key": key, "level": f"{level:g}", "metric": channel.name, "end": f"{channel.maximum:g}"}
        yield block.problem(rule.id, "beyond_maximum", key, **told)
    if not rule.upward and channel.minimum is not None and level <= channel.minimum:
        told = {"key": key, "level": f"{level:g}", "metric": channel.name, "end": f"{channel.minimum:g}"}
        yield block.problem(rule.id, "below_minimum", key, **told)
    if isinstance(rule, WindowRule | DayCountRule):
        if channel.noise and rule.aggregate == "mean":
            yield block.problem(rule.id, "mean_of_noise", "aggregate", metric=channel.name)
        if not channel.noise and rule.aggregate == "energy_mean":
            yield block.problem(rule.id, "energy_mean", "aggregate", metric=channel.name)
        if channel.circular and rule.aggregate == "mean":
            yield block.problem(rule.id, "mean_of_direction", "aggregate", metric=channel.name)


def _state_faults(rule: StateRule, block: Block, channel: Channel) -> Iterator[Problem]:
    if channel.type != "enum":
        yield block.problem(rule.id, "no_enumeration", "metric", metric=channel.name)
        return
    symbols = [symbol.name for symbol in channel.symbols]
    for key, names in (("raise_on", rule.raise_on), ("clear_on", rule.clear_on)):
        for name in names:
            if name not in symbols:
                told = {"metric": channel.name, "symbol": name, "symbols": ", ".join(symbols)}
                yield block.problem(rule.id, "no_symbol", key, **told)
    if set(symbols) <= set(rule.raise_on):
        yield block.problem(rule.id, "never_ends", "raise_on", metric=channel.name)
