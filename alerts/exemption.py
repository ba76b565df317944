"""What a site was exempt by, as an alert keeps it: the permit or stage as it stood then, whatever becomes of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from alerts.engine.calendar import ACTIVE, BY_STAGE, stages_of
from sensors.registry import Registry


def exemption(code: int, site: int, at: int, registry: Registry) -> dict[str, Any] | None:
    """The facts behind a segment's code at a moment (microseconds); None where nothing exempts."""
    if code == ACTIVE:
        return None
    if code == BY_STAGE:
        # A correction between the judgement and now may have left none.
        return {"stage": next((stage for stage, start, end in stages_of(site, registry) if start <= at < end), "")}
    permit = next((permit for permit in registry.permits if permit.id == code), None)
    if permit is None:
        return {"permit": code}
    return {"permit": code, "kind": permit.kind, "reference": permit.reference, "source": permit.source}


def code_of(facts: Mapping[str, Any] | None) -> int:
    """The inverse of `exemption`."""
    if facts is None:
        return ACTIVE
    return int(facts.get("permit", BY_STAGE))
