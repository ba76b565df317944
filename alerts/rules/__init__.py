"""Rules: what counts as a violation, read from TOML files and kept in numbered versions.

`model` says what a rule is, `files` reads rule files, `check` finds what is wrong with them, `versions` puts them in
force in the database.
"""

from __future__ import annotations

from alerts.rules.base import Scope
from alerts.rules.check import check, load
from alerts.rules.composite import CompositeRule
from alerts.rules.files import Problem, builtin_packs
from alerts.rules.model import (
    CountRule,
    DayCountRule,
    OfflineRule,
    Rule,
    RuleSet,
    StateRule,
    ThresholdRule,
    VisionRule,
    WindowRule,
)

__all__ = [
    "CompositeRule",
    "CountRule",
    "DayCountRule",
    "OfflineRule",
    "Problem",
    "Rule",
    "RuleSet",
    "Scope",
    "StateRule",
    "ThresholdRule",
    "VisionRule",
    "WindowRule",
    "builtin_packs",
    "check",
    "load",
]
