"""One frame taken apart, checked by its device's policy, and put together again."""

from __future__ import annotations

import re

import msgspec

from sensors.codec_json import Reject
from sensors.hj212.checksum import crc_hj212, crc_modbus_lohi
from sensors.hj212.faults import (
    BAD_CIPHER,
    BAD_CRC,
    BAD_LENGTH,
    BAD_ST,
    MALFORMED,
    TOO_MANY,
    Refused,
)
from sensors.hj212.policy import Policy
from sensors.hj212.sm4 import is_sealed, seal, unseal

VERSION_2017, VERSION_2025 = 1, 2
"""Bits 7..2 of Flag."""
ACK_WANTED, IN_PARTS = 1, 2
"""Bits 0 and 1 of Flag: the packet is to be acknowledged; PNUM and PNO are present."""

_OPEN, _CLOSE = b"CP=&&", b"&&"
_FRAME = re.compile(rb"##([0-9]{4})(.*)(.{4})", re.DOTALL)
_NUMBER = re.compile(r"[0-9]{1,9}")
_MN = re.compile(r"[A-Za-z0-9_-]{1,64}")
_CN = re.compile(r"[0-9]{4}")
_QN = re.compile(r"[0-9]{0,32}")
_WORD = re.compile(r"[!-~]{0,32}")
_ATTRIBUTES = 2000


