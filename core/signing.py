"""The platform's signing key: whoever holds the public half can tell what was signed from what was changed since.

Ed25519 (RFC 8032). The private key is a PEM file (PKCS #8) that only its owner may read; where several machines run
the platform they share one file, or each has its own and both public keys are handed out.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from core.errors import ConfigurationError


class SigningKey:
    """Signs as the platform."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        raw = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.public = raw.hex()
        """The public key: 32 bytes in hex."""
        self.id = fingerprint(self.public)

    @classmethod
    def load(cls, path: Path) -> SigningKey:
        """The key in the file, which is made where there is none; of two processes that make it one wins.

        Raises:
            ConfigurationError: the file cannot be read or written, or holds no Ed25519 key.
        """
        try:
            if not path.exists():
                _make(path)
            private = load_pem_private_key(path.read_bytes(), password=None)
        except (OSError, ValueError, TypeError) as error:
            raise ConfigurationError(
                f"the signing key {path} is not usable: {error}",
                hint="name an Ed25519 key in PEM without a passphrase in signing_key, or a place where one can be made",
            ) from error
        if not isinstance(private, Ed25519PrivateKey):
            raise ConfigurationError(f"{path} holds no Ed25519 key", hint="openssl genpkey -algorithm ed25519")
        return cls(private)

    def sign(self, data: bytes) -> str:
        """The signature of the data: 64 bytes in hex."""
        return self._private.sign(data).hex()


def verify(public: str, data: bytes, signature: str) -> bool:
    """Whether the signature (hex) of the data was made by the holder of the public key (hex)."""
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(public)).verify(bytes.fromhex(signature), data)
    except (InvalidSignature, ValueError):
        return False
    return True


def fingerprint(public: str) -> str:
    """A short name of a public key (hex), to be compared by eye."""
    return hashlib.sha256(bytes.fromhex(public)).hexdigest()[:16]


def _make(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    # mkstemp's file is its owner's alone from the beginning.
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".signing-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(name, path)
        except FileExistsError:
            return  # another process was quicker: its key is the one
    finally:
        Path(name).unlink()
