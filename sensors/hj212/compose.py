"""What either side says: acknowledgements, requests, and data packets as a station or an up-link sends them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, tzinfo
from enum import IntEnum

import msgspec

from sensors.hj212.packet import ACK_WANTED, IN_PARTS, VERSION_2017, Packet

SYSTEM = "91"
"""ST of the interaction between systems: acknowledgements."""
REQUEST_ACK, RESULT, NOTIFY_ACK, DATA_ACK = "9011", "9012", "9013", "9014"
HEARTBEAT = "9015"
SET_CLOCK, ASK_CLOCK = "1012", "1013"
CONTENT_BYTES = 950
"""Bytes of a CP section that the standard allows; more is sent in parts."""


class QnRtn(IntEnum):
    """Answer to a request (9011)."""

    READY = 1
    REFUSED = 2
    WRONG_PW = 3
    WRONG_MN = 4
    WRONG_ST = 5
    WRONG_FLAG = 6
    WRONG_QN = 7
    WRONG_CN = 8
    WRONG_CRC = 9
    UNKNOWN = 100


class ExeRtn(IntEnum):
    """Outcome of a request (9012)."""

    SUCCESS = 1
    FAILED = 2
    CONDITION = 3
    TIMED_OUT = 4
    BUSY = 5
    FAULT = 6
    NO_DATA = 100


def stamp(moment: datetime, zone: tzinfo) -> str:
    """A moment as DataTime and SystemTime write it."""
    return moment.astimezone(zone).strftime("%Y%m%d%H%M%S")


def qn(moment: datetime, zone: tzinfo) -> str:
    """A QN of a moment: 17 digits, milliseconds included."""
    return f"{stamp(moment, zone)}{moment.microsecond // 1000:03d}"


def acknowledge(packet: Packet, cn: str) -> Packet:
    """The acknowledgement (9013, 9014) of a packet: its QN, PW and MN again, in its version."""
    return Packet(qn=packet.qn, st=SYSTEM, cn=cn, pw=packet.pw, mn=packet.mn, flag=packet.version << 2)


def answer(packet: Packet, code: QnRtn) -> Packet:
    """9011: whether a request is taken."""
    return _with_content(acknowledge(packet, REQUEST_ACK), f"QnRtn={code.value}")


def result(packet: Packet, code: ExeRtn) -> Packet:
    """9012: what became of a request."""
    return _with_content(acknowledge(packet, RESULT), f"ExeRtn={code.value}")


def set_clock(packet: Packet, moment: datetime, zone: tzinfo) -> Packet:
    """1012: the platform's time, for the station that sent `packet`; an answer is wanted."""
    return Packet(
        qn=qn(moment, zone),
        st=packet.st,
        cn=SET_CLOCK,
        pw=packet.pw,
        mn=packet.mn,
        flag=packet.version << 2 | ACK_WANTED,
        content=b"SystemTime=" + stamp(moment, zone).encode(),
    )


def data(
    header: Packet,
    time: datetime,
    zone: tzinfo,
    factors: Mapping[str, Mapping[str, float | str]],
    *,
    content_bytes: int = CONTENT_BYTES,
) -> Sequence[Packet]:
    """A data packet, or its numbered parts where one would be too long; each part carries DataTime.

    `header` gives all fields but the content; `factors` is code -> {suffix as written: value}.

    Raises:
        ValueError: one factor alone is longer than a part may be.
    """
    start = f"DataTime={stamp(time, zone)}"
    sections = [start]
    for code, values in factors.items():
        item = ",".join(f"{code}-{suffix}={value}" for suffix, value in values.items())
        if len(start) + 1 + len(item) > content_bytes:
            raise ValueError(f"factor {code} does not fit into {content_bytes} bytes")
        if len(sections[-1]) + 1 + len(item) > content_bytes:
            sections.append(start)
        sections[-1] += f";{item}"
    if len(sections) == 1:
        return [_with_content(header, sections[0])]
    flag = (VERSION_2017 << 2 if header.flag is None else header.flag) | IN_PARTS
    return [
        _with_content(msgspec.structs.replace(header, flag=flag, pnum=len(sections), pno=number), section)
        for number, section in enumerate(sections, start=1)
    ]


def _with_content(packet: Packet, content: str) -> Packet:
    return msgspec.structs.replace(packet, content=content.encode("ascii"))