class Packet(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of the data segment. `content` is the plain CP section, without its `&&`.

    `flag` is None where the sender left it out. `pnum` and `pno` are 0 where the packet is not one of several.
    """

    cn: str
    mn: str
    qn: str = ""
    st: str = ""
    pw: str = ""
    flag: int | None = None
    pnum: int = 0
    pno: int = 0
    content: bytes = b""

    @property
    def version(self) -> int:
        """VERSION_2017 or VERSION_2025, other numbers for what may come."""
        return VERSION_2017 if self.flag is None else self.flag >> 2

    def wants_ack(self, policy: Policy) -> bool:
        """Whether the sender waits for an acknowledgement."""
        return policy.ack_without_flag if self.flag is None else bool(self.flag & ACK_WANTED)


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """A frame whose fields can be read, and of which nothing else is known yet: who sent it decides how it is checked.

    `packet.content` may be encrypted; `length` is what LEN said, `crc` the digits as they came.
    """

    packet: Packet
    data: bytes
    length: int
    crc: str

    @property
    def sealed(self) -> bool:
        """Whether the CP section is encrypted."""
        return is_sealed(self.packet.content)

    def has_some_crc(self) -> bool:
        """Whether the checksum is right by any of the ways of computing it."""
        return self.crc.upper() in (crc_hj212(self.data), crc_modbus_lohi(self.data))


def open_frame(raw: bytes) -> Envelope:
    """Read the fields of a frame, given without its CR LF. Raises Refused where they cannot be read."""
    match = _FRAME.fullmatch(raw)
    if match is None:
        raise Refused(MALFORMED, "not ##, four digits, data and a checksum")
    data = match[2]
    head, opened, rest = data.partition(_OPEN)
    content, closed, behind = rest.rpartition(_CLOSE)
    if not opened or not closed or behind.strip(b"; "):
        raise Refused(MALFORMED, "no CP=&&...&& at the end of the data")
    fields = _fields(head)
    packet = Packet(
        qn=_checked(fields, "QN", _QN),
        st=_checked(fields, "ST", _WORD),
        cn=_checked(fields, "CN", _CN),
        pw=_checked(fields, "PW", _WORD),
        mn=_checked(fields, "MN", _MN),
        flag=_number(fields, "Flag", most=255),
        pnum=_number(fields, "PNUM", most=9999) or 0,
        pno=_number(fields, "PNO", most=9999) or 0,
        content=content,
    )
    return Envelope(packet=packet, data=data, length=int(match[1]), crc=match[3].decode("latin-1"))


def check(envelope: Envelope, policy: Policy) -> tuple[Packet, list[Reject]]:
    """The packet in plain text, and what the policy lets pass with a warning. Raises Refused for what it does not."""
    packet, data = envelope.packet, envelope.data
    if policy.st and packet.st not in policy.st:
        raise Refused(BAD_ST, f"ST={packet.st[:20]}, expected {' or '.join(policy.st)}")
    if envelope.sealed:
        key = policy.cipher_key
        if key is None:
            raise Refused(BAD_CIPHER, "the section is encrypted, and the device has no key in the registry")
        content = unseal(packet.content, key)
        start = data.index(_OPEN) + len(_OPEN)
        data = data[:start] + content + data[start + len(packet.content) :]
        packet = msgspec.structs.replace(packet, content=content)
    warnings: list[Reject] = []
    if policy.length == "strict" and envelope.length != len(data):
        raise Refused(BAD_LENGTH, f"LEN says {envelope.length}, the data has {len(data)}")
    computed = []
    if policy.crc != "modbus-lohi":
        computed.append(crc_hj212(data))
    if policy.crc != "hj212":
        computed.append(crc_modbus_lohi(data))
    if envelope.crc.upper() not in computed:
        detail = f"checksum {envelope.crc!r}, computed {' or '.join(computed)}"
        if envelope.sealed:
            # Whatever a wrong key makes of the section is nothing to store with a warning.
            raise Refused(BAD_CIPHER, f"{detail} after decryption; is the key the device's?")
        if policy.on_crc_fail == "reject":
            raise Refused(BAD_CRC, detail)
        warnings.append(Reject(BAD_CRC, f"{detail}; stored all the same"))
    return packet, warnings


def write(packet: Packet, key: bytes | None = None) -> bytes:
    """A whole frame, CR LF included; with a key its section is encrypted.

    Raises:
        ValueError: the data is longer than LEN can say.
    """
    fields = [f"QN={packet.qn}", f"ST={packet.st}", f"CN={packet.cn}", f"PW={packet.pw}", f"MN={packet.mn}"]
    if packet.flag is not None:
        fields.append(f"Flag={packet.flag}")
    if packet.pnum:
        fields += [f"PNUM={packet.pnum}", f"PNO={packet.pno}"]
    head = (";".join(fields) + ";").encode("ascii") + _OPEN
    data = head + packet.content + _CLOSE
    if len(data) > 9999:
        raise ValueError(f"{len(data)} bytes of data, LEN has four digits; send it in parts")
    section = packet.content if key is None else seal(packet.content, key)
    return b"##%04d%b%b%b%b\r\n" % (len(data), head, section, _CLOSE, crc_hj212(data).encode("ascii"))


def attributes(content: bytes) -> dict[str, dict[str, str]]:
    """A CP section as code -> {suffix in lower case: value}; fields without a suffix stand under "".

    Which comma or semicolon parts two attributes does not matter: vendors mix them up. Of an attribute that stands
    twice the first counts. Raises Refused.
    """
    found: dict[str, dict[str, str]] = {}
    parts = content.decode("utf-8", errors="replace").replace(";", ",").split(",")
    if len(parts) > _ATTRIBUTES:
        raise Refused(TOO_MANY, f"{len(parts)} attributes in one packet, at most {_ATTRIBUTES}")
    for part in parts:
        name, equals, value = part.partition("=")
        if not equals:
            if part.strip():
                raise Refused(MALFORMED, f"{part[:40]!r} is no name=value")
            continue
        code, _, suffix = name.strip().partition("-")
        found.setdefault(code, {}).setdefault(suffix.lower(), value.strip())
    return found


def _fields(head: bytes) -> dict[str, str]:
    fields: dict[str, str] = {}
    for part in head.decode("utf-8", errors="replace").split(";"):
        name, equals, value = part.partition("=")
        if equals:
            fields.setdefault(name.strip(), value.strip())
        elif part.strip():
            raise Refused(MALFORMED, f"{part[:40]!r} is no name=value")
    return fields


def _checked(fields: dict[str, str], name: str, pattern: re.Pattern[str]) -> str:
    value = fields.get(name, "")
    if not pattern.fullmatch(value):
        raise Refused(MALFORMED, f"{name}={value[:64]!r}" if name in fields else f"no {name}")
    return value


def _number(fields: dict[str, str], name: str, *, most: int) -> int | None:
    value = fields.get(name, "")
    if not value:
        return None
    if not _NUMBER.fullmatch(value) or int(value) > most:
        raise Refused(MALFORMED, f"{name}={value[:20]!r}")
    return int(value)
