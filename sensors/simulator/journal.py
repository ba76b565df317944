"""The simulator's own truth: what it published and what was acknowledged, in a file that is only appended to.

One JSON value a line: `{"started_at", "seed", "devices", "episodes"}` when a simulation begins (a file may hold
several), `["p", device, time, published, values, flags]` before a message goes out, `["a", device, time, acknowledged]`
at its PUBACK. Of commands `["c", device, id, name, at, ok]` when one is carried out or refused, `["h", device, id, at]`
when it is heard again, `["r", device, id, at]` at the PUBACK of its reply. Times are microseconds since the epoch, UTC:
`time` is the reading's, the others the wall clock's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from core.errors import ConfigurationError
from sensors.simulator.devices import Reading
from sensors.simulator.schedule import Episode


class Beginning(msgspec.Struct, frozen=True):
    """A simulation begins: `devices` maps `site/code` to kind; episodes stand on seconds after `started_at`."""

    started_at: int
    seed: int
    devices: dict[str, str]
    episodes: tuple[Episode, ...]


class Journal:
    """Writes the file; what was written is with the operating system when `flush` returns."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        _mend(path)
        self._file = path.open("ab")
        self._encoder = msgspec.json.Encoder()

    def begin(self, beginning: Beginning) -> None:
        """Note the beginning of a simulation."""
        self._line(beginning)

    def published(self, device: str, reading: Reading, at: int) -> None:
        """Note a message that is about to go out."""
        self._line(("p", device, reading.ts * 1000, at, reading.values, reading.flags))

    def acknowledged(self, device: str, reading: Reading, at: int) -> None:
        """Note that a message's PUBACK came."""
        self._line(("a", device, reading.ts * 1000, at))

    def carried_out(self, device: str, number: int, name: str, at: int, *, ok: bool) -> None:
        """Note a command that was carried out, or refused, for the first time."""
        self._line(("c", device, number, name, at, ok))

    def heard_again(self, device: str, number: int, at: int) -> None:
        """Note a command that came again."""
        self._line(("h", device, number, at))

    def replied(self, device: str, number: int, at: int) -> None:
        """Note that the PUBACK of a command's reply came."""
        self._line(("r", device, number, at))

    def flush(self) -> None:
        """Hand everything to the operating system: it survives a kill of this process."""
        self._file.flush()

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def _line(self, value: Any) -> None:
        self._file.write(self._encoder.encode(value) + b"\n")


def _mend(path: Path) -> None:
    """Cut off the line that a kill of the last simulator may have torn, so that this one starts a line of its own."""
    if path.exists():
        with path.open("rb+") as file:
            file.truncate(file.read().rfind(b"\n") + 1)


@dataclass(slots=True, kw_only=True)
class Record:
    """One message: `device` is `site/code`; times in microseconds; `acknowledged` None while no PUBACK came."""

    device: str
    time: int
    published: int
    values: dict[str, float | str | None]
    flags: dict[str, str]
    acknowledged: int | None = None


@dataclass(slots=True, kw_only=True)
class Deed:
    """A command as its device carried it out (`ok`) or refused it; `replied` None while no PUBACK of a reply came.

    `id` is the platform's number, `again` how often it was heard again; times in microseconds.
    """

    device: str
    id: int
    name: str
    at: int
    ok: bool
    again: int = 0
    replied: int | None = None


@dataclass(slots=True)
class Written:
    """A journal as read: simulations in order, messages and commands in the order in which they went out or came."""

    beginnings: list[Beginning] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    deeds: list[Deed] = field(default_factory=list)

    @property
    def kinds(self) -> Mapping[str, str]:
        """Kind of every device that took part."""
        return {device: kind for beginning in self.beginnings for device, kind in beginning.devices.items()}


def read_journal(path: Path) -> Written:
    """Read a journal; a last line that a kill cut short is left out.

    Raises:
        ConfigurationError: the file is missing, or a line in its middle is damaged.
    """
    written = Written()
    open_: dict[tuple[str, int], Record] = {}
    deeds: dict[tuple[str, int], Deed] = {}
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise ConfigurationError(f"the journal {path} cannot be read: {error.strerror}") from error
    # After the last line break stands nothing, or the torn line.
    for place, line in enumerate(lines[:-1], start=1):
        try:
            value = msgspec.json.decode(line)
            if isinstance(value, dict):
                written.beginnings.append(msgspec.convert(value, Beginning))
            elif value[0] == "p":
                _, device, time, published, values, flags = value
                record = Record(device=device, time=time, published=published, values=values, flags=flags)
                open_[device, time] = record
                written.records.append(record)
            elif value[0] == "a":
                _, device, time, acknowledged = value
                open_.pop((device, time)).acknowledged = acknowledged
            elif value[0] == "c":
                _, device, number, name, at, ok = value
                deed = deeds[device, number] = Deed(device=device, id=number, name=name, at=at, ok=ok)
                written.deeds.append(deed)
            elif value[0] == "h":
                deeds[value[1], value[2]].again += 1
            else:
                deed = deeds[value[1], value[2]]
                deed.replied = deed.replied or value[3]
        except (msgspec.MsgspecError, ValueError, LookupError, TypeError) as error:
            raise ConfigurationError(f"{path}: line {place} is damaged: {error}") from error
    return written
