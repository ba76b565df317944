"""Hostile inputs, the same for the same seed: MQTT sessions, JSON payloads and HJ 212 frames, valid ones bent."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from ingest.mqtt.wire import string, variable
from sensors.hj212 import compose
from sensors.hj212.checksum import crc_hj212
from sensors.hj212.packet import Packet, write

_BEIJING = timezone(timedelta(hours=8))
_EDGES = (
    b"\0",
    b"\x7f",
    b"\x80",
    b"\xff",
    b"\xff\xff",
    b"\0\0",
    b"\xff\xff\xff\x7f",
    b"\xff\xff\xff\xff\x7f",
    b"\x80" * 4,
)
_NUMBERS = ("NaN", "Infinity", "-Infinity", "1e999", "-1e999", "1e-400", "9" * 400, "0.1" + "0" * 300 + "1", "-0", "01")
_TEXTS = ("", "\0", "\ud800", "😀" * 50, "x" * 5000, "pm10", "../../x", "'; DROP TABLE device; --", "\u202e", "null")


class Hostile:
    """Makes inputs. `user` and `password` are those of a registered device, `mn` that of a station."""

    def __init__(self, seed: int, *, user: str, password: str, mn: str) -> None:
        self.random = random.Random(seed)
        self._user = user
        self._password = password
        self._mn = mn
        self._packet_id = 0
        self._sessions: tuple[Callable[[], bytes], ...] = (
            self._bent_connect, self._bent_session, self._bent_session, self._cut_session, self._giant,
            self._garbage, self._bent_properties, self._bent_properties, self._foreign,
        )  # fmt: skip

    # -- MQTT ---------------------------------------------------------------------------------------------------------

    def connect(self, version: int = 4, *, properties: bytes = b"", client_id: str = "") -> bytes:
        """A good CONNECT."""
        body = string("MQTT") + bytes((version, 0xC2)) + b"\0\x3c"
        if version == 5:
            body += variable(len(properties)) + properties
        body += string(client_id or f"f{self.random.getrandbits(48):x}") + string(self._user) + string(self._password)
        return b"\x10" + variable(len(body)) + body

    def publish(self, payload: bytes, version: int = 4, *, properties: bytes = b"", leaf: str = "telemetry") -> bytes:
        """A good PUBLISH of QoS 1 around any payload."""
        self._packet_id = self._packet_id % 65_535 + 1
        body = string(f"smartsite/v1/{self._user}/{leaf}") + self._packet_id.to_bytes(2, "big")
        if version == 5:
            body += variable(len(properties)) + properties
        body += payload
        return b"\x32" + variable(len(body)) + body

    def session(self) -> bytes:
        """What one connection sends: a session with something wrong in it, or a good one cut off."""
        return self.random.choice(self._sessions)()

    def _good_session(self) -> list[bytes]:
        version = self.random.choice((4, 5))
        topic = string(f"smartsite/v1/{self._user}/command")
        middle = b"\0" if version == 5 else b""
        asked = b"\0\7" + middle + topic
        return [
            self.connect(version),
            self.publish(self.payload(), version),
            b"\x82" + variable(len(asked) + 1) + asked + b"\1",
            b"\xa2" + variable(len(asked)) + asked,
            b"\xc0\0",
            self.publish(self._reading(), version, leaf=self.random.choice(("status", "event", "reply"))),
            b"\x40\2\0\7",
            b"\xe0\0",
        ]

    def _bent_connect(self) -> bytes:
        return self._bend(self.connect(self.random.choice((4, 5))))

    def _bent_session(self) -> bytes:
        packets = self._good_session()
        at = self.random.randrange(1, len(packets))
        packets[at] = self._bend(packets[at])
        return b"".join(packets)

    def _cut_session(self) -> bytes:
        whole = b"".join(self._good_session())
        return whole[: self.random.randrange(1, len(whole))]

    def _giant(self) -> bytes:
        head = bytes((self.random.choice((0x10, 0x30, 0x32, 0x82, 0xA2, 0x40, 0xE0, 0xC0)),))
        length = self.random.choice(
            (b"\xff\xff\xff\x7f", b"\xff\xff\xff\xff", b"\x80\x80\x80\x80\x01", b"\x80\x80\x40")
        )
        before = b"" if self.random.random() < 0.3 else self.connect(self.random.choice((4, 5)))
        return before + head + length + self.random.randbytes(self.random.randrange(200))

    def _garbage(self) -> bytes:
        before = b"" if self.random.random() < 0.5 else self.connect(self.random.choice((4, 5)))
        return before + self.random.randbytes(self.random.randrange(1, 3000))

    def _bent_properties(self) -> bytes:
        block = bytearray()
        for _ in range(self.random.randrange(1, 6)):
            block += variable(
                self.random.choice((1, 2, 3, 8, 9, 11, 17, 18, 21, 22, 23, 24, 25, 31, 33, 34, 35, 38, 39, 77))
            )
            block += self.random.choice(
                (b"", b"\0", b"\1", b"\0\1", b"\0\0\0\1", string("x"), string("a") + string("b"))
            )
            block += self.random.choice(_EDGES) if self.random.random() < 0.2 else b""
        if self.random.random() < 0.5:
            return self.connect(5, properties=bytes(block)) + b"\xc0\0"
        return self.connect(5) + self.publish(self._reading(), 5, properties=bytes(block)) + b"\xc0\0"

    def _foreign(self) -> bytes:
        return self.random.choice(
            (
                b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
                b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + self.random.randbytes(200),
                b"SSH-2.0-OpenSSH_9.6\r\n",
                b"\x05\x01\x00",
                b"\x03\x00\x00\x13\x0e\xe0\0\0\0\0\0\1\0\x08\0\3\0\0\0",
            )
        )

    def pieces(self, data: bytes) -> list[bytes]:
        """The data as it is sent: mostly whole, sometimes byte by byte or cut anywhere."""
        how = self.random.random()
        if how < 0.9:
            return [data]
        if how < 0.93 and len(data) < 600:
            return [bytes((byte,)) for byte in data]
        cuts = sorted(self.random.randrange(len(data) + 1) for _ in range(4))
        return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]

    def _bend(self, data: bytes) -> bytes:
        out = bytearray(data)
        for _ in range(self.random.choice((1, 1, 1, 2, 4, 16))):
            at = self.random.randrange(len(out) + 1)
            how = self.random.randrange(6)
            if how == 0 and at < len(out):
                out[at] ^= 1 << self.random.randrange(8)
            elif how == 1 and at < len(out):
                out[at] = self.random.randrange(256)
            elif how == 2:
                out[at:at] = self.random.choice(_EDGES)
            elif how == 3:
                del out[at : at + self.random.randrange(1, 9)]
            elif how == 4:
                out[at:at] = out[at : at + self.random.randrange(1, 40)]
            else:
                out[at : at + 2] = self.random.choice(_EDGES)
            if not out:
                out = bytearray(b"\0")
        return bytes(out)

    # -- JSON ---------------------------------------------------------------------------------------------------------

    def _reading(self) -> bytes:
        now = time.time_ns() // 1_000_000 - self.random.randrange(86_400_000)
        return b'{"ts":%d,"values":{"pm10":%.1f,"laeq":61.5}}' % (now, self.random.random() * 200)

    def payload(self) -> bytes:
        """A payload, mostly of no use: bytes bent, structure bent, or nonsense."""
        how = self.random.randrange(5)
        if how == 0:
            return self._bend(self._reading())
        if how == 1:
            return self._bent_object()
        if how == 2:
            return b"[" + b",".join(self._bent_object() for _ in range(self.random.randrange(6))) + b"]"
        if how == 3:
            depth = self.random.choice((1, 10, 1000, 20_000))
            return self.random.choice((b"[" * depth, b'{"values":' * depth, b"[" * depth + b"]" * depth))
        return self.random.randbytes(self.random.randrange(300))

    def _bent_object(self) -> bytes:
        keys = self.random.sample(("ts", "values", "flags", "values", "extra"), self.random.randrange(1, 5))
        pieces = [f"{json.dumps(key)}:{self._value(key)}" for key in keys]
        return ("{" + ",".join(pieces) + "}").encode("utf-8", "surrogatepass")

    def _value(self, key: str) -> str:
        if self.random.random() < 0.3:
            return self._scalar()
        if key == "ts":
            return str(time.time_ns() // 1_000_000 + self.random.choice((0, -1000, 10**12, -(10**13), 10**30)))
        names = [self.random.choice(("pm10", "laeq", "tsp", "nobody_knows", *_TEXTS)) for _ in range(3)]
        return "{" + ",".join(f"{json.dumps(name)}:{self._scalar()}" for name in names) + "}"

    def _scalar(self) -> str:
        return self.random.choice(
            (
                "1", "-1.5", "null", "true", "[]", "{}", '"N"', '"M"', self.random.choice(_NUMBERS),
                json.dumps(self.random.choice(_TEXTS)), json.dumps(self.random.choice(_TEXTS), ensure_ascii=False),
            )
        )  # fmt: skip

    # -- HJ 212 -------------------------------------------------------------------------------------------------------

    def good_frame(self) -> bytes:
        """A real-time frame that wants an acknowledgement."""
        moment = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=self.random.randrange(86_400))
        packet = Packet(cn="2011", mn=self._mn, qn=compose.qn(moment, _BEIJING), st="39", pw="123456", flag=5)
        values: dict[str, Any] = {"a34002": {"Rtd": round(self.random.random() * 200, 1), "Flag": "N"}}
        (made,) = compose.data(packet, moment, _BEIJING, values)
        return write(made)

    def frame(self) -> bytes:
        """A frame, mostly a bad one; now and then its checksum is right although its content is not."""
        how = self.random.randrange(6)
        if how == 0:
            return self.random.randbytes(self.random.randrange(1, 400)) + b"\r\n"
        good = self.good_frame()
        if how == 1:
            return good[: self.random.randrange(1, len(good))]
        if how == 2:
            return b"##" + self.random.choice((b"9999", b"0000", b"00x1", b"-001")) + self._bend(good[6:-6]) + good[-6:]
        if how < 5:
            content = self._bend(good[6:-6]).replace(b"\r\n", b"")
            return _sealed(content)
        return self._bend(good)


def _sealed(content: bytes) -> bytes:
    """A frame around any content, its length and checksum right."""
    return b"##%04d" % (len(content) % 10_000) + content + crc_hj212(content).encode() + b"\r\n"
