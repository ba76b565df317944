"""History out of the database, a day at a time: the readings of the kinds that rules look at."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta

import psycopg

from alerts.replay.history import History
from alerts.rules.composite import CompositeRule
from alerts.rules.model import AnyRule
from core.errors import InvalidInput
from sensors.export import Selection, export
from sensors.profiles import Profile
from sensors.registry import Registry

_PIECE = timedelta(days=1)


class TooManyReadings(InvalidInput):
    """There is more history than was allowed for."""

    code = "too_many_readings"


def kinds_of(rules: Iterable[AnyRule], profiles: Mapping[str, Profile]) -> list[str]:
    """The kinds of device that the rules look at; all of them where a rule looks at any."""
    found: set[str] = set()
    for rule in rules:
        found |= set(profiles) if rule.scope.device_kind is None else {rule.scope.device_kind}
        if isinstance(rule, CompositeRule):
            found |= {str(one.scope.device_kind) for one in rule.conditions if one.scope is not None}
    return sorted(found & profiles.keys())


def load(
    connection: psycopg.Connection,
    registry: Registry,
    profiles: Mapping[str, Profile],
    rules: Iterable[AnyRule],
    *,
    start: datetime,
    end: datetime,
    site: str | None = None,
    at_most: int | None = None,
    progress: Callable[[float], None] = lambda _: None,
) -> History:
    """The readings of [start, end), of one site (its code) or all. `progress` gets 0 to 1.

    Raises:
        TooManyReadings: there are more than `at_most`.
    """
    history = History(registry=registry)
    kinds = kinds_of(rules, profiles)
    count = 0
    whole = (end - start) * max(1, len(kinds))
    for number, kind in enumerate(kinds):
        at = start
        while at < end:
            until = min(end, at + _PIECE)
            selection = Selection(profile=profiles[kind], resolution="raw", start=at, end=until, site=site)
            text = b"".join(export(connection, selection)).decode()
            history.add(io.StringIO(text, newline=""), profiles[kind], name=f"report.{kind}")
            count += len(history.tables[-1].time)
            if at_most is not None and count > at_most:
                raise TooManyReadings(
                    f"there are more than {at_most} readings", hint="choose one site, or a shorter time"
                )
            at = until
            progress(((end - start) * number + (at - start)) / whole)
    return history
