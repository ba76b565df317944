"""The capture process against cameras that do what cameras do."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import av
import numpy as np
import pytest

from core.clock import SystemClock
from core.settings import CameraSettings
from smartsite.demo import scene
from smartsite.demo.rtsp import RtspServer, Stream
from tests.support.wait import eventually
from vision import wire
from vision.capture_client import CaptureClient
from vision.options import order_of

# Time-outs that a busy machine holds; where one is what a test is about, it is short there.
PATIENT = CameraSettings(open_timeout_s=30, read_timeout_s=30, gate_share=0)
SOON_STALLED = PATIENT.model_copy(update={"read_timeout_s": 1})


class Heard:
    """What a capture process told."""

    def __init__(self, url: str, options: CameraSettings, fps: float) -> None:
        self.states: list[tuple[str, str]] = []
        self.pictures: list[wire.Picture] = []
        self.sizes: list[int] = []
        self.codecs: list[str] = []
        self.full: list[tuple[wire.Full, int]] = []
        self.figures = wire.Figures()
        self.delay_s = 0.0
        self.client = CaptureClient("test", order_of(url, options, wire.Pace(fps)), clock=SystemClock())

    async def handle(self, message: wire.Message, payload: bytes) -> None:
        match message:
            case wire.Status():
                self.states.append((message.state, message.reason))
                self.codecs.append(message.codec)
            case wire.Figures():
                self.figures = message
            case wire.Picture():
                self.pictures.append(message)
                self.sizes.append(len(payload))
                await asyncio.sleep(self.delay_s)
            case wire.Full():
                self.full.append((message, len(payload)))

    async def until(self, state: str, reason: str = "") -> None:
        await eventually(lambda: self.states and self.states[-1] == (state, reason), timeout=60)

    async def told(self, times: int, state: str, reason: str) -> None:
        """For a state that may be over before anybody looks."""
        await eventually(lambda: self.states.count((state, reason)) >= times, timeout=60)

    async def more_pictures(self, count: int) -> None:
        goal = len(self.pictures) + count
        await eventually(lambda: len(self.pictures) >= goal, timeout=60)


@contextlib.asynccontextmanager
async def reading(url: str, options: CameraSettings = PATIENT, fps: float = 10) -> AsyncIterator[Heard]:
    heard = Heard(url, options, fps)
    task = asyncio.create_task(heard.client.run(heard.handle))
    try:
        yield heard
        if task.done():
            task.result()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def address(rtsp: RtspServer, path: str, login: str = "") -> str:
    return f"rtsp://{login}127.0.0.1:{rtsp.port}/{path}"


def write_clip(path: Path, *, seconds: float, interval_s: float = 1.0, size: tuple[int, int] = (320, 180)) -> Path:
    """An MP4 of `seconds` at 10 frames a second."""
    width, height = size
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.gop_size = round(10 * interval_s)
        stream.codec_context.options = {"preset": "ultrafast", "x264-params": "scenecut=0"}
        for number in range(round(seconds * 10)):
            picture = np.full((height, width, 3), 20 + number % 200, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(stream.encode(None))
    return path


async def test_pictures_come_whole_and_at_their_time(rtsp: RtspServer) -> None:
    async with reading(address(rtsp, "tiny"), fps=5) as heard:
        # So many that one of them which a busy machine has late does not count.
        await heard.more_pictures(25)
        assert heard.states == [("starting", ""), ("online", "")]
        picture = heard.pictures[-1]
        assert (picture.width, picture.height, picture.moved) == (320, 180, True)
        assert set(heard.sizes) == {320 * 180 * 3 // 2}
        gaps = np.diff([picture.time for picture in heard.pictures[2:]]) / 1e6
        assert gaps.mean() == pytest.approx(0.2, abs=0.05)
        stream_gaps = np.diff([picture.stream_time for picture in heard.pictures[2:]])
        assert stream_gaps.mean() == pytest.approx(0.2, abs=0.05)


async def test_key_frames_alone_are_decoded_where_they_come_often_enough(rtsp: RtspServer) -> None:
    async with reading(address(rtsp, "tiny"), fps=1) as heard:
        await eventually(lambda: heard.figures.keys_only, timeout=60)
        assert heard.figures.key_interval_s == pytest.approx(1, abs=0.05)
        assert heard.figures.fps == pytest.approx(10, abs=0.5)
        before = heard.pictures[-1].stream_time
        await heard.more_pictures(2)
        assert heard.pictures[-1].stream_time - before == pytest.approx(2, abs=0.15)

        heard.client.ask(wire.Pace(10))
        await heard.more_pictures(12)
        assert heard.pictures[-1].stream_time - heard.pictures[-6].stream_time < 1.5, (
            "five key frames take five seconds"
        )
        assert not heard.figures.keys_only or await eventually(lambda: not heard.figures.keys_only)


async def test_where_key_frames_come_seldom_decoding_stops_behind_the_last_picture_wanted(rtsp: RtspServer) -> None:
    pictures = [np.full((180, 320, 3), 60 + 2 * number, np.uint8) for number in range(40)]
    rtsp.streams["seldom"] = Stream(scene.encode(pictures, fps=10, key_interval_s=2))
    async with reading(address(rtsp, "seldom"), fps=1) as heard:
        await eventually(lambda: heard.figures.key_interval_s, timeout=60)
        assert heard.figures.key_interval_s == pytest.approx(2, abs=0.1)
        await heard.more_pictures(2)
        before, first = heard.figures, heard.pictures[-1].stream_time
        await heard.more_pictures(8)
        after = heard.figures
        assert heard.pictures[-1].stream_time - first == pytest.approx(8, abs=0.5)
        # Of 20 pictures of a group the eleventh is the last that is wanted; the counts come a second late.
        share = (after.decoded - before.decoded) / (after.frames_in - before.frames_in)
        assert 0.4 < share < 0.75


async def test_unchanged_pictures_are_told_without_their_bytes(rtsp: RtspServer) -> None:
    async with reading(address(rtsp, "visit"), PATIENT.model_copy(update={"gate_share": 0.0003}), fps=5) as heard:
        await heard.more_pictures(8)
        assert heard.pictures[0].moved
        assert not any(picture.moved for picture in heard.pictures[1:8])
        assert set(heard.sizes[1:8]) == {0}
        heard.client.ask(wire.Pace(5, everything=True))
        await eventually(lambda: heard.sizes[-1] > 0 and not heard.pictures[-1].moved)


async def test_a_look_is_small_and_full_size_is_there_where_it_is_wanted(rtsp: RtspServer) -> None:
    async with reading(address(rtsp, "visit"), fps=5) as heard:
        await heard.more_pictures(2)
        look, whole = 640 * 360 * 3 // 2, 1280 * 720 * 3 // 2
        first = heard.pictures[0]
        assert (first.width, first.height, first.look_width, first.look_height) == (1280, 720, 640, 360)
        assert set(heard.sizes) == {look}

        async def answer(time: int) -> tuple[wire.Full, int]:
            before = len(heard.full)
            heard.client.want(wire.Want(time))
            await eventually(lambda: len(heard.full) > before)
            return heard.full[-1]

        async def newest() -> bool:
            # It is held for two pictures' time: a busy machine may ask too late, and then asks for a newer one.
            time = heard.pictures[-1].time
            return await answer(time) == (wire.Full(asked=time, time=time, width=1280, height=720), whole)

        await eventually(newest)
        assert await answer(1) == (wire.Full(asked=1), 0), "of another time than was asked for there is none"
        assert (await answer(0))[1] == whole

        heard.client.ask(wire.Pace(5, full=True))
        await eventually(lambda: heard.pictures[-1].full)
        assert heard.sizes[-1] == look + whole


@pytest.mark.parametrize(
    ("path", "login", "state", "reason"),
    [
        ("locked", "", "unreachable", "wrong_password"),
        ("locked", "admin:wrong@", "unreachable", "wrong_password"),
        ("locked", "admin:p%40ss%20word@", "online", ""),
        ("nothing", "", "unreachable", "not_found"),
    ],
)
async def test_what_the_camera_answers(rtsp: RtspServer, path: str, login: str, state: str, reason: str) -> None:
    async with reading(address(rtsp, path, login)) as heard:
        await heard.until(state, reason)


async def test_a_camera_that_accepts_and_never_answers_is_unreachable() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    options = PATIENT.model_copy(update={"open_timeout_s": 2})
    async with server, reading(f"rtsp://127.0.0.1:{port}/x", options) as heard:
        await heard.until("unreachable", "time_out")


async def test_a_refused_connection_and_one_that_comes_back(rtsp: RtspServer) -> None:
    rtsp.streams["tiny"].refused = True
    async with reading(address(rtsp, "tiny")) as heard:
        await heard.until("unreachable", "not_found")
        rtsp.streams["tiny"].refused = False
        await heard.until("online")
        await heard.more_pictures(3)


async def test_a_stalled_stream_is_noticed_and_read_again(rtsp: RtspServer) -> None:
    stream = rtsp.streams["tiny"]
    async with reading(address(rtsp, "tiny"), SOON_STALLED) as heard:
        await heard.more_pictures(3)
        stream.stalled = True
        await heard.told(1, "stalled", "no_data")
        stream.stalled = False
        await heard.until("online")
        await heard.more_pictures(3)
        assert heard.client.pid is not None


async def test_a_dropped_connection_is_opened_again(rtsp: RtspServer) -> None:
    async with reading(address(rtsp, "tiny")) as heard:
        for times in (1, 2, 3):
            await heard.more_pictures(3)
            rtsp.streams["tiny"].drop()
            await heard.told(times, "stalled", "connection_lost")
            await heard.until("online")
        assert heard.states.count(("starting", "")) == 1, "the same process"


async def test_garbage_is_counted_called_broken_and_survived(rtsp: RtspServer) -> None:
    stream = rtsp.streams["tiny"]
    async with reading(address(rtsp, "tiny"), SOON_STALLED) as heard:
        await heard.more_pictures(3)
        stream.garbage = True
        await heard.told(1, "broken", "not_decodable")
        await eventually(lambda: heard.figures.corrupt > 0)
        stream.garbage = False
        await heard.until("online")
        await heard.more_pictures(3)


async def test_a_killed_or_hanging_process_is_replaced(rtsp: RtspServer) -> None:
    async with reading(address(rtsp, "tiny")) as heard:
        await heard.more_pictures(3)
        first = heard.client.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        await heard.told(1, "broken", "capture_died")
        await heard.until("online")
        assert heard.client.pid != first


async def test_the_process_ends_with_its_owner(rtsp: RtspServer) -> None:
    async with reading(address(rtsp, "tiny")) as heard:
        await heard.more_pictures(1)
        pid = heard.client.pid
        assert pid is not None
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_a_slow_owner_misses_pictures_and_gets_fresh_ones(rtsp: RtspServer) -> None:
    # Large pictures, so that not many fit into the pipe.
    async with reading(address(rtsp, "visit"), fps=10) as heard:
        heard.client.ask(wire.Pace(10, full=True))
        await heard.more_pictures(2)
        heard.delay_s = 0.5
        await heard.more_pictures(8)
        assert heard.figures.skipped > 0


async def test_a_file_is_played_once_at_its_own_speed(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", seconds=3)
    async with reading(str(clip)) as heard:
        await heard.until("stalled", "ended")
        assert 1.6 < (heard.pictures[-1].time - heard.pictures[0].time) / 1e6 < 5.5
        assert [state for state, _ in heard.states] == ["starting", "online", "stalled"]


async def test_a_file_can_be_played_again_and_again(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", seconds=0.5)
    async with reading(str(clip), PATIENT.model_copy(update={"loop": True})) as heard:
        await heard.more_pictures(12)
        assert {state for state, _ in heard.states} == {"starting", "online"}


async def test_odd_sizes_and_full_range_become_plain_i420(tmp_path: Path) -> None:
    path = tmp_path / "odd.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=10)
        stream.width, stream.height, stream.pix_fmt = 161, 121, "yuvj444p"
        for _ in range(10):
            frame = av.VideoFrame.from_ndarray(np.full((121, 161, 3), 90, np.uint8), format="bgr24")
            container.mux(stream.encode(frame))
    async with reading(str(path)) as heard:
        await heard.more_pictures(2)
        assert (heard.pictures[0].width, heard.pictures[0].height, heard.sizes[0]) == (160, 120, 160 * 120 * 3 // 2)


@pytest.mark.parametrize(
    ("name", "content", "state", "reason"),
    [
        ("absent.mp4", None, "unreachable", "not_found"),
        ("text.mp4", b"this is no video\n" * 50, "broken", "no_video"),
        ("empty.mp4", b"", "broken", "no_video"),
    ],
)
async def test_files_that_are_no_video(
    tmp_path: Path, name: str, content: bytes | None, state: str, reason: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    async with reading(str(tmp_path / name)) as heard:
        await heard.until(state, reason)


async def test_a_truncated_file_gives_what_it_holds(tmp_path: Path) -> None:
    stream = b"".join(
        b"\x00\x00\x00\x01" + unit
        for picture in scene.encode([np.full((180, 320, 3), 90, np.uint8)] * 20, fps=10).pictures
        for unit in picture
    )
    path = tmp_path / "cut.h264"
    path.write_bytes(stream[: len(stream) * 2 // 3])
    async with reading(str(path)) as heard:
        await heard.more_pictures(1)
        await heard.until("stalled", "ended")


def sights(*, seed: int = 0, dark: bool = False, position: float = 0.0) -> list[np.ndarray]:
    """Two seconds of the drawn site with grain, or of darkness."""
    random = np.random.default_rng(seed)
    site = np.zeros((360, 640, 3)) if dark else scene.view(scene.panorama(), position)[::2, ::2]
    return [(site + random.normal(0, 3, site.shape)).clip(0, 255).astype(np.uint8) for _ in range(20)]


async def test_a_frozen_a_black_and_a_seeing_camera_tell_so(rtsp: RtspServer) -> None:
    stream = Stream(scene.encode(sights(), fps=10))
    rtsp.streams["eye"] = stream
    options = PATIENT.model_copy(update={"frozen_s": 3, "blind_s": 2})
    async with reading(address(rtsp, "eye"), options, fps=5) as heard:
        await heard.until("online")
        await heard.more_pictures(5)
        assert heard.states == [("starting", ""), ("online", "")]
        stream.frozen = True
        await heard.until("stalled", "frozen")
        stream.frozen = False
        await heard.until("online")
        stream.clip = scene.encode(sights(dark=True), fps=10)
        await heard.until("broken", "black")
        stream.clip = scene.encode(sights(), fps=10)
        await heard.until("online")
        await heard.more_pictures(3)


async def test_another_resolution_and_another_codec_are_taken_up(rtsp: RtspServer) -> None:
    pictures = sights()
    stream = Stream(scene.encode(pictures, fps=10))
    rtsp.streams["eye"] = stream
    async with reading(address(rtsp, "eye"), fps=5) as heard:
        await heard.more_pictures(3)
        assert (heard.pictures[-1].width, heard.codecs[-1]) == (640, "h264")
        # The encoder is set anew while the session goes on.
        stream.clip = scene.encode([picture[:180, :320] for picture in pictures], fps=10)
        await eventually(lambda: heard.pictures[-1].width == 320, timeout=60)
        # The camera is given another codec, and ends its sessions.
        stream.clip = scene.encode(pictures, fps=10, codec="hevc")
        stream.drop()
        await eventually(lambda: heard.codecs[-1] == "hevc" and heard.pictures[-1].width == 640, timeout=60)
        await heard.more_pictures(3)
        assert heard.states.count(("starting", "")) == 1, "the same process"


def test_a_capture_process_loads_no_more_than_it_needs() -> None:
    """There is one for every camera: the settings alone would be 14 MB in each, an event loop 4."""
    told = subprocess.run(
        [sys.executable, "-c", "import sys, vision.capture; print(*sorted(sys.modules))"],
        capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    assert "av" in told
    assert not {"asyncio", "core.settings", "cv2", "openvino", "psycopg", "pydantic", "ssl"} & set(told)
