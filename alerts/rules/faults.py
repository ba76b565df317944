"""What can be wrong with a rule: stable codes, and what each says in English.

Programs show a fault in their own language by its code and values; what pydantic itself finds has pydantic's codes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic_core import PydanticCustomError

FAULTS = {
    # A text as a whole.
    "rules_unreadable": "{reason}",
    "rules_no_toml": "not valid TOML: {reason}",
    "rules_no_file": "the folder holds no .toml file",
    "rules_unknown_key": "unknown table or key '{key}'; rules are [[rules]]",
    "rules_no_tables": "rules are written as [[rules]] tables",
    "rules_none": "the file holds no [[rules]]",
    "long_line": "the line has more than {most} characters",
    # A rule among others.
    "id_taken": "the id is taken by {place}",
    "same_as": "says the same as rule {twin}",
    "no_target": "target '{target}' is not configured",
    # A rule and the kinds of device.
    "no_device_kind": "device kind '{kind}' is not known; known are {kinds}",
    "kind_missing": "scope.device_kind is missing: a metric belongs to a kind",
    "vision_scope": "a vision rule looks at cameras: its scope takes sites only",
    "no_metric": "kind {kind} has no metric '{metric}'; it has {metrics}",
    "reference_no_metric": "kind {kind} has no metric '{metric}'",
    "reference_unit": "{other} is in '{other_unit}' and {metric} in '{unit}': they cannot be compared",
    "reference_noise": "levels of noise have a difference, no ratio and no factor",
    "reference_itself": "a station tagged '{tag}' is the reference itself and is not judged",
    "condition_no_kind": "{place}: device kind '{kind}' is not known",
    "condition_no_metric": "{place}: kind {kind} has no metric '{metric}'",
    "condition_enumeration": "{place}: {metric} is an enumeration: use raise_on",
    "condition_no_symbol": "{place}: {metric} has no symbol '{symbol}'; it has {symbols}",
    "condition_levels": "{place}: {metric} is not an enumeration: it has levels",
    "condition_unit": "{place}: unit '{unit}' is not the channel's, which is '{channel_unit}'",
    "enumeration": "{metric} is an enumeration and has no level; a state rule judges its symbols",
    "ratio_unit": "unit '{unit}': a ratio has the unit \"1\"",
    "unit_differs": "unit '{unit}' is not the channel's, which is '{channel_unit}'",
    "change_of_noise": "{metric} is noise: its means have no difference",
    "change_of_direction": "{metric} is a direction: its means have no difference",
    "beyond_maximum": "{key} {level} is never passed: {metric} ends at {end}",
    "below_minimum": "{key} {level} is never passed: {metric} starts at {end}",
    "mean_of_noise": "{metric} is noise: its mean is the energy_mean (Leq)",
    "energy_mean": "{metric} is not noise: energy_mean has no meaning for it",
    "mean_of_direction": "{metric} is a direction: it has no arithmetic mean",
    "no_enumeration": "{metric} is not an enumeration: it has levels, not symbols",
    "no_symbol": "{metric} has no symbol '{symbol}'; it has {symbols}",
    "never_ends": "every symbol of {metric} violates: the alert would never end",
    # A rule in itself.
    "no_duration": 'a duration is written with its unit, as "30 s", "15 min", "1 h" or "1 d"',
    "long_duration": "the duration is longer than can be counted",
    "one_of_three": "give exactly one of raise_above, raise_below and raise_on",
    "one_of_two": "give exactly one of raise_above and raise_below",
    "clear_below_goes": "clear_below goes with raise_above and does not lie above it",
    "clear_above_goes": "clear_above goes with raise_below and does not lie below it",
    "condition_scope": "a condition's scope names a device_kind and no sites: it is about the alert's own site",
    "match_alone": "match goes with a scope: without one the condition is about one device",
    "two_conditions": "a composite rule joins at least two conditions, in all_of and any_of",
    "first_condition": "the first condition is about the device of the alert: leave its scope out",
    "level_goes": "{place}.{key} does not go with {other}",
    "level_severity": "{place}: {severity} is not more severe than {before}",
    "level_within": "{place}: {level} lies within the level before, {before}",
    "level_clear": "{place}: the clear level {level} lies beyond its raise level",
    "level_clears_later": "{place}: {level} clears later than the level before, {before}",
    "level_same": "{place}: neither a level farther out nor a longer duration than the level before",
    "above_goes": "raise_above goes with clear_below, not with clear_above",
    "below_goes": "raise_below goes with clear_above, not with clear_below",
    "clear_above_raise": "clear_below {clear} lies above raise_above {level}",
    "clear_below_raise": "clear_above {clear} lies below raise_below {level}",
    "both_symbols": "{symbol} is both in raise_on and in clear_on",
    "per_alone": "per goes with aggregate change",
    "reference_aggregate": "a reference is compared by mean or energy_mean",
    "every_divides": "every must divide window without a rest",
    "window_hours": "no window lies wholly within the schedule's hours, so none would ever be judged",
    "max_upward": "aggregate max goes with raise_above",
    "change_every": "aggregate change compares a window with the one before it: leave every out",
    "day_schedule": "a day is counted as a whole: leave schedule out",
    "long_window": "a window longer than a day lies within none",
    "at_least_of": "at_least {at_least} is more than of {of}",
    "clear_at_most": "clear_at_most {clear_at_most} is not below at_least {at_least}",
    "stuck_hours": "an instrument is stuck at any hour: leave schedule and exempt_during out",
    "no_hours": "from and to are both {start}; a whole day is 00:00 to 24:00",
    "hours_overlap": "{before} and {after} overlap: one moment lies in both",
}


def message(code: str, values: Mapping[str, Any]) -> str:
    """A fault of ours in English."""
    return re.sub(r"\{(\w+)\}", lambda found: str(values[found[1]]), FAULTS[code])


def fault(code: str, **values: object) -> PydanticCustomError:
    """A fault for a validator to raise."""
    told = {name: f"{value:g}" if isinstance(value, float) else str(value) for name, value in values.items()}
    return PydanticCustomError(code, FAULTS[code], told)
