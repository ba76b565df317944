"""Sessions of the command topic, and wills that wait: what outlives a connection and for how long."""

from __future__ import annotations

import pytest

from ingest.message import CONNECTED, DISCONNECTED
from tests.ingest.alone import USER, Bench
from tests.ingest.raw import RawClient, connect, packet, subscribe, text

COMMAND = f"smartsite/v1/{USER}/command"
WILL = (f"smartsite/v1/{USER}/status", b"offline")


def expiry(seconds: int) -> bytes:
    """The property Session Expiry Interval."""
    return b"\x11" + seconds.to_bytes(4, "big")


async def enter(alone: Bench, asked: bytes) -> tuple[RawClient, int, bytes]:
    """Connect; the client, whether a session was present, and the rest of CONNACK."""
    client = await RawClient.open(alone.port)
    client.send(asked)
    answer = await client.packet()
    assert answer is not None
    assert (answer.kind, answer.body[1]) == (2, 0)
    return client, answer.body[0], answer.body[2:]


async def payloads(alone: Bench, count: int) -> list[bytes]:
    """What the next messages say."""
    return [message.payload for message in await alone.arrived(count)]


@pytest.mark.parametrize("version", [4, 5])
async def test_a_kept_session_still_hears_commands(alone: Bench, version: int) -> None:
    kept = expiry(600) if version == 5 else b""
    keeping = connect(version, clean=False, properties=kept)
    first, present, about = await enter(alone, keeping)
    assert present == 0
    assert version == 4 or kept in about
    first.send(subscribe(COMMAND, version=version))
    assert (await first.packet()).kind == 9  # type: ignore[union-attr]
    device = next(iter(alone.endpoint.credentials._registry.current.devices))
    assert alone.endpoint.take_fresh() == {device}
    await first.close()
    await alone.known(0)
    assert not alone.endpoint.reaches(device)

    _, present, _ = await enter(alone, keeping)
    assert present == 1
    assert alone.endpoint.reaches(device)
    assert alone.endpoint.take_fresh() == {device}


async def test_a_session_ends_with_its_time_or_by_a_clean_start(alone: Bench) -> None:
    async def again(asked: bytes) -> int:
        client, present, _ = await enter(alone, asked)
        await client.close()
        await alone.known(0)
        return present

    keeping = connect(clean=False, properties=expiry(600))
    assert [await again(keeping), await again(keeping)] == [0, 1]
    await alone.clock.advance(601)
    assert await again(keeping) == 0
    assert await again(connect(clean=True, properties=expiry(600))) == 0
    assert await again(keeping) == 1
    # Without an expiry of its own the session ends with the connection.
    assert [await again(connect(clean=False)), await again(connect(clean=False))] == [1, 0]
    # Nobody else has it, and none is kept longer than a day.
    assert await again(keeping) == 0
    assert await again(connect(clean=False, client_id="another", properties=expiry(0xFFFFFFFF))) == 0
    await alone.clock.advance(86_401)
    assert await again(connect(clean=False, client_id="another", properties=expiry(600))) == 0


async def test_what_is_granted_is_told(alone: Bench) -> None:
    _, _, about = await enter(alone, connect(properties=expiry(0xFFFFFFFF)))
    assert expiry(86_400) in about


async def test_a_good_bye_may_end_the_session_or_change_its_time(alone: Bench) -> None:
    keeping = connect(clean=False, properties=expiry(600))
    for asked, later in ((b"\xe0\x07\x00\x05" + expiry(0), 0), (b"\xe0\x07\x00\x05" + expiry(900), 1)):
        client, _, _ = await enter(alone, keeping)
        client.send(asked)
        assert await client.closed()
        await alone.clock.advance(10)
        client, present, _ = await enter(alone, keeping)
        assert present == later
        client.send(b"\xe0\x00")
        assert await client.closed()
    bare, _, _ = await enter(alone, connect(client_id="bare"))
    bare.send(b"\xe0\x07\x00\x05" + expiry(900))
    answer = await bare.packet()
    assert answer is not None
    assert (answer.kind, answer.body[0]) == (14, 0x82)


def delayed(seconds: int, session: int) -> bytes:
    """A CONNECT of MQTT 5 with a will that waits."""
    plain = connect(clean=False, keep_alive=0, will=WILL, properties=expiry(session))
    body = plain[2 if plain[1] < 0x80 else 3 :]
    # The will's own properties stand before its topic: in place of none comes the delay.
    place = body.index(b"\0" + text(WILL[0]))
    return packet(0x10, body[:place] + b"\x05\x18" + seconds.to_bytes(4, "big") + body[place + 1 :])


async def test_a_will_waits_for_the_client_to_come_back(alone: Bench) -> None:
    client, _, _ = await enter(alone, delayed(30, 600))
    await client.close()
    assert await payloads(alone, 2) == [CONNECTED, DISCONNECTED]
    await alone.clock.advance(29)
    assert len(alone.intake) == 0
    back, present, _ = await enter(alone, delayed(30, 600))
    assert present == 1
    await alone.clock.advance(60)
    assert await payloads(alone, 1) == [CONNECTED]
    await back.close()
    assert await payloads(alone, 1) == [DISCONNECTED]
    await alone.clock.advance(31)
    assert await payloads(alone, 1) == [b"offline"]
    await alone.clock.advance(700)
    assert len(alone.intake) == 0


async def test_a_will_comes_at_the_latest_when_the_session_ends(alone: Bench) -> None:
    client, _, _ = await enter(alone, delayed(300, 20))
    await client.close()
    assert await payloads(alone, 2) == [CONNECTED, DISCONNECTED]
    await alone.clock.advance(21)
    assert await payloads(alone, 1) == [b"offline"]
    client, _, _ = await enter(alone, delayed(300, 0))
    await client.close()
    assert await payloads(alone, 3) == [CONNECTED, b"offline", DISCONNECTED]


async def test_a_clean_start_ends_the_session_and_publishes_its_will(alone: Bench) -> None:
    client, _, _ = await enter(alone, delayed(300, 600))
    await client.close()
    assert await payloads(alone, 2) == [CONNECTED, DISCONNECTED]
    _, present, _ = await enter(alone, connect(clean=True))
    assert present == 0
    assert await payloads(alone, 2) == [CONNECTED, b"offline"]


async def test_a_take_over_continues_the_session_and_holds_the_will_back(alone: Bench) -> None:
    first, _, _ = await enter(alone, delayed(300, 600))
    _, present, _ = await enter(alone, delayed(300, 600))
    assert present == 1
    answer = await first.packet()
    assert answer is not None
    assert (answer.kind, answer.body[0]) == (14, 0x8E)
    await alone.clock.advance(301)
    assert await payloads(alone, 3) == [CONNECTED, DISCONNECTED, CONNECTED]
    assert len(alone.intake) == 0


async def test_flags_of_connect_are_0_or_1(alone: Bench) -> None:
    await enter(alone, connect(properties=b"\x19\x01\x17\x00"))
    for wrong in (b"\x19\x02", b"\x17\x02"):
        client = await RawClient.open(alone.port)
        client.send(connect(properties=wrong))
        answer = await client.packet()
        assert answer is not None
        assert (answer.kind, answer.body[1]) == (2, 0x82)
