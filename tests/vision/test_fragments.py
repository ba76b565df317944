"""The encoded video as fragmented MP4: whole, playable from where a viewer begins, and bounded for slow ones."""

from __future__ import annotations

import asyncio
import io
import os
import signal
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.clock import SystemClock
from core.settings import CameraSettings
from smartsite.demo.rtsp import RtspServer
from tests.support.wait import eventually
from tests.vision.test_clips import FPS, STEP, grey, pictures, write_video
from vision import wire
from vision.capture_client import CaptureClient
from vision.fragments import Fragments
from vision.options import order_of
from vision.ring import PacketRing
from vision.video import VideoFeed
from vision.waiting import Waiting


class Kept:
    """Where segments go."""

    def __init__(self) -> None:
        self.segments: list[tuple[wire.Segment, bytes]] = []

    def segment(self, segment: wire.Segment, mp4: bytes) -> None:
        self.segments.append((segment, mp4))

    @property
    def kinds(self) -> list[str]:
        return [segment.kind for segment, _ in self.segments]


def remux(path: Path, kept: Kept, *, from_number: int = 0, ring_mb: int = 1) -> None:
    """Read a file as a camera is read; somebody watches from packet `from_number` on."""
    ring = PacketRing(keep_s=5, most_bytes=ring_mb << 20)
    fragments = Fragments(ring, kept)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        ring.begin(stream)
        with fragments.of(stream):
            for number, packet in enumerate(container.demux(stream)):
                fragments.want(number >= from_number)
                ring.add(packet, number * STEP)
                fragments.take(packet, number * STEP)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("video") / "video.mkv", "h264", 6)


def test_the_segments_are_one_mp4_of_every_picture(video: Path) -> None:
    kept = Kept()
    remux(video, kept)
    assert kept.kinds[0] == "init"
    assert set(kept.kinds[1:]) == {"fragment"}
    shown = pictures(b"".join(data for _, data in kept.segments))
    # What follows the last fragment that is complete has not been sent yet.
    assert len(shown) >= 6 * FPS - 4
    assert [grey(frame) for frame in shown] == pytest.approx([20 + number for number in range(len(shown))], abs=6)
    first = kept.segments[0][0]
    assert first.codec.startswith("avc1.")
    assert (first.width, first.height) == (160, 96)


def test_a_fragment_tells_its_place_and_whether_a_player_may_begin_there(video: Path) -> None:
    kept = Kept()
    remux(video, kept)
    begin = kept.segments[0][1]
    keys = [(segment, data) for segment, data in kept.segments[1:] if segment.key]
    assert len(keys) == 6
    for number, (segment, data) in enumerate(keys):
        assert segment.time == number * FPS * STEP
        frame = pictures(begin + data)[0]
        assert frame.key_frame
        assert grey(frame) == pytest.approx(20 + number * FPS, abs=6)
        # The file's first two packets come without a decoding time, so the first second is a little long.
        assert number < 1 or segment.at == pytest.approx(keys[1][0].at + number - 1, abs=0.01)
    for segment, data in kept.segments[1:]:
        if not segment.key:
            assert data[4:8] == b"moof"
            with av.open(io.BytesIO(begin + data)) as container:
                assert not next(container.demux(container.streams.video[0])).is_keyframe


def test_who_comes_in_the_middle_begins_with_the_key_frame_before(video: Path) -> None:
    kept = Kept()
    remux(video, kept, from_number=25)
    assert kept.kinds[:2] == ["init", "fragment"]
    shown = pictures(b"".join(data for _, data in kept.segments))
    assert grey(shown[0]) == pytest.approx(20 + 20, abs=6)


def test_without_a_ring_it_begins_with_the_next_key_frame(video: Path) -> None:
    kept = Kept()
    remux(video, kept, from_number=25, ring_mb=0)
    shown = pictures(b"".join(data for _, data in kept.segments))
    assert grey(shown[0]) == pytest.approx(20 + 30, abs=6)


def test_an_encoder_that_is_set_anew_begins_a_new_mp4(tmp_path: Path) -> None:
    path = tmp_path / "changing.h264"
    with path.open("wb") as raw:
        for width, height in ((160, 96), (320, 180)):
            encoder = av.CodecContext.create("libx264", "w")
            assert isinstance(encoder, av.VideoCodecContext)
            encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
            encoder.framerate, encoder.options = FPS, {"preset": "ultrafast", "tune": "zerolatency"}
            for number in range(2 * FPS):
                picture = np.full((height, width, 3), 60 + number, np.uint8)
                for packet in encoder.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")):
                    raw.write(bytes(packet))
    kept = Kept()
    remux(path, kept)
    beginnings = [number for number, kind in enumerate(kept.kinds) if kind == "init"]
    assert len(beginnings) == 2
    second = kept.segments[beginnings[1] :]
    shown = pictures(b"".join(data for _, data in second))
    assert {(frame.width, frame.height) for frame in shown} == {(320, 180)}
    assert second[0][0].codec != kept.segments[0][0].codec


