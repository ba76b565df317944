"""What every camera is doing, as rows that the page reads: state with reason and since, counts, rates."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

import psycopg
from psycopg.types.json import Jsonb

from core.clock import Clock
from core.sql import queries
from vision import metrics, wire
from vision.uptime import Uptime

SQL = queries(__package__)

CameraState = Literal["starting", "online", "stalled", "unreachable", "broken", "disabled"]


@dataclass(slots=True)
class CameraStatus:
    """One camera. Counts go on where the row of an earlier run stopped."""

    camera_id: int
    name: str
    """`site/camera`, as metrics and logs call it."""
    since: datetime
    state: CameraState = "starting"
    reason: wire.Reason = ""
    message: str = ""
    frames_in: int = 0
    frames_analysed: int = 0
    frames_gated: int = 0
    figures: wire.Figures = field(default_factory=wire.Figures)
    codec: str = ""
    width: int = 0
    height: int = 0
    inference_ms: float = 0.0
    conditions: frozenset[wire.Condition] = frozenset()

    def change(self, state: CameraState, *, now: datetime, reason: wire.Reason = "", message: str = "") -> bool:
        """Move to another state or reason; False where it is in it already, and `since` stays."""
        self.message = message
        if (state, reason) == (self.state, self.reason):
            return False
        metrics.STATE.labels(self.name, self.state, self.reason).set(0)
        self.state, self.reason, self.since = state, reason, now
        metrics.STATE.labels(self.name, state, reason).set(1)
        metrics.SINCE.labels(self.name).set(now.timestamp())
        metrics.ONLINE.labels(self.name).set(state == "online")
        return True

    def count(self, figures: wire.Figures) -> None:
        """Take in the capture process's counts, which begin anew with every process."""
        before = self.figures if figures.frames_in >= self.figures.frames_in else wire.Figures()
        self.frames_in += figures.frames_in - before.frames_in
        self.frames_gated += figures.gated - before.gated
        for outcome, amount in (
            ("received", figures.frames_in - before.frames_in),
            ("gated", figures.gated - before.gated),
            ("skipped", figures.skipped - before.skipped),
            ("corrupt", figures.corrupt - before.corrupt),
        ):
            metrics.FRAMES.labels(self.name, outcome).inc(amount)
        self.figures = figures
        metrics.FPS.labels(self.name).set(figures.fps)
        metrics.KEY_INTERVAL.labels(self.name).set(figures.key_interval_s)
        metrics.DECODE.labels(self.name).set(figures.decode_ms / 1000)

    def analysed(self, inference_s: float) -> None:
        """A picture was looked at in `inference_s` seconds of CPU."""
        self.frames_analysed += 1
        # A smooth figure for the page; the exact distribution is in the metrics.
        self.inference_ms += (1000 * inference_s - self.inference_ms) * (0.1 if self.inference_ms else 1.0)
        metrics.FRAMES.labels(self.name, "analysed").inc()
        metrics.INFERENCE.observe(inference_s)
        metrics.CAMERA_INFERENCE.labels(self.name).set(self.inference_ms / 1000)

    def judged_in(self, conditions: frozenset[wire.Condition]) -> None:
        """Light and weather of the newest picture."""
        for one in conditions ^ self.conditions:
            metrics.CONDITION.labels(self.name, one).set(one in conditions)
        self.conditions = conditions

    def detail(self) -> dict[str, Any]:
        """What the row's `detail` holds."""
        return {
            "message": self.message,
            "codec": self.codec,
            "width": self.width,
            "height": self.height,
            "fps": self.figures.fps if self.state == "online" else 0,
            "key_interval_s": self.figures.key_interval_s,
            "keys_only": self.figures.keys_only,
            "frames_skipped": self.figures.skipped,
            "frames_corrupt": self.figures.corrupt,
            "decode_ms": self.figures.decode_ms,
            "inference_ms": round(self.inference_ms, 2),
            "conditions": sorted(self.conditions) if self.state == "online" else [],
        }


class StateBoard:
    """The states of all cameras of this worker."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._statuses: dict[int, CameraStatus] = {}
        self._uptime = Uptime(clock)
        self._counts: dict[int, tuple[int, int, int]] = {}

    async def open(self, connection: psycopg.AsyncConnection) -> None:
        """Read the counts at which earlier runs stopped."""
        rows = await (await connection.execute(SQL["camera_states"])).fetchall()
        self._counts = {camera: (received, analysed, gated) for camera, received, analysed, gated in rows}

    def status(self, camera_id: int, name: str) -> CameraStatus:
        """The camera's status, made at the first call."""
        if camera_id not in self._statuses:
            received, analysed, gated = self._counts.get(camera_id, (0, 0, 0))
            self._statuses[camera_id] = CameraStatus(
                camera_id,
                name,
                since=self._clock.now(),
                frames_in=received,
                frames_analysed=analysed,
                frames_gated=gated,
            )
        return self._statuses[camera_id]

    def keep(self, cameras: Container[int]) -> None:
        """Forget every camera that is not among these."""
        self._statuses = {number: status for number, status in self._statuses.items() if number in cameras}

    def online(self) -> int:
        """Number of cameras that deliver."""
        return sum(status.state == "online" for status in self._statuses.values())

    def __len__(self) -> int:
        return len(self._statuses)

    async def write(self, connection: psycopg.AsyncConnection, *, last: bool = False) -> None:
        """Write every camera's row, and now and then, or as the `last` word, how long it delivered."""
        statuses = list(self._statuses.values())
        self._uptime.look(status.camera_id for status in statuses if status.state == "online")
        await self._uptime.book(connection, last=last)
        if not statuses:
            return
        await connection.execute(
            SQL["camera_state_write"],
            {
                "now": self._clock.now(),
                "cameras": [status.camera_id for status in statuses],
                "states": [status.state for status in statuses],
                "reasons": [status.reason for status in statuses],
                "since": [status.since for status in statuses],
                "frames_in": [status.frames_in for status in statuses],
                "frames_analysed": [status.frames_analysed for status in statuses],
                "frames_gated": [status.frames_gated for status in statuses],
                "details": [Jsonb(status.detail()) for status in statuses],
            },
        )
