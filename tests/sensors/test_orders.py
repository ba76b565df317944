"""A simulated device does each command once and says what it said before when the command comes again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from core.clock import micros
from sensors.simulator.journal import Journal, read_journal
from sensors.simulator.orders import Orders
from sensors.simulator.sprayer import Outcome
from tests.support.clock import FakeClock


class Valve:
    """Does what it is told, unless it is told to burst."""

    def __init__(self) -> None:
        self.done: list[tuple[str, dict[str, Any]]] = []

    def carry_out(self, name: str, arguments: Any, moment: Any) -> Outcome:
        self.done.append((name, arguments))
        return Outcome(ok=name != "burst", detail=f"done {len(self.done)}")


class Device:
    """Orders with what they said."""

    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock()
        self.valve = Valve()
        self.said: list[dict[str, Any]] = []
        self.path = folder / "journal.jsonl"
        self.journal = Journal(self.path)
        self.orders = Orders("a/v", self.valve, reply=self._reply, journal=self.journal, clock=self.clock)

    def _reply(self, payload: bytes, number: int) -> None:
        self.said.append(msgspec.json.decode(payload))
        assert self.said[-1]["id"] == number

    def hear(self, number: int, name: str = "open", *, expires_in_s: float = 60) -> None:
        expires = micros(self.clock.now()) // 1000 + int(expires_in_s * 1000)
        self.orders.hear(msgspec.json.encode({"id": number, "name": name, "arguments": {"n": 1}, "expires": expires}))


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Device]:
    device = Device(tmp_path)
    with device.journal:
        yield device


def test_the_same_id_is_done_once_and_answered_twice(device: Device) -> None:
    device.hear(7)
    device.hear(7)
    device.hear(8, "burst")
    assert device.valve.done == [("open", {"n": 1}), ("burst", {"n": 1})]
    assert device.said == [
        {"id": 7, "ok": True, "detail": "done 1"},
        {"id": 7, "ok": True, "detail": "done 1"},
        {"id": 8, "ok": False, "detail": "done 2"},
    ]
    assert not device.orders.settled
    for number in (7, 8):
        device.orders.acknowledged(number)
    assert not device.orders.settled
    device.orders.acknowledged(7)
    assert device.orders.settled
    device.journal.flush()
    first, second = read_journal(device.path).deeds
    assert (first.id, first.ok, first.again, first.replied is not None) == (7, True, 1, True)
    assert (second.id, second.ok, second.again) == (8, False, 0)


def test_what_is_too_old_is_refused(device: Device) -> None:
    device.hear(7, expires_in_s=-1)
    assert device.valve.done == []
    assert device.said == [{"id": 7, "ok": False, "detail": "too old"}]


def test_what_is_no_command_is_let_pass(device: Device) -> None:
    device.orders.hear(b"{")
    device.orders.hear(b'{"id": "x"}')
    assert device.said == []
