"""A batch of messages made ready for its transaction: columns by kind, unknown metrics, entries, what is set aside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import numpy as np

from core.clock import from_micros
from ingest.message import CONNECTED, UNKNOWN_KIND, Leaf, Message
from ingest.numbering import Span, note
from ingest.rows import Rows
from ingest.status import alarm_entry, online, reply_of
from sensors.batch import BACK_FILL, CLOCK_OFFSET_APPLIED, TIME_FROM_ARRIVAL
from sensors.codec_json import BAD_TIME, Reject, TelemetryDecoder
from sensors.commands import Reply
from sensors.entries import DeviceEntry
from sensors.hj212.decode import Statistic
from sensors.profiles import Profile
from sensors.registry import Device

TOO_OLD = "too_old"  # event time before what is still taken
IN_FUTURE = "in_future"  # event time ahead of this machine's clock by more than clocks differ
NO_COMMAND = "no_command"  # a reply to a command that this device was never given
KIND_CHANGED = "kind_changed"  # decoded when it came, and stored after its kind got other channels

_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class SetAside:
    """Something for the quarantine: the message at `place` of the batch and why."""

    place: int
    reject: Reject


@dataclass(slots=True)
class Unknown:
    """Metrics that no profile knows, by column: device id, metric, microseconds, value."""

    device: list[int] = field(default_factory=list)
    metric: list[str] = field(default_factory=list)
    time: list[int] = field(default_factory=list)
    value: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Presence:
    """Whether a device is connected, as said at `at` (microseconds); `held`: by its connection to this very process."""

    device: Device
    connected: bool
    at: int
    held: bool


@dataclass(slots=True)
class Prepared:
    """What one transaction writes."""

    messages: Sequence[Message]
    rows: list[Rows] = field(default_factory=list)
    unknown: Unknown = field(default_factory=Unknown)
    aside: list[SetAside] = field(default_factory=list)
    presence: dict[int, Presence] = field(default_factory=dict)
    """By device id, the newest of the batch."""
    alarms: list[DeviceEntry] = field(default_factory=list)
    replies: list[tuple[int, int, Reply, int]] = field(default_factory=list)
    """(place of the message, device id, reply, arrival in microseconds)."""
    statistics: list[tuple[int, Statistic]] = field(default_factory=list)
    """With the id of the device; `time` has the clock offset."""
    seen: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Device -> (newest event time, newest arrival), microseconds."""
    numbers: dict[int, list[Span]] = field(default_factory=dict)
    """Running numbers of the readings that were taken."""


class Columns:
    """Gathers the rows of one kind."""

    def __init__(self, profile: Profile) -> None:
        self.decoder = TelemetryDecoder(profile)
        self.clear()

    def clear(self) -> None:
        """Begin a new batch."""
        self.device: list[int] = []
        self.site: list[int] = []
        self.time: list[int] = []
        self.flags = bytearray()
        self.values: list[list[float]] = []
        self.quality = bytearray()
        self.message: list[int] = []
        self.arrived: list[int] = []

    def rows(self) -> Rows:
        """The gathered columns as arrays."""
        width = len(self.decoder.profile.channels)
        return Rows(
            profile=self.decoder.profile,
            device=np.array(self.device, dtype=np.int32),
            site=np.array(self.site, dtype=np.int32),
            time=np.array(self.time, dtype=np.int64),
            flags=np.frombuffer(bytes(self.flags), dtype=np.uint8),
            values=np.array(self.values, dtype=np.float64).reshape(-1, width),
            quality=np.frombuffer(bytes(self.quality), dtype=np.uint8).reshape(-1, width),
            message=np.array(self.message, dtype=np.int32),
            arrived=np.array(self.arrived, dtype=np.int64),
        )


