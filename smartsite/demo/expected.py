"""What the readings of a run mean under threshold rules, worked out from the journal alone.

Written without the alert engine on purpose: the report holds the one against the other. It knows only what a rule's
text promises: a reading strictly beyond the raise level begins a violation; it ends when readings have stayed at or
within the clear level for ``clear_after``; a reading that is not newer than the newest of its device changes nothing;
values that are not plausible or carry another quality than normal do not count.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from alerts.rules import ThresholdRule
from sensors.profiles import Profile


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A reading as its device knows it.

    ``device`` is "{site}/{device}", ``time`` the event time (microseconds since the epoch), ``published`` and
    ``acknowledged`` the device's wall clock (seconds since the epoch; None: never acknowledged). ``values`` holds only
    values of normal quality.
    """

    device: str
    kind: str
    time: int
    values: Mapping[str, float]
    published: float
    acknowledged: float | None


@dataclass(frozen=True, slots=True)
class Violation:
    """One that must have been raised: its rule and device, and the reading that began it."""

    rule: str
    device: str
    reading: Reading


def expected(
    rules: Iterable[ThresholdRule],
    readings: Iterable[Reading],
    *,
    profiles: Mapping[str, Profile],
    open_before: frozenset[tuple[str, str]],
) -> list[Violation]:
    """The violations that begin in the readings (in the order in which each device published them).

    ``open_before`` are the (rule, device) whose violation was open when the run began: they begin none until relief.
    """
    ordered = list(readings)
    return [
        violation for rule in rules for violation in _begun(rule, ordered, profiles=profiles, open_before=open_before)
    ]


def _begun(
    rule: ThresholdRule,
    readings: list[Reading],
    *,
    profiles: Mapping[str, Profile],
    open_before: frozenset[tuple[str, str]],
) -> Iterable[Violation]:
    if rule.duration or not rule.enabled:
        return
    newest: dict[str, int] = {}
    violating = {device for name, device in open_before if name == rule.id}
    calm_since: dict[str, int] = {}
    clear_after = round(rule.clear_after.total_seconds() * 1_000_000)
    sign = 1 if rule.upward else -1
    for reading in readings:
        if not _in_scope(rule, reading) or reading.time <= newest.get(reading.device, -1):
            continue
        newest[reading.device] = reading.time
        value = reading.values.get(rule.metric)
        if value is None or not _plausible(value, profiles[reading.kind], rule.metric):
            continue
        if sign * value > sign * rule.raise_level:
            calm_since.pop(reading.device, None)
            if reading.device not in violating:
                violating.add(reading.device)
                yield Violation(rule.id, reading.device, reading)
        elif sign * value > sign * rule.clear_level:
            calm_since.pop(reading.device, None)
        elif reading.device in violating:
            since = calm_since.setdefault(reading.device, reading.time)
            if reading.time - since >= clear_after:
                violating.discard(reading.device)
                calm_since.pop(reading.device, None)


def _in_scope(rule: ThresholdRule, reading: Reading) -> bool:
    site = reading.device.partition("/")[0]
    # Tags are the registry's and not in the journal; the demo's rules use none.
    assert not rule.scope.tags
    return reading.kind == rule.scope.device_kind and (not rule.scope.sites or site in rule.scope.sites)


def _plausible(value: float, profile: Profile, metric: str) -> bool:
    channel = profile.channel(metric)
    if channel is None:
        return False
    low = channel.minimum is None or value >= channel.minimum
    return low and (channel.maximum is None or value <= channel.maximum)
