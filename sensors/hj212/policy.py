"""How one device speaks HJ 212: the differences between vendors, as options of the device in the registry."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta, timezone
from typing import Annotated, Any, Literal

import msgspec

from sensors.hj212.factors import FACTORS, UNITS
from sensors.hj212.sm4 import key_bytes

_ZONE = re.compile(r"([+-])(0[0-9]|1[0-4]):([0-5][0-9])")
_Code = Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9]{1,20}$")]
_Metric = Annotated[str, msgspec.Meta(pattern="^[a-z][a-z0-9_]{0,57}$")]


class Policy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of a device; the defaults are the standard's.

    Attributes:
        crc: the checksum that the device sends; `modbus-lohi` is CRC-16/Modbus, low byte first.
        on_crc_fail: `warn` stores the data all the same and sets the frame aside beside it.
        length: `strict` refuses a frame whose LEN is wrong; `resync` relies on CR LF and the checksum.
        st: system types that the device may send; empty: any.
        units: factor code -> unit in which the device sends it, where that is not the unit of FACTORS.
        factors: factor code -> channel, for codes that FACTORS does not know or knows otherwise.
        live: the command whose data becomes the device's readings; the others are statistics only.
        time_zone: offset of DataTime from UTC.
        ack_without_flag: whether a packet without Flag is acknowledged.
        calibrate: whether 1013 is answered with the time.
        password: the PW that frames must carry; empty: any.
        key: SM4 key of HJ 212-2025, 16 characters or 32 hexadecimal digits; empty: none.
    """

    crc: Literal["hj212", "modbus-lohi", "either"] = "hj212"
    on_crc_fail: Literal["reject", "warn"] = "reject"
    length: Literal["strict", "resync"] = "resync"
    st: tuple[Annotated[str, msgspec.Meta(pattern="^[0-9]{2}$")], ...] = ()
    units: dict[_Code, str] = {}
    factors: dict[_Code, _Metric] = {}
    live: Literal["2011", "2051", "2061"] = "2011"
    time_zone: str = "+08:00"
    ack_without_flag: bool = True
    calibrate: bool = True
    password: Annotated[str, msgspec.Meta(max_length=32)] = ""
    key: str = ""

    def __post_init__(self) -> None:
        if not _ZONE.fullmatch(self.time_zone):
            raise ValueError("time_zone: write an offset such as +08:00")
        for code, unit in self.units.items():
            factor = FACTORS.get(code)
            allowed = UNITS[factor.unit].scales if factor is not None else None
            if allowed is not None and unit not in allowed:
                raise ValueError(f"units: {code} may be in {', '.join(allowed)}")
            if allowed is None and unit not in ALL_UNITS:
                raise ValueError(f"units: {code} may be in one of {', '.join(sorted(ALL_UNITS))}")
        if self.key:
            try:
                key_bytes(self.key)
            except ValueError:
                raise ValueError("key: write 16 characters, or 32 hexadecimal digits") from None

    def __repr__(self) -> str:
        # The password and the key are secrets.
        shown = (name for name in self.__struct_fields__ if name not in ("password", "key"))
        return f"Policy({', '.join(f'{name}={getattr(self, name)!r}' for name in shown)})"

    @property
    def zone(self) -> timezone:
        """The zone of DataTime."""
        match = _ZONE.fullmatch(self.time_zone)
        assert match is not None
        offset = timedelta(hours=int(match[2]), minutes=int(match[3]))
        return timezone(-offset if match[1] == "-" else offset)

    @property
    def cipher_key(self) -> bytes | None:
        """The SM4 key, None where there is none."""
        return key_bytes(self.key) if self.key else None


ALL_UNITS = frozenset(unit for quantity in UNITS.values() for unit in quantity.scales)


def policy_of(options: Mapping[str, Any]) -> Policy:
    """The policy that the registry's options describe.

    Raises:
        ValueError: an option is unknown or wrong; the message names it and holds no secret.
    """
    try:
        return msgspec.convert(dict(options), Policy)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None