class Preparer:
    """Decodes and checks messages; pure, so a batch can be prepared again in smaller parts."""

    def __init__(self, profiles: Mapping[str, Profile], *, max_age: timedelta, max_ahead: timedelta) -> None:
        self._columns = {kind: Columns(profile) for kind, profile in profiles.items()}
        self._max_age = max_age // _MICROSECOND
        self._max_ahead = max_ahead // _MICROSECOND

    def prepare(self, messages: Sequence[Message]) -> Prepared:
        """Sort the messages out. Sets `reject` on messages of which nothing could be taken."""
        for columns in self._columns.values():
            columns.clear()
        prepared = Prepared(messages)
        for place, message in enumerate(messages):
            message.reject = None
            if message.origin.refusal is not None:
                self._set_aside(prepared, place, message.origin.refusal)
            elif message.origin.leaf is Leaf.TELEMETRY:
                self._telemetry(prepared, place, message)
            else:
                self._word(prepared, place, message)
        prepared.rows = [columns.rows() for columns in self._columns.values() if columns.device]
        return prepared

    def _set_aside(self, prepared: Prepared, place: int, reject: Reject) -> None:
        prepared.aside.append(SetAside(place, reject))
        prepared.messages[place].reject = reject

    def _telemetry(self, prepared: Prepared, place: int, message: Message) -> None:
        device = message.origin.device
        assert device is not None
        columns = self._columns.get(device.kind)
        if columns is None:
            self._set_aside(prepared, place, Reject(UNKNOWN_KIND, f"no profile for devices of kind {device.kind}"))
            return
        decoded = message.decoded or columns.decoder.decode(message.payload)
        width = len(columns.decoder.profile.channels)
        if any(len(reading.values) != width for reading in decoded.messages):
            self._set_aside(prepared, place, Reject(KIND_CHANGED, f"channels of {device.kind} changed since it came"))
            return
        arrived = message.arrived
        rejects = list(decoded.rejects)
        offset = device.clock_offset_ms * 1000
        taken = False
        newest = -1
        for reading in decoded.messages:
            time, flags = reading.time, BACK_FILL if decoded.back_fill else 0
            if time is None:
                if decoded.back_fill:
                    rejects.append(Reject(BAD_TIME, "an object of an array needs ts"))
                    continue
                time, flags = arrived, TIME_FROM_ARRIVAL
            elif offset:
                time, flags = time + offset, flags | CLOCK_OFFSET_APPLIED
            if (reject := self._out_of_time(time, arrived)) is not None:
                rejects.append(reject)
                continue
            taken = True
            newest = max(newest, time)
            if reading.sequence is not None and reading.time is not None:
                note(prepared.numbers, device.id, reading.sequence, time)
            for metric, value in reading.unknown.items():
                prepared.unknown.device.append(device.id)
                prepared.unknown.metric.append(metric)
                prepared.unknown.time.append(time)
                prepared.unknown.value.append(value)
            if not any(reading.quality):
                continue  # nothing but unknown metrics
            columns.device.append(device.id)
            columns.site.append(device.site_id)
            columns.time.append(time)
            columns.flags.append(flags)
            columns.values.append(reading.values)
            columns.quality += reading.quality
            columns.message.append(place)
            columns.arrived.append(arrived)
        if taken:
            last = prepared.seen.get(device.id, (newest, arrived))
            prepared.seen[device.id] = (max(newest, last[0]), max(arrived, last[1]))
        if not (self._statistics(prepared, message, device, rejects) or taken) and rejects:
            message.reject = rejects[0]
        prepared.aside += [SetAside(place, reject) for reject in rejects]

    def _statistics(self, prepared: Prepared, message: Message, device: Device, rejects: list[Reject]) -> bool:
        """Take the statistics of a message; True when any was taken."""
        before = len(prepared.statistics)
        for statistic in message.statistics:
            time = statistic.time + device.clock_offset_ms * 1000
            if (reject := self._out_of_time(time, message.arrived)) is None:
                prepared.statistics.append((device.id, statistic._replace(time=time)))
            elif reject not in rejects:  # all statistics of a message are of one time
                rejects.append(reject)
        return len(prepared.statistics) > before

    def _out_of_time(self, time: int, arrived: int) -> Reject | None:
        if -self._max_age <= time - arrived <= self._max_ahead:
            return None
        return Reject(TOO_OLD if time < arrived else IN_FUTURE, f"time {_shown(time)}")

    def _word(self, prepared: Prepared, place: int, message: Message) -> None:
        """Status, events, replies, and the endpoint's own word on connections."""
        device = message.origin.device
        assert device is not None
        leaf = message.origin.leaf
        if leaf is Leaf.PRESENCE:
            state: bool | Reject = message.payload == CONNECTED
        elif leaf is Leaf.STATUS:
            state = online(message.payload)
        elif leaf is Leaf.EVENT:
            alarm = alarm_entry(device, message.payload, message.arrived)
            if isinstance(alarm, Reject):
                self._set_aside(prepared, place, alarm)
            else:
                prepared.alarms.append(alarm)
            return
        else:
            reply = reply_of(message.payload)
            if isinstance(reply, Reject):
                self._set_aside(prepared, place, reply)
            else:
                prepared.replies.append((place, device.id, reply, message.arrived))
            return
        if isinstance(state, Reject):
            self._set_aside(prepared, place, state)
        else:
            # A device that connects here and says so too is held here.
            before = prepared.presence.get(device.id)
            held = leaf is Leaf.PRESENCE or (state and before is not None and before.held)
            prepared.presence[device.id] = Presence(device, state, message.arrived, held)


def _shown(time: int) -> str:
    """A time for people; what no calendar holds is shown as a number."""
    try:
        return from_micros(time).isoformat()
    except OverflowError:
        return f"{time} microseconds"
