"""The simulated devices' journal in the terms of the account."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sensors.simulator import read_journal
from sensors.simulator.journal import Deed, Record
from smartsite.demo.expected import Reading

_NORMAL = "N"


@dataclass(frozen=True, slots=True)
class Journal:
    """Messages published and acknowledged, their readings in the order in which they were published, commands.

    `ended_at` (seconds since the epoch) is when the devices last did or heard something.
    """

    published: int
    acknowledged: int
    readings: list[Reading]
    deeds: list[Deed]
    ended_at: float


def read(path: Path) -> Journal:
    """Reads the journal of one run; raises ConfigurationError when the file is missing or damaged."""
    written = read_journal(path)
    kinds = written.kinds
    times = [moment for record in written.records for moment in (record.published, record.acknowledged or 0)]
    times += [moment for deed in written.deeds for moment in (deed.at, deed.replied or 0)]
    return Journal(
        published=len(written.records),
        acknowledged=sum(record.acknowledged is not None for record in written.records),
        readings=[_reading(record, kinds) for record in written.records],
        deeds=written.deeds,
        ended_at=max(times, default=0) / 1e6,
    )


def _reading(record: Record, kinds: Mapping[str, str]) -> Reading:
    return Reading(
        device=record.device,
        kind=kinds[record.device],
        time=record.time,
        values={
            channel: value
            for channel, value in record.values.items()
            if isinstance(value, float | int) and record.flags.get(channel, _NORMAL) == _NORMAL
        },
        published=record.published / 1e6,
        acknowledged=None if record.acknowledged is None else record.acknowledged / 1e6,
    )
