"""What is decoded of streams whose pictures lean on later ones, and of those in which none leans on another."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from core.settings import CameraSettings
from vision.options import order_of
from vision.source import Counts, Sampler, Source
from vision.wire import Pace

FPS = 10
SECONDS = 6
PACE = Pace(1)


def write_reordered(path: Path, encoder: str, parameters: str) -> None:
    """Pictures that get brighter, a key frame a second, B-frames over its borders (an open GOP)."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(encoder, rate=FPS)
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        stream.codec_context.gop_size = FPS
        stream.codec_context.options = {
            "preset": "ultrafast",
            parameters: f"open-gop=1:bframes=3:b-adapt=0:scenecut=0:keyint={FPS}:min-keyint={FPS}"
            + (":log-level=none" if encoder == "libx265" else ""),
        }
        for number in range(SECONDS * FPS):
            picture = np.full((180, 320, 3), brightness(number / FPS), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(stream.encode(None))


def brightness(second: float) -> int:
    return 20 + round(3 * second * FPS)


@pytest.mark.parametrize(
    ("encoder", "parameters"), [("libx264", "x264-params"), ("libx265", "x265-params")], ids=["h264", "h265"]
)
def test_key_frames_of_an_open_group_of_pictures_come_whole_and_at_once(
    tmp_path: Path, encoder: str, parameters: str
) -> None:
    path = tmp_path / "open.mp4"
    write_reordered(path, encoder, parameters)
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        assert any(packet.pts != packet.dts for packet in packets)
        keys = [float(packet.pts * packet.time_base) for packet in packets if packet.is_keyframe]

    counts = Counts()
    source = Source(order_of(str(path), CameraSettings(), PACE), Sampler(PACE), counts)
    samples = [(sample.stream_time, sample.frame.to_ndarray(format="gray").mean()) for sample in source.samples()]
    source.close()

    assert counts.frames_in == len(packets)
    assert counts.corrupt == 0
    assert counts.decoded < len(packets) / 2, "the group before the interval is known is decoded, and no other"
    assert [time for time, _ in samples][-4:] == keys[-4:], "none waits in the decoder for the next ones"
    for time, shown in samples:
        assert shown == pytest.approx(brightness(time), abs=3)


def test_of_pictures_that_lean_on_no_other_those_that_are_wanted_are_decoded(tmp_path: Path) -> None:
    path = tmp_path / "motion.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuvj420p"
        for number in range(SECONDS * FPS):
            picture = np.full((180, 320, 3), brightness(number / FPS), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(stream.encode(None))

    counts = Counts()
    source = Source(order_of(str(path), CameraSettings(read_timeout_s=0.7), PACE), Sampler(PACE), counts)
    times = [sample.stream_time for sample in source.samples()]
    source.close()
    assert counts.frames_in == SECONDS * FPS
    assert np.diff(times) == pytest.approx(1, abs=0.3)
    assert len(times) >= SECONDS - 1
    assert counts.decoded <= len(times) + 2, "the first, before the interval is known, and those that are shown"
