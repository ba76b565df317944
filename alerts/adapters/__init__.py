"""Adapters: one file a regulator's API, found by its name.

A file or folder `alerts/adapters/<name>` holds a function `create(target, *, evidence, clock) -> Adapter`, and a target
with `adapter = "<name>"` uses it. Where the regulator takes amendments of what it was told, a function
`amends(target) -> bool` says so. `base`, `exchange` and `pictures` are what adapters are made of.
"""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

from alerts.adapters.base import Adapter
from core.clock import Clock
from core.errors import ConfigurationError
from core.evidence import EvidenceStore
from core.settings import TargetSettings

_PARTS = {"base", "exchange", "pictures"}


def available() -> list[str]:
    """Names that a target's `adapter` may have."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name not in _PARTS)


def create(target: TargetSettings, *, evidence: EvidenceStore, clock: Clock) -> Adapter:
    """The adapter of a target; raise ConfigurationError where there is none of its name or it refuses its settings."""
    if target.adapter not in available():
        raise ConfigurationError(
            f"target {target.name}: there is no adapter {target.adapter!r}",
            hint=f"one of {', '.join(available())}, or a new file in alerts/adapters/",
        )
    adapter: Adapter = _module(target).create(target, evidence=evidence, clock=clock)
    return adapter


def amends(target: TargetSettings) -> bool:
    """Whether the target takes numbered amendments of a raise."""
    if target.adapter not in available():
        return False
    declared = getattr(_module(target), "amends", None)
    return declared is not None and bool(declared(target))


def _module(target: TargetSettings) -> ModuleType:
    return importlib.import_module(f"{__name__}.{target.adapter}")
