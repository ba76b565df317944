"""TLS of the endpoint, and whom a client certificate stands for."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.errors import ConfigurationError

SCHEME = "smartsite:"
"""Scheme of the subject alternative name (a URI) that names a device: `smartsite:{site}/{device}`."""


def server_context(*, certificate: Path, key: Path, client_ca: Path | None, require: bool) -> ssl.SSLContext:
    """TLS 1.2 and up with the server's certificate chain; with `client_ca` devices may show one of their own.

    Raises ConfigurationError naming the file that cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            f"the certificate {certificate} with the key {key} cannot be used: {error}",
            hint="PEM files: the server's certificate with its chain, and its private key without a passphrase",
        ) from error
    if client_ca is not None:
        try:
            context.load_verify_locations(client_ca)
        except (OSError, ssl.SSLError) as error:
            raise ConfigurationError(
                f"the certificate authority {client_ca} cannot be used: {error}", hint="a PEM file"
            ) from error
        context.verify_mode = ssl.CERT_REQUIRED if require else ssl.CERT_OPTIONAL
    return context


def identity(certificate: Mapping[str, Any] | None) -> str | None:
    """The user name `{site}/{device}` that a verified certificate stands for; None without a certificate.

    A URI of the scheme `smartsite:` among the subject alternative names counts before the common name. Empty where
    the certificate names no device: its owner must not get in as somebody else.
    """
    if not certificate:
        return None
    for kind, name in certificate.get("subjectAltName", ()):
        if kind == "URI" and name.startswith(SCHEME):
            return str(name.removeprefix(SCHEME))
    for parts in certificate.get("subject", ()):
        for field, value in parts:
            if field == "commonName":
                return str(value)
    return ""
