"""Clips out of the ring of encoded packets: whole, playable from their first picture, and bounded."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import AsyncIterator, Iterator
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
from vision import wire
from vision.capture_client import CaptureClient
from vision.options import order_of
from vision.ring import PacketRing

FPS = 10
STEP = 1_000_000 // FPS
ENCODERS = {
    "h264": ("libx264", {"preset": "ultrafast", "x264-params": "scenecut=0:bframes=2"}),
    "hevc": ("libx265", {"preset": "ultrafast", "x265-params": "log-level=none:keyint=10:min-keyint=10:scenecut=0"}),
}


def write_video(path: Path, codec: str, seconds: int) -> Path:
    """A key frame a second; the grey of a picture is 20 + its number."""
    name, options = ENCODERS[codec]
    with av.open(str(path), "w") as container:
        stream = container.add_stream(name, rate=FPS)
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        stream.codec_context.gop_size = FPS
        stream.codec_context.options = options
        for number in range(seconds * FPS):
            picture = np.full((96, 160, 3), 20 + number, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module", params=["h264", "hevc"])
def video(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("video") / "video.mkv", request.param, 20)


@pytest.fixture
def stream(video: Path) -> Iterator[tuple[av.VideoStream, list[av.Packet]]]:
    with av.open(str(video)) as container:
        stream = container.streams.video[0]
        yield stream, [packet for packet in container.demux(stream) if packet.size]


def pictures(mp4: bytes) -> list[av.VideoFrame]:
    with av.open(io.BytesIO(mp4)) as container:
        return list(container.decode(container.streams.video[0]))


def grey(frame: av.VideoFrame) -> int:
    return int(np.median(frame.to_ndarray(format="bgr24")))


def test_a_clip_begins_at_the_key_frame_before_it_and_is_whole(
    stream: tuple[av.VideoStream, list[av.Packet]],
) -> None:
    video, packets = stream
    ring = PacketRing(keep_s=12, most_bytes=1 << 20)
    ring.begin(video)
    for number, packet in enumerate(packets):
        ring.add(packet, number * STEP)
    cutting = ring.cut(11_350_000, 15_450_000)
    assert cutting is not None
    assert cutting.last == 15_400_000
    assert 10_000_000 <= cutting.first <= 11_350_000
    shown = pictures(cutting.mp4)
    assert shown[0].key_frame
    assert [grey(frame) for frame in shown] == pytest.approx(
        [20 + cutting.first // STEP + number for number in range(len(shown))], abs=6
    )
    # B pictures at the cut's end miss a reference that arrived later.
    assert len(shown) >= (cutting.last - cutting.first) // STEP - 3
    gaps = np.diff([frame.time for frame in shown[:-3]])
    assert gaps == pytest.approx(1 / FPS, abs=0.01)


def test_the_browser_knows_the_codec(stream: tuple[av.VideoStream, list[av.Packet]]) -> None:
    video, packets = stream
    ring = PacketRing(keep_s=5, most_bytes=1 << 20)
    ring.begin(video)
    for number, packet in enumerate(packets):
        ring.add(packet, number * STEP)
    cutting = ring.cut(16_000_000, 18_000_000)
    assert cutting is not None
    with av.open(io.BytesIO(cutting.mp4)) as container:
        track = container.streams.video[0].codec_context
        assert track.codec_tag == {"h264": "avc1", "hevc": "hvc1"}[track.name]
    assert b"ftyp" in cutting.mp4[:12]


@given(
    packets=st.lists(st.tuples(st.integers(1, 400), st.booleans(), st.integers(0, 3_000_000)), max_size=60),
    keep=st.integers(0, 10),
    most=st.integers(1, 2000),
)
def test_it_stays_within_its_bounds_and_begins_at_a_key_frame(
    packets: list[tuple[int, bool, int]], keep: int, most: int, video: Path
) -> None:
    ring = PacketRing(keep_s=keep, most_bytes=most)
    kept: list[tuple[int, int, bool]] = []
    with av.open(str(video)) as container:
        ring.begin(container.streams.video[0])
        now = 0
        for number, (size, is_key, gap) in enumerate(packets):
            now += gap
            packet = av.Packet(b"x" * size)
            packet.pts = packet.dts = number
            packet.is_keyframe = is_key
            ring.add(packet, now)
            kept.append((now, size, is_key))
            assert ring.bytes <= most
            if len(ring):
                tail = kept[-len(ring) :]
                assert ring.bytes == sum(size for _, size, _ in tail)
                assert tail[0][2], "the first is a key frame"
                keys = [moment for moment, _, key in tail if key]
                # No whole group more than asked for.
                assert len(keys) == 1 or keys[1] > now - keep * 1_000_000


def test_what_a_clip_still_needs_is_kept(stream: tuple[av.VideoStream, list[av.Packet]]) -> None:
    video, packets = stream
    ring = PacketRing(keep_s=2, most_bytes=1 << 20)
    ring.begin(video)
    for number, packet in enumerate(packets):
        ring.add(packet, number * STEP, needed_from=5_500_000 if number > 60 else None)
    assert ring.first is not None
    assert ring.first <= 5_500_000


def test_a_clock_that_jumps_is_one_step(stream: tuple[av.VideoStream, list[av.Packet]]) -> None:
    video, packets = stream
    ring = PacketRing(keep_s=60, most_bytes=1 << 20)
    ring.begin(video)
    for number, packet in enumerate(packets):
        if number >= 100:  # the camera's clock was set
            assert packet.dts is not None
            assert packet.pts is not None
            packet.dts, packet.pts = packet.dts - 9000, packet.pts - 9000
        ring.add(packet, number * STEP)
    cutting = ring.cut(8_000_000, 12_000_000)
    assert cutting is not None
    with av.open(io.BytesIO(cutting.mp4)) as container:
        times = [packet.dts for packet in container.demux(container.streams.video[0]) if packet.size]
        duration = float(container.streams.video[0].duration * container.streams.video[0].time_base)
    assert times == sorted(set(times))
    assert duration < 6


def test_a_first_packet_without_a_time_is_kept(stream: tuple[av.VideoStream, list[av.Packet]]) -> None:
    video, packets = stream
    ring = PacketRing(keep_s=60, most_bytes=1 << 20)
    ring.begin(video)
    packets[0].pts = packets[0].dts = None
    for number, packet in enumerate(packets):
        ring.add(packet, number * STEP)
    assert ring.first == 0
    cutting = ring.cut(0, 3_000_000)
    assert cutting is not None
    assert len(pictures(cutting.mp4)) >= 27


def test_other_codecs_are_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "pictures.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=10)
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuvj420p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((96, 160, 3), np.uint8), format="bgr24")))
        container.mux(stream.encode(None))
    ring = PacketRing(keep_s=5, most_bytes=1 << 20)
    with av.open(str(path)) as container:
        ring.begin(container.streams.video[0])
        for packet in container.demux(container.streams.video[0]):
            ring.add(packet, 0)
        assert len(ring) == 0
        assert ring.cut(0, 1) is None


class Asked:
    """A capture process that is asked for clips."""

    def __init__(self, url: str) -> None:
        options = CameraSettings(open_timeout_s=3, read_timeout_s=3, loop=False)
        self.client = CaptureClient("test", order_of(url, options, wire.Pace(2)), clock=SystemClock())
        self.online_at = 0.0
        self.clips: list[tuple[wire.Clip, bytes]] = []

    async def handle(self, message: wire.Message, payload: bytes) -> None:
        if isinstance(message, wire.Clip):
            self.clips.append((message, payload))
        elif isinstance(message, wire.Picture) and not self.online_at:
            self.online_at = time.time()


@pytest.fixture
async def asked(rtsp: RtspServer) -> AsyncIterator[Asked]:
    asked = Asked(f"rtsp://127.0.0.1:{rtsp.port}/visit")
    task = asyncio.create_task(asked.client.run(asked.handle))
    await eventually(lambda: asked.online_at, timeout=60)
    yield asked
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def micros() -> int:
    return time.time_ns() // 1000


async def test_a_clip_of_a_camera_reaches_before_and_behind_the_moment(asked: Asked) -> None:
    await eventually(lambda: time.time() - asked.online_at > 3.5)
    now = micros()
    asked.client.cut(wire.Cut(id=7, since=now - 2_500_000, until=now + 2_000_000))
    await eventually(lambda: asked.clips, timeout=60)
    [(clip, mp4)] = asked.clips
    assert clip.id == 7
    # From the key frame before it, of which there is one a second, each as late as a busy machine has it.
    assert now - 5_000_000 < clip.first <= now - 2_000_000
    assert now + 500_000 < clip.last <= now + 2_000_000
    shown = pictures(mp4)
    assert shown[0].key_frame
    assert (shown[0].width, shown[0].height) == (1280, 720)
    assert len(shown) / FPS == pytest.approx((clip.last - clip.first) / 1e6, abs=1.5)


async def test_a_stream_that_breaks_off_gives_what_there_was(asked: Asked, rtsp: RtspServer) -> None:
    await eventually(lambda: time.time() - asked.online_at > 1.5)
    now = micros()
    asked.client.cut(wire.Cut(id=1, since=now - 1_000_000, until=now + 3600 * 1_000_000))
    await asyncio.sleep(0.3)
    rtsp.streams["visit"].stalled = True
    await eventually(lambda: asked.clips, timeout=60)
    [(clip, mp4)] = asked.clips
    assert clip.first < now
    assert len(pictures(mp4)) > 3
    # Nothing of that time is left: the answer says so, nobody waits for ever.
    asked.client.cut(wire.Cut(id=2, since=now, until=now))
    await eventually(lambda: len(asked.clips) == 2, timeout=60)
    assert (asked.clips[1][0].id, asked.clips[1][1]) == (2, b"")
    assert asked.clips[1][0].reason
