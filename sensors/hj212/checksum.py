"""The two checksums that stations put behind their data: HJ 212's own, and Modbus' where a vendor took that instead."""

from __future__ import annotations

_POLYNOMIAL = 0xA001


def _entry(value: int) -> int:
    for _ in range(8):
        value = value >> 1 ^ _POLYNOMIAL if value & 1 else value >> 1
    return value


_TABLE = tuple(_entry(value) for value in range(256))


def crc_hj212(data: bytes) -> str:
    """CRC of HJ 212, annex A: 4 upper-case hexadecimal digits, high byte first.

    Unlike Modbus the register's *high* byte is shifted down before the XOR, so a step sees 8 bits only.
    """
    register = 0xFFFF
    for byte in data:
        register = _TABLE[register >> 8 ^ byte]
    return f"{register:04X}"


def crc_modbus_lohi(data: bytes) -> str:
    """CRC-16/Modbus as some loggers send it: 4 upper-case hexadecimal digits, low byte first."""
    register = 0xFFFF
    for byte in data:
        register = register >> 8 ^ _TABLE[(register ^ byte) & 0xFF]
    return f"{register & 0xFF:02X}{register >> 8:02X}"
