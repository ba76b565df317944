"""Everybody comes back at once to an ingest that knows nobody yet."""

from __future__ import annotations

import asyncio
import time
from functools import partial

import psycopg
import pytest

from core.settings import Settings
from ingest import credentials as room
from ingest.turns import Turns
from sensors.credentials import generate_secret, hash_generated, hash_secret
from tests.ingest.plant import furnish, running, with_ingest
from tests.ingest.raw import RawClient, connect, publish
from tests.support.wait import eventually

GENERATED, CHOSEN = 300, 12


async def test_devices_come_back_to_a_cold_ingest(settings: Settings, database_url: str) -> None:
    await furnish(database_url, devices=GENERATED + CHOSEN)
    secrets = {f"d{n}": generate_secret() for n in range(1, GENERATED + CHOSEN + 1)}
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        for number, (code, secret) in enumerate(secrets.items()):
            hashed = hash_generated(secret) if number < GENERATED else hash_secret(secret)
            await connection.execute("UPDATE device SET secret_hash = %s WHERE code = %s", [hashed, code])

    async def come(port: int, code: str, packet_id: int) -> None:
        client = await RawClient.open(port)
        # As devices do that lost power: connect, and the first reading behind it without waiting.
        client.send(connect(4, user=f"A/{code}", password=secrets[code], client_id=code))
        reading = b'{"ts":%d,"values":{"pm10":5}}' % (time.time_ns() // 1_000_000)
        client.send(publish(f"smartsite/v1/A/{code}/telemetry", reading, packet_id=packet_id, version=4))
        assert await client.packet(30) == (2, b"\0\0")
        assert await client.packet(30) == (4, bytes((0, packet_id)))

    for turn in (1, 2):  # the second time argon2's answers are known although the process is another
        async with running(with_ingest(settings)) as plant:
            started = time.monotonic()
            await asyncio.gather(*(come(plant.port, code, turn) for code in secrets))
            # Both cores for all of argon2 and a busy machine are less; one check of each by argon2 would be more.
            assert time.monotonic() - started < 25
            stored = f"SELECT count(*) = {turn * len(secrets)} FROM reading_dust"
            await eventually(lambda query=stored: plant.value(query))  # type: ignore[misc]
            await RawClient.close_all()


async def test_wrong_passwords_do_not_keep_a_good_device_out(
    settings: Settings, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guesses at a device that was never here cost argon2; one with a generated secret beside them does not wait."""
    monkeypatch.setattr(room, "Turns", partial(Turns, waiting=40))
    await furnish(database_url)
    secret = generate_secret()
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        await connection.execute("UPDATE device SET secret_hash = %s WHERE code = 'd2'", [hash_generated(secret)])
    async with running(with_ingest(settings, connect_rate=0)) as plant:

        async def guess(number: int) -> None:
            client = await RawClient.open(plant.port)
            client.send(connect(5, user="A/d1", password=f"guess {number}", client_id=f"g{number}"))
            answer = await client.packet(60)
            assert answer is not None
            codes.append(answer.body[1])

        codes: list[int] = []
        guesses = [asyncio.create_task(guess(number)) for number in range(100)]
        await eventually(lambda: codes)
        started = time.monotonic()
        await RawClient.enter(plant.port, user="A/d2", password=secret)
        assert time.monotonic() - started < 5
        await asyncio.gather(*guesses)
        assert set(codes) == {0x86, 0x89}