def test_what_does_not_play_in_browsers_is_told_once(tmp_path: Path) -> None:
    kept = Kept()
    remux(write_video(tmp_path / "video.mkv", "hevc", 1), kept)
    assert kept.segments == [(wire.Segment(kind="none", codec="hevc"), b"")]


@given(
    st.lists(st.tuples(st.sampled_from(["init", "fragment", "key", "boxes"]), st.integers(1, 60)), max_size=60),
    st.integers(20, 100),
)
def test_a_slow_reader_loses_whole_groups_and_no_memory_grows(offered: list[tuple[str, int]], most: int) -> None:
    waiting: Waiting[tuple[int, str]] = Waiting(most)
    for number, (kind, size) in enumerate(offered):
        waiting.put((number, kind), kind="fragment" if kind == "key" else kind, key=kind == "key", size=size)
        assert waiting.bytes <= most
    got = [(number, kind) for number, kind in waiting.take() if kind != "boxes"]
    assert [number for number, _ in got] == sorted(number for number, _ in got)
    video = [number for number, (kind, _) in enumerate(offered) if kind != "boxes"]
    for (earlier, _), (later, kind) in pairwise(got):
        gap = [number for number in video if earlier < number < later]
        assert not gap or kind in ("key", "init"), "after a gap a player can only begin at a key frame"
    assert waiting.lost + len(got) + len([1 for kind, _ in offered if kind == "boxes"]) >= len(offered)


def test_a_reader_that_keeps_up_loses_nothing() -> None:
    waiting: Waiting[int] = Waiting(10)
    for number in range(100):
        waiting.put(number, kind="fragment", key=number % 10 == 0, size=10)
        assert waiting.take() == [number]
    assert waiting.lost == 0


def test_of_pictures_the_newest_waits() -> None:
    waiting: Waiting[int] = Waiting(100)
    for number in range(5):
        waiting.put(number, kind="picture", key=False, size=10)
    assert waiting.take() == [4]


async def test_a_late_watcher_begins_at_the_newest_key_frame() -> None:
    feed = VideoFeed(lambda: None)
    with feed.watch() as first:
        feed.publish(b"init", kind="init")
        for group in range(3):
            feed.publish(b"key %d" % group, kind="fragment", key=True)
            feed.publish(b"more %d" % group, kind="fragment")
        feed.publish(b"boxes", kind="boxes")
        assert await first() == b"init"
        with feed.watch() as second:
            assert [await second() for _ in range(3)] == [b"init", b"key 2", b"more 2"]
    with feed.watch() as third:
        feed.publish(b"new", kind="init")
        assert await third() == b"new"


class Watched:
    """A capture process whose video is watched."""

    def __init__(self, url: str) -> None:
        options = CameraSettings(open_timeout_s=30, read_timeout_s=30, loop=False)
        self.client = CaptureClient("test", order_of(url, options, wire.Pace(2)), clock=SystemClock())
        self.segments: list[tuple[wire.Segment, bytes]] = []
        self.online = self.pictures = self.answers = 0

    async def handle(self, message: wire.Message, payload: bytes) -> None:
        if isinstance(message, wire.Segment):
            self.segments.append((message, payload))
        elif isinstance(message, wire.Status):
            self.online += message.state == "online"
        self.pictures += isinstance(message, wire.Picture)
        self.answers += isinstance(message, wire.Full)

    async def more_pictures(self, count: int) -> None:
        goal = self.pictures + count
        await eventually(lambda: self.pictures >= goal, timeout=60)

    def beginnings(self) -> int:
        return sum(segment.kind == "init" for segment, _ in self.segments)


@pytest.fixture
async def watched(rtsp: RtspServer) -> AsyncIterator[Watched]:
    watched = Watched(f"rtsp://127.0.0.1:{rtsp.port}/tiny")
    task = asyncio.create_task(watched.client.run(watched.handle))
    await eventually(lambda: watched.online, timeout=60)
    yield watched
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_camera_sends_video_while_somebody_watches(watched: Watched) -> None:
    assert watched.segments == []
    watched.client.stream(on=True)
    await eventually(lambda: len(watched.segments) > 6)
    assert watched.beginnings() == 1
    shown = pictures(b"".join(data for _, data in watched.segments))
    assert shown[0].key_frame
    assert (shown[0].width, shown[0].height) == (320, 180)
    watched.client.stream(on=False)
    # Demands are dealt with in their order: once this one is answered, and what was read until then is through, a
    # packet has found that nobody watches.
    watched.client.want(wire.Want(0))
    await eventually(lambda: watched.answers)
    await watched.more_pictures(3)
    before = len(watched.segments)
    await watched.more_pictures(2)
    assert len(watched.segments) == before
    watched.client.stream(on=True)
    await eventually(lambda: watched.beginnings() == 2)


async def test_a_capture_process_that_was_killed_goes_on_with_a_new_mp4(watched: Watched) -> None:
    watched.client.stream(on=True)
    await eventually(lambda: len(watched.segments) > 2)
    pid = watched.client.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    await eventually(lambda: watched.beginnings() == 2 and watched.segments[-1][0].kind == "fragment", timeout=60)
