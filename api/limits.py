"""Limits drawn beside a device's values: the levels of the rules that look at it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from psycopg import AsyncConnection
from pydantic import BaseModel, Field

from alerts.rules import CountRule, ThresholdRule, WindowRule
from alerts.rules.model import AnyRule
from alerts.rules.versions import in_force
from api.states import Severity
from core.clock import Clock

_KEPT_S = 2.0


class Limit(BaseModel):
    """A level beyond which a rule raises an alert; one of the two is set."""

    raise_above: float | None = Field(default=None, examples=[150])
    raise_below: float | None = None
    severity: Severity


class JudgedBy:
    """The rules that the engine judges by, read again every two seconds."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._rules: tuple[AnyRule, ...] = ()
        self._read_at = -_KEPT_S

    async def rules(self, connection: AsyncConnection) -> tuple[AnyRule, ...]:
        """In the order of their ids."""
        if self._clock.monotonic() - self._read_at >= _KEPT_S:
            self._read_at = self._clock.monotonic()
            self._rules = tuple(await in_force(connection))
        return self._rules


def name_sites(rules: Iterable[AnyRule]) -> bool:
    """Whether any rule looks at some sites only, so that limits are a matter of the site."""
    return any(rule.scope.sites for rule in rules)


def limits_of(rules: Iterable[AnyRule], *, site: str, kind: str, tags: Sequence[str]) -> dict[str, Limit]:
    """The first limit that each channel of a device meets: the lowest upper one, or else the highest lower one.

    `site` is the site's code.
    """
    looking = [
        rule
        for rule in rules
        if isinstance(rule, ThresholdRule | WindowRule | CountRule)
        # A change is not a level of the channel.
        and not (isinstance(rule, WindowRule) and rule.aggregate == "change")
        and rule.scope.device_kind == kind
        and (not rule.scope.sites or site in rule.scope.sites)
        and (not rule.scope.tags or not set(rule.scope.tags).isdisjoint(tags))
    ]
    limits: dict[str, Limit] = {}
    # Later ones replace earlier ones: lower limits first, then upper ones from the highest down.
    for rule in sorted(looking, key=lambda rule: (rule.upward, -rule.raise_level if rule.upward else rule.raise_level)):
        limits[rule.metric] = Limit(raise_above=rule.raise_above, raise_below=rule.raise_below, severity=rule.severity)
    return limits
