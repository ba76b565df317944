"""One camera from its capture process to its episodes."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import Executor
from datetime import datetime
from typing import TypeVar

import numpy as np

from core.clock import Clock, micros
from core.settings import CameraSettings
from sensors.registry import Camera
from vision import wire
from vision.blur import RecentHeads, blurred, blurred_live
from vision.capture_client import CaptureClient
from vision.decide import Decider
from vision.detections import Detections
from vision.detectors import Detector
from vision.episodes import Change, EpisodeWriter, Footage, Pictures
from vision.frame import LIVE_QUALITY, Frame, Image, bgr, crop, enlarged, jpeg
from vision.full_pictures import FullPictures
from vision.judge import Episode, Left, Transition
from vision.light import Conditions
from vision.live import LiveFeed, boxes_message, live_message
from vision.options import order_of
from vision.planes import Planes
from vision.states import CameraStatus
from vision.tiles import look_closely, span
from vision.tracker import Tracker
from vision.video import VideoFeed, segment_message

logger = logging.getLogger(__name__)

T = TypeVar("T")

_TICK_S = 1.0
_USUAL = (1080, 1920)
_FORGET_S = 3.0
_FORGET_LOOKS = 3


class CameraWorker:
    """Watches one camera; `run` until cancelled, then `close`."""

    def __init__(
        self,
        camera: Camera,
        options: CameraSettings,
        *,
        detector: Detector,
        executor: Executor,
        episodes: EpisodeWriter,
        status: CameraStatus,
        clock: Clock,
    ) -> None:
        """`executor` runs what takes CPU, one piece at a time, for all cameras of the process."""
        self._camera = camera
        self._options = options
        self._detector = detector
        self._executor = executor
        self._episodes = episodes
        self._status = status
        self._clock = clock
        self._tracker = Tracker(forget_s=max(_FORGET_S, _FORGET_LOOKS / options.fps))
        self.decider = Decider(options, zone=camera.zone, classes=detector.classes)
        self.feed, self.original = LiveFeed(self._set_pace), LiveFeed(self._set_pace)
        self._conditions = Conditions(options)
        self._heads = RecentHeads()
        self.video = VideoFeed(lambda: self._client.stream(on=self.video.watched))
        look_px = span(max(detector.input_shape(*_USUAL)), options.tiles)
        order = order_of(camera.url, options, wire.Pace(options.fps), look_px=look_px)
        self._client = CaptureClient(status.name, order, clock=clock)
        self._full = FullPictures(self._client.want, clock=clock)
        self._frame: Frame | None = None
        self._detections = Detections.empty()
        self._tracks = np.zeros(0, np.int32)
        self._cuts: dict[int, Episode] = {}
        self._cut_number = 0

    def resume(self, left: Left) -> None:
        """Take over what an earlier run left of this camera."""
        now = micros(self._clock.now())
        for episode in left.episodes:
            # Nobody could see meanwhile; the camera gets the time it may take to open before quiet begins to count.
            episode.quiet_from = now + round(self._options.open_timeout_s * 1e6)
        self.decider.resume(left)

    async def run(self) -> None:
        """Read, look, decide."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._client.run(self._handle))
                tasks.create_task(self._tick())
        finally:
            self._full.give_up()

    def moved(self, at: datetime) -> None:
        """Somebody moved the camera at this time: it does not count as turned for a while."""
        left = self._options.moved_quiet_s - (self._clock.now() - at).total_seconds()
        if left > 0:
            self._client.moved(left)

    def leave(self) -> Left:
        """What the next worker of this camera takes over; nothing ends."""
        return self.decider.leave()

    def close(self) -> None:
        """End its episodes: the camera is no longer watched by anybody."""
        self._submit(self.decider.close())

    @property
    def _watched(self) -> bool:
        return self.feed.watched or self.original.watched

    async def snapshot(self, *, original: bool) -> bytes | None:
        """See `Watchable.snapshot`."""
        frame = self._frame
        if frame is None:
            return None
        newest: asyncio.Future[Planes | None] = asyncio.get_running_loop().create_future()
        self._full.want(0, lambda planes: None if newest.done() else newest.set_result(planes))
        planes = await newest or frame.best()

        def encode() -> bytes:
            image = bgr(planes)
            if original:
                return jpeg(image, LIVE_QUALITY)
            # It may be newer than the last look by the whole interval: it gets one of its own.
            shown = blurred(image, look_closely(self._detector, image, self._options.tiles).xyxy)
            return jpeg(blurred_live(shown, self._heads.boxes(), (frame.width, frame.height)), LIVE_QUALITY)

        return await self._compute(encode)

    def _set_pace(self) -> None:
        close_look = self._watched or self.decider.attentive(micros(self._clock.now()))
        fps = max(self._options.fps, self._options.attentive_fps) if close_look else self._options.fps
        self._client.ask(wire.Pace(fps, everything=close_look, full=self._watched))

    async def _handle(self, message: wire.Message, payload: bytes) -> None:
        match message:
            case wire.Picture():
                await self._see(message, payload)
            case wire.Full():
                self._full.arrived(message, payload)
            case wire.Figures():
                self._status.count(message)
            case wire.Status():
                self._take_status(message)
            case wire.Clip():
                self._take_clip(message, payload)
            case wire.Segment():
                self.video.publish(segment_message(message, payload), kind=message.kind, key=message.key)

    def _ask_for_clip(self, episode: Episode, now: int) -> None:
        """Want the seconds around an episode's start, which the capture process holds."""
        options = self._options
        if not (options.clip_mb and options.clip_before_s + options.clip_after_s):
            return
        self._cut_number += 1
        self._cuts[self._cut_number] = episode
        since = episode.started_at - round(options.clip_before_s * 1e6)
        until = max(now, episode.started_at + round(options.clip_after_s * 1e6))
        self._client.cut(wire.Cut(id=self._cut_number, since=since, until=until))

    def _take_clip(self, clip: wire.Clip, mp4: bytes) -> None:
        episode = self._cuts.pop(clip.id, None)
        if episode is None:
            return
        if not mp4:
            logger.warning("episode without a clip", extra={"camera": self._status.name, "reason": clip.reason})
            return
        camera = self._camera
        self._episodes.submit(Footage(camera.id, camera.site_id, episode, mp4, clip.first, clip.last))

    def _take_status(self, status: wire.Status) -> None:
        if status.reason in ("capture_died", "capture_hung"):
            self._cuts.clear()  # what it held is gone with it
        if status.state == "online":
            self._status.codec, self._status.width, self._status.height = status.codec, status.width, status.height
        if self._status.change(status.state, now=self._clock.now(), reason=status.reason, message=status.message):
            logger.info(
                "camera state changed",
                extra={
                    "camera": self._status.name,
                    "state": status.state,
                    "reason": status.reason,
                    "detail": status.message,
                },
            )

    async def _see(self, picture: wire.Picture, payload: bytes) -> None:
        """Track and judge one picture; look at it only where it differs or somebody is about to be judged."""
        looked = False
        conditions = self._conditions.saw(picture.sight, picture.time)
        self._status.judged_in(conditions)
        if payload:
            frame = Frame.from_wire(picture, payload)
            if picture.moved or self.decider.attentive(picture.time):
                looked = True
                self._detections = await self._look(frame)
                self._heads.saw(frame.time, self._detections.xyxy)
            self._frame = frame
        self._tracks = self._tracker.update(self._detections, picture.time / 1e6)
        changes = self.decider.observe(
            picture.time,
            self._detections,
            self._tracks,
            alive=self._tracker.alive,
            looked=looked,
            size=(picture.width, picture.height),
            conditions=conditions,
        )
        for change in changes:
            if change.phase == "started":
                assert payload  # only a picture that was looked at starts an episode
                self._start(change, frame)
            else:
                self._submit([change])
        self._set_pace()
        if self.video.watched:
            self._tell_boxes(picture)
        if payload and self._watched:
            await self._show(frame)

    async def _look(self, frame: Frame) -> Detections:
        def work() -> tuple[Detections, float]:
            began = time.thread_time()
            found = look_closely(self._detector, bgr(frame.look), self._options.tiles)
            return found, time.thread_time() - began

        found, cpu_s = await self._compute(work)
        self._status.analysed(cpu_s)
        return found.scaled(frame.width / frame.look.width, frame.height / frame.look.height)

    def _start(self, change: Transition, frame: Frame) -> None:
        """Hand an episode's start on as soon as its evidence is there in full size.

        Nothing is awaited, though a JPEG takes 10 ms: a task that is cancelled between the decision and its submission
        would lose the episode.
        """
        found = self._detections

        def submit(planes: Planes | None) -> None:
            image = bgr(planes or frame.best())
            if image.shape[:2] != (frame.height, frame.width):
                image = enlarged(image, frame.height, frame.width)  # boxes are told in the stream's pixels
            self._hand_on(change, self._pictures(image, change.episode, found))
            self._ask_for_clip(change.episode, frame.time)

        if frame.full is not None:
            submit(frame.full)
        else:
            self._full.want(frame.time, submit)

    def _submit(self, changes: list[Transition]) -> None:
        if changes:
            self._full.give_up()  # an end must not overtake its start
        for change in changes:
            self._hand_on(change)

    def _pictures(self, image: Image, episode: Episode, found: Detections) -> Pictures:
        classes = self._detector.classes
        heads = [found.xyxy] if episode.kind == "post_unmanned" else [found.xyxy, np.array([episode.box], np.float32)]
        shown = blurred(image, np.concatenate(heads))  # the box of a post is no head
        return Pictures(
            frame=jpeg(image),
            crop=jpeg(crop(image, episode.box)),
            frame_shown=jpeg(shown),
            crop_shown=jpeg(crop(shown, episode.box)),
            model=self._detector.name,
            heads=[
                {"label": classes[kind], "score": round(float(score), 4), "box": [round(float(x), 1) for x in box]}
                for kind, score, box in zip(found.class_id, found.score, found.xyxy, strict=True)
            ],
        )

    def _hand_on(self, change: Transition, pictures: Pictures | None = None) -> None:
        logger.info(
            "episode %s",
            change.phase,
            extra={"camera": self._status.name, "track": change.episode.track, "score": change.episode.peak_score},
        )
        self._episodes.submit(Change(self._camera.id, self._camera.site_id, change, pictures))

    async def _show(self, frame: Frame) -> None:
        planes, heads = frame.best(), self._heads.boxes()

        def encode() -> list[tuple[LiveFeed, bytes]]:
            image = bgr(planes)
            shown = []
            if self.original.watched:
                shown.append((self.original, jpeg(image, LIVE_QUALITY)))
            if self.feed.watched:
                hidden = blurred_live(image, heads, (frame.width, frame.height))
                shown.append((self.feed, jpeg(hidden, LIVE_QUALITY)))
            return shown

        corners = self._detections.scaled(planes.width / frame.width, planes.height / frame.height)
        for feed, data in await self._compute(encode):
            feed.publish(
                live_message(
                    data,
                    time=frame.time,
                    width=planes.width,
                    height=planes.height,
                    detections=corners,
                    tracks=self._tracks,
                    classes=self._detector.classes,
                )
            )

    def _tell_boxes(self, picture: wire.Picture) -> None:
        """Watchers of the video draw the boxes themselves; a picture that has not changed still has the last ones."""
        boxes = boxes_message(
            time=picture.time,
            width=picture.width,
            height=picture.height,
            detections=self._detections,
            tracks=self._tracks,
            classes=self._detector.classes,
        )
        self.video.publish(boxes, kind="boxes")

    async def _tick(self) -> None:
        """Let quiet periods end while the camera gives no picture."""
        while True:
            await self._clock.sleep(_TICK_S)
            self._full.tick()
            self._submit(self.decider.tick(micros(self._clock.now())))
            self._set_pace()

    async def _compute(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)
