"""Secrets and passwords of rows turned into hashes, on all cores; one that still fits its hash is left alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from sensors.credentials import generate_secret, hash_generated, hash_password, hash_secret, verify
from sensors.provision.report import GeneratedSecret
from sensors.provision.rows import DeviceRow, PersonRow
from sensors.provision.store import Store


async def person_hashes(rows: Sequence[PersonRow], store: Store) -> dict[str, dict[str, str]]:
    """Code -> {"password_hash": ...} of those whose password is new."""
    given = {row.code: row.password for row in rows if row.password is not None}
    return await _hashes(given, store, "person", "password_hash", hash_password)


async def device_hashes(
    rows: Sequence[DeviceRow], store: Store
) -> tuple[dict[str, dict[str, str]], list[GeneratedSecret]]:
    """`site/code` -> {"secret_hash": ...} of those whose secret is new, and the secrets made for those without any."""
    given: dict[str, str] = {}
    generated: list[GeneratedSecret] = []
    hashes: dict[str, dict[str, str]] = {}
    for row in rows:
        key = f"{row.site}/{row.code}"
        present = store.values("device", key)
        if row.secret is not None:
            given[key] = row.secret
        elif present is None or present["secret_hash"] is None:
            secret = generate_secret()
            generated.append(GeneratedSecret(key, secret))
            hashes[key] = {"secret_hash": hash_generated(secret)}
    return hashes | await _hashes(given, store, "device", "secret_hash", hash_secret), generated


async def _hashes(
    given: dict[str, str], store: Store, table: str, column: str, hash_: Callable[[str], str]
) -> dict[str, dict[str, str]]:
    def work(key: str, secret: str) -> str | None:
        present = store.values(table, key)
        if present is not None and present[column] is not None and verify(present[column], secret):
            return None
        return hash_(secret)

    # argon2 lets go of the interpreter's lock, so threads use all cores.
    found = await asyncio.gather(*(asyncio.to_thread(work, key, secret) for key, secret in given.items()))
    return {key: {column: hashed} for key, hashed in zip(given, found, strict=True) if hashed is not None}
