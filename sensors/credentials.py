"""Secrets of devices and passwords of people, kept as argon2 hashes only.

A device's secret is checked at every connection, 500 at once after a power cut, so its hash is cheaper than a
password's: 19 MiB, two passes, one lane, the least that OWASP's password sheet allows. A hash names its own
parameters, so either verifies by the same function.
"""

from __future__ import annotations

import secrets

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

_device = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
_person = PasswordHasher()


def generate_secret() -> str:
    """A new secret of a device: 128 random bits, URL-safe."""
    return secrets.token_urlsafe(16)


def hash_secret(secret: str) -> str:
    """Hash of a device's secret; takes some 20 ms of one core without holding the interpreter's lock."""
    return _device.hash(secret)


def hash_password(password: str) -> str:
    """Hash of a person's password, with the library's own parameters (RFC 9106, low memory)."""
    return _person.hash(password)


def verify(hashed: str, secret: str) -> bool:
    """Whether the secret is the one that was hashed; False for a hash that cannot be read."""
    try:
        return _person.verify(hashed, secret)
    except (VerificationError, InvalidHashError):
        return False
