"""Secrets of devices and passwords of people, kept as hashes only.

What a person chose is hashed with argon2, which makes guessing dear. A generated secret has 128 random bits: nobody
guesses those at any speed, so a salted SHA-256 is as safe for it, and a device is checked in microseconds where argon2
takes some 20 ms of a core (NIST SP 800-63B, 5.1.2: look-up secrets of 112 bits and more need no slow hash).

A device's chosen secret is hashed cheaper than a person's password: 19 MiB, two passes, one lane, the least that
OWASP's password sheet allows. A hash names its own method and parameters, so all verify by the same function.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

_device = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
_person = PasswordHasher()
_GENERATED = "$sha256$"
_SALT_BYTES = 8


def generate_secret() -> str:
    """A new secret of a device: 128 random bits, URL-safe."""
    return secrets.token_urlsafe(16)


def hash_generated(secret: str) -> str:
    """Hash of what `generate_secret` made, `$sha256$salt$digest` in hexadecimal; never for a secret of other origin."""
    salt = secrets.token_hex(_SALT_BYTES)
    return f"{_GENERATED}{salt}${_digest(salt, secret)}"


def hash_secret(secret: str) -> str:
    """Hash of a device's secret that somebody chose; takes some 20 ms of one core without the interpreter's lock."""
    return _device.hash(secret)


def hash_password(password: str) -> str:
    """Hash of a person's password, with the library's own parameters (RFC 9106, low memory)."""
    return _person.hash(password)


def is_quick(hashed: str) -> bool:
    """Whether `verify` takes microseconds for this hash, and may be called in an event loop."""
    return hashed.startswith(_GENERATED)


def verify(hashed: str, secret: str) -> bool:
    """Whether the secret is the one that was hashed; False for a hash that cannot be read."""
    if is_quick(hashed):
        salt, _, digest = hashed.removeprefix(_GENERATED).partition("$")
        return hmac.compare_digest(_digest(salt, secret).encode(), digest.encode())
    try:
        return _person.verify(hashed, secret)
    except (VerificationError, InvalidHashError):
        return False


def _digest(salt: str, secret: str) -> str:
    return hashlib.sha256(f"{salt}${secret}".encode()).hexdigest()
