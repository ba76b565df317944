"""A hand on a camera by a clock that stands still: what is ordered when, and that a stop ends every way out."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest

from api.ptz.steering import DEADMAN_S, IDLE_S, MOST_S, REFRESH_S, STOP_TRIES, TIMEOUT_S, Ending, Steering, TakenOver
from tests.support.clock import FakeClock
from vision.onvif import Velocity
from vision.soap import OnvifError

RIGHT, LEFT, STILL = Velocity(pan=1), Velocity(pan=-1), Velocity()


@dataclass
class Camera:
    """Takes orders with their times; calls can be made to fail or to wait."""

    clock: FakeClock
    orders: list[tuple[float, str]] = field(default_factory=list)
    failing: set[str] = field(default_factory=set)
    gate: asyncio.Event | None = None

    async def move(self, velocity: Velocity, *, timeout_s: float) -> None:
        assert timeout_s == TIMEOUT_S
        await self._take("right" if velocity.pan > 0 else "left")

    async def stop(self) -> None:
        await self._take("stop")

    async def _take(self, order: str) -> None:
        self.orders.append((self.clock.monotonic(), order))
        if self.gate is not None:
            await self.gate.wait()
        if ("stop" if order == "stop" else "move") in self.failing:
            raise OnvifError("time_out", "no answer")

    @property
    def names(self) -> list[str]:
        return [name for _, name in self.orders]


@dataclass
class Hold:
    """A hold that can be lost, and a database that can be away."""

    lost: bool = False
    away: bool = False
    renewals: list[bool] = field(default_factory=list)
    stops: int = 0

    async def renew(self, *, moving: bool) -> None:
        if self.away:
            raise psycopg.OperationalError("the server closed the connection")
        if self.lost:
            raise TakenOver
        self.renewals.append(moving)

    async def stopped(self) -> None:
        if self.away:
            raise psycopg.OperationalError("the server closed the connection")
        self.stops += 1


class Script:
    """A hand that is being moved by a test."""

    def __init__(self, clock: FakeClock, *, owes_stop: bool = False) -> None:
        self.clock = clock
        self.camera, self.hold = Camera(clock), Hold()
        self.told: list[dict[str, Any]] = []
        self.steering = Steering(self.camera, self.hold, clock=clock, tell=self.told.append, owes_stop=owes_stop)
        self.task = asyncio.create_task(self.steering.run())

    async def hold_on(self, velocity: Velocity, seconds: float) -> None:
        """Wish for it twice a second, as the page does."""
        for _ in range(round(seconds / 0.5)):
            self.steering.wish(velocity)
            await self.clock.advance(0.5)

    async def over(self) -> Ending:
        await self.clock.advance(0)
        assert self.task.done()
        return self.task.result()


@pytest.fixture
async def script(clock: FakeClock) -> Script:
    return Script(clock)


async def test_it_moves_while_held_and_stops_at_once_when_let_go(script: Script) -> None:
    await script.hold_on(RIGHT, 3)
    moves = [at for at, name in script.camera.orders if name == "right"]
    assert moves[0] == 0
    # Renewed before the camera's own time-out, so that it does not stutter, and not with every wish.
    gaps = [later - earlier for earlier, later in itertools.pairwise(moves)]
    assert all(REFRESH_S <= gap < TIMEOUT_S / 1.5 for gap in gaps), gaps
    script.steering.wish(STILL)
    await script.clock.advance(0)
    assert script.camera.orders[-1] == (3, "stop")
    assert (script.steering.moves, script.hold.stops) == (1, 1)
    await script.clock.advance(10)
    assert script.camera.names.count("stop") == 1
    assert [one["moving"] for one in script.told] == [True, False]
    script.steering.end()
    assert await script.over() == "left"
    assert script.camera.names.count("stop") == 1


async def test_a_new_direction_needs_no_stop_between(script: Script) -> None:
    await script.hold_on(RIGHT, 1)
    await script.hold_on(LEFT, 1)
    script.steering.end()
    assert await script.over() == "left"
    assert "stop" not in script.camera.names[:-1]
    assert script.camera.names[-1] == "stop"
    assert script.steering.moves == 1


async def test_a_hand_that_falls_silent_lets_go(script: Script) -> None:
    script.steering.wish(RIGHT)
    await script.clock.advance(DEADMAN_S - 0.3)
    assert "stop" not in script.camera.names
    await script.clock.advance(0.6)
    assert script.camera.names[-1] == "stop"
    assert not script.task.done()
    # So the camera has had the stop before its own time-out after the last order ends it.
    stopped, last = script.camera.orders[-1][0], script.camera.orders[-2][0]
    assert stopped - last < TIMEOUT_S


async def test_who_is_taken_over_from_orders_nothing_more_but_a_stop(script: Script) -> None:
    await script.hold_on(RIGHT, 1)
    script.hold.lost = True
    before = len(script.camera.orders)
    await script.hold_on(RIGHT, 1.5)
    assert await script.over() == "taken_over"
    assert script.camera.names[before:] == ["stop"]


async def test_without_the_database_nobody_moves_anything(script: Script) -> None:
    await script.hold_on(RIGHT, 1)
    script.hold.away = True
    before = len(script.camera.orders)
    await script.hold_on(RIGHT, 1.5)
    assert await script.over() == "unavailable"
    assert script.camera.names[before:] == ["stop"]


async def test_a_stop_is_behind_a_movement_that_the_camera_is_slow_to_answer(script: Script) -> None:
    script.camera.gate = asyncio.Event()
    script.steering.wish(RIGHT)
    await script.clock.advance(0)
    script.steering.wish(STILL)
    await script.clock.advance(1)
    assert script.camera.names == ["right"]
    script.camera.gate.set()
    await script.clock.advance(0)
    assert script.camera.names == ["right", "stop"]


async def test_a_movement_that_failed_is_stopped_all_the_same_and_not_tried_again(script: Script) -> None:
    script.camera.failing = {"move"}
    script.steering.wish(RIGHT)
    await script.clock.advance(1)
    assert script.camera.names == ["right", "stop"]
    assert {"kind": "failed", "code": "time_out", "message": "no answer"} in script.told


async def test_a_stop_that_is_not_answered_is_tried_again_and_told(script: Script) -> None:
    await script.hold_on(RIGHT, 1)
    script.camera.failing = {"stop"}
    script.steering.wish(STILL)
    await script.clock.advance(5)
    tried = script.camera.names.count("stop")
    assert tried >= STOP_TRIES
    assert script.told[-1]["code"] == "stop_failed"
    assert script.hold.stops == 0
    script.camera.failing = set()
    await script.clock.advance(1)
    assert script.hold.stops == 1
    await script.clock.advance(5)
    assert script.hold.stops == 1


async def test_at_the_end_a_stop_that_is_not_answered_is_tried_some_times(script: Script) -> None:
    await script.hold_on(RIGHT, 1)
    script.camera.failing = {"stop"}
    script.steering.end()
    await script.clock.advance(10)
    assert await script.over() == "left"
    assert script.camera.names.count("stop") == STOP_TRIES
    # The row says that it moves: the desk goes on.
    assert script.hold.stops == 0


async def test_who_wishes_for_nothing_gives_the_camera_back(script: Script) -> None:
    await script.clock.advance(IDLE_S - 1)
    assert not script.task.done()
    await script.clock.advance(2)
    assert await script.over() == "idle"
    assert script.camera.names == []
    assert len(script.hold.renewals) > IDLE_S / 2


async def test_what_was_left_moving_is_stopped_first(clock: FakeClock) -> None:
    script = Script(clock, owes_stop=True)
    await clock.advance(0)
    assert script.camera.names == ["stop"]
    script.steering.end()
    assert await script.over() == "left"


async def test_an_end_that_is_forced_stops_as_well(script: Script) -> None:
    await script.hold_on(RIGHT, 1)
    script.task.cancel()
    await script.clock.advance(0)
    assert script.task.cancelled()
    assert script.camera.names[-1] == "stop"


async def test_what_is_held_too_long_is_over_until_it_is_let_go_of(script: Script) -> None:
    await script.hold_on(RIGHT, MOST_S + 10)
    at, name = script.camera.orders[-1]
    assert name == "stop"
    assert MOST_S <= at <= MOST_S + 1
    script.steering.wish(STILL)
    await script.hold_on(LEFT, 1)
    assert script.camera.names[-1] == "left"
    script.steering.end()
    assert await script.over() == "left"
