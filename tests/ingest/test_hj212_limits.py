"""What one connection may take of the gateway's time and memory; the clock is a fake one, the sockets are real."""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import cast

import pytest

from ingest.hj212.connection import WINDOW, WINDOW_BYTES
from ingest.hj212.gateway import Gateway, Limits
from ingest.intake import Intake
from ingest.message import CONNECTED, DISCONNECTED, Message
from ingest.writer import acknowledge
from sensors.registry import Device, RegistryWatch
from tests.ingest.messages import PROFILES, device, message
from tests.ingest.stations import MN, Box, data, recent
from tests.support.clock import FakeClock
from tests.support.wait import eventually


def registry_of(*devices: Device) -> RegistryWatch:
    """A registry that never changes."""
    sites = {one.site_id: SimpleNamespace(enabled=True) for one in devices}
    current = SimpleNamespace(by_mn={one.mn: one for one in devices}, sites=sites)
    return cast("RegistryWatch", SimpleNamespace(current=current, on_change=lambda _: None))


class Bench:
    """A gateway without a writer: the test takes messages and acknowledges them."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.boxes: list[Box] = []
        self.intake = Intake(high=1000, high_bytes=1 << 20)
        self.gateway = Gateway(
            host="127.0.0.1",
            port=0,
            limits=Limits(frame_bytes=16_384, connections=10, per_address=8, idle_s=900),
            profiles=PROFILES,
            registry=registry_of(device(1, mn=MN["d1"]), device(2, mn=MN["d2"], kind="no_such_kind")),
            intake=self.intake,
            clock=clock,
        )

    async def arrived(self, count: int) -> list[Message]:
        """Take messages once there are that many."""
        await eventually(lambda: len(self.intake) >= count)
        return self.intake.take(10_000, 1 << 30)

    async def let_pass(self, seconds: float) -> None:
        """Let time pass, and the sweep see it."""
        await self.clock.advance(seconds)

    async def box(self) -> Box:
        """A new connection; the fixture closes it."""
        box = await Box.connect(self.gateway.ports[0])
        self.boxes.append(box)
        return box

    async def readings(self, count: int) -> list[Message]:
        """Acknowledge whatever comes until there are that many messages with data, and return those."""
        found: list[Message] = []

        def look() -> bool:
            taken = self.intake.take(10_000, 1 << 30)
            acknowledge(taken)
            found.extend(message for message in taken if message.decoded is not None)
            return len(found) >= count

        await eventually(look)
        return found


@pytest.fixture
async def bench(clock: FakeClock) -> AsyncIterator[Bench]:
    bench = Bench(clock)
    await bench.gateway.start()
    yield bench
    for box in bench.boxes:
        await box.close()
    await bench.gateway.quiesce()
    await bench.gateway.close()


async def test_nothing_is_acknowledged_before_the_writer_says_so(bench: Bench) -> None:
    box = await bench.box()
    await box.send(data())
    presence, reading = await bench.arrived(2)
    assert (presence.payload, presence.holder) == (CONNECTED, None)
    with pytest.raises(TimeoutError):
        await box.receive(timeout=0.1)
    acknowledge([reading])
    assert (await box.receive()).cn == "9014"
    await box.close()
    (presence,) = await bench.arrived(1)
    assert presence.payload == DISCONNECTED


async def test_a_connection_is_not_read_beyond_its_window(bench: Bench) -> None:
    box = await bench.box()
    count = 3 * WINDOW
    await box.send(*(data(at=recent(number)) for number in range(count)))
    messages = await bench.arrived(1 + WINDOW)
    assert len(messages) == 1 + WINDOW
    with pytest.raises(AssertionError):
        await eventually(lambda: len(bench.intake), timeout=0.1)
    acknowledge(messages)
    assert len(await bench.readings(count - WINDOW)) == count - WINDOW
    for _ in range(count):
        assert (await box.receive()).cn == "9014"


async def test_the_window_counts_bytes_too(bench: Bench) -> None:
    box = await bench.box()
    long = b"##9999" + b"x" * 16_000 + b"\r\n"
    await box.send(data(), *[long] * 60)
    messages = await bench.arrived(2 + WINDOW_BYTES // 16_384)
    assert WINDOW_BYTES <= sum(len(one.payload) for one in messages) <= WINDOW_BYTES + 16_384


async def test_pressure_of_the_intake_stops_reading(bench: Bench) -> None:
    bench.intake.put([message(b"x" * (2 << 20))])
    assert bench.intake.pressure
    box = await bench.box()
    await box.send(data())
    with pytest.raises(AssertionError):
        await eventually(lambda: len(bench.intake) > 1, timeout=0.1)
    bench.intake.take(1, 1 << 30)
    assert len(await bench.arrived(2)) == 2


async def test_who_never_shows_a_station_is_shed(bench: Bench) -> None:
    box = await bench.box()
    await box.send(b"GET / HTTP/1.1\r\n\r\n")
    await bench.arrived(1)
    await bench.let_pass(125)
    await box.closed()


async def test_a_frame_that_trickles_in_is_shed(bench: Bench) -> None:
    box = await bench.box()
    await box.send(data())
    await bench.arrived(2)
    for byte in data()[:5]:
        await box.send(bytes([byte]))
        await bench.let_pass(8)
    await box.closed()


async def test_silence_is_shed_but_not_while_we_do_not_read(bench: Bench) -> None:
    idle, waiting = await bench.box(), await bench.box()
    await idle.send(data())
    acknowledge((await bench.arrived(2))[1:])
    await waiting.send(*(data(at=recent(number)) for number in range(WINDOW)))
    messages = await bench.arrived(WINDOW)
    await bench.let_pass(905)
    await idle.closed()
    # This one waits for the database, and is still there when it comes back.
    acknowledge(messages)
    for _ in range(WINDOW):
        assert (await waiting.receive()).cn == "9014"


async def test_who_does_not_take_the_answers_is_shed(bench: Bench) -> None:
    box = await bench.box()
    await box.send(data())
    await bench.arrived(2)
    (connection,) = bench.gateway._links
    connection.pause_writing()  # as the transport does when its buffer is full
    await bench.let_pass(905)
    await box.closed()


async def test_what_has_no_end_does_not_grow(bench: Bench) -> None:
    box = await bench.box()
    await box.send(data(), *[b"##0100" + b"y" * 16_000] * 20)
    await box.send(b"\r\n", data(at=recent(1)))
    assert len(await bench.readings(2)) == 2


async def test_a_kind_without_a_profile_is_left_to_the_writer(bench: Bench) -> None:
    box = await bench.box()
    await box.send(data("d2"))
    _, reading = await bench.arrived(2)
    assert reading.decoded is None
    assert reading.origin.refusal is None


async def test_one_address_has_its_share_and_no_more(bench: Bench) -> None:
    for _ in range(bench.gateway.limits.per_address):
        await bench.box()
    await eventually(lambda: len(bench.gateway._links) == bench.gateway.limits.per_address)
    await (await bench.box()).closed()
    await bench.let_pass(125)
    await eventually(lambda: not bench.gateway._links)
    box = await bench.box()
    await box.send(data())
    assert len(await bench.readings(1)) == 1
