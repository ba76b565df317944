"""A device's clock: from its newest reading, or from what lay too far in the future to be stored."""

from __future__ import annotations

from datetime import timedelta

from tests.api.conftest import LogIn
from tests.api.world import World


async def test_a_device_that_sends_local_time_as_utc(log_in: LogIn, world: World) -> None:
    client = await log_in("officer")
    url = f"/api/v1/devices/{world.ids['dust-north']}/clock"
    told = (await client.get(url)).json()
    assert (told["clock_skew_s"], told["samples"], told["basis"], told["suggestion"]) == (None, 0, "", None)
    for second in range(5):
        at = world.now - timedelta(seconds=second)
        await world.connection.execute(
            "INSERT INTO quarantine (arrived_at, source, device_id, reason, detail, payload, payload_bytes)"
            " VALUES (%s, 'mqtt', %s, 'in_future', %s, '', 0)",
            [at, world.ids["dust-north"], f"time {(at + timedelta(hours=8, seconds=-1)).isoformat()}"],
        )
    told = (await client.get(url)).json()
    assert (told["clock_skew_s"], told["samples"], told["basis"]) == (28_799, 5, "set_aside")
    assert told["suggestion"] == {"clock_offset_ms": -28_800_000, "reason": "local_time"}
    # Stored readings since then say that it is mended.
    await world.seen("dust-north", ago_s=-1)
    told = (await client.get(url)).json()
    assert (told["clock_skew_s"], told["basis"], told["suggestion"]) == (0, "stored", None)


async def test_a_slow_clock(log_in: LogIn, world: World) -> None:
    await world.seen("dust-north")
    await world.connection.execute("UPDATE device_seen SET last_time = last_seen_at - interval '1 hour'")
    told = (await (await log_in("officer")).get(f"/api/v1/devices/{world.ids['dust-north']}/clock")).json()
    assert (told["clock_skew_s"], told["basis"]) == (-3600, "stored")
    assert told["suggestion"] == {"clock_offset_ms": 3_600_000, "reason": "behind"}
