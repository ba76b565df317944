from __future__ import annotations

import asyncio
import json
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from core.settings import CameraSettings, VisionSettings
from smartsite.cli import main
from smartsite.demo import scene
from smartsite.demo.rtsp import RtspServer
from tests.support.wait import eventually
from vision.advice import Advice, about_picture, advice, sub_stream
from vision.check import Box, CameraReport, check_source
from vision.detectors import load_detector

# Time-outs that a busy machine holds.
PATIENT = CameraSettings(open_timeout_s=30, read_timeout_s=30)


async def check(url: str, options: CameraSettings = PATIENT, **more: object) -> CameraReport:
    return await asyncio.to_thread(check_source, url, options, **more)  # type: ignore[arg-type]


def advised(report: CameraReport) -> list[Advice]:
    """All but that pictures come late, which is true on a busy machine."""
    return [one for one in report.advice if one.code != "late"]


async def test_a_good_camera_is_described_with_a_picture_and_what_is_on_it(rtsp: RtspServer) -> None:
    detector = load_detector(VisionSettings())
    report = await check(f"rtsp://127.0.0.1:{rtsp.port}/surveyor", detector=detector, watch_s=3)
    assert report.usable
    assert (report.codec, report.width, report.height) == ("h264", 1280, 720)
    assert abs(report.fps - 10) < 0.5
    assert abs(report.key_interval_s - 1) < 0.1
    assert [box.label for box in report.boxes] == ["head"]
    assert report.boxes[0].height_px > 40
    assert 0.05 < report.bit_rate_mbit < 20
    assert 0 < report.open_s <= report.first_picture_s < 10
    assert report.picture.startswith(b"\xff\xd8")
    assert advised(report) == []


async def test_advice_names_what_to_change_on_the_camera(rtsp: RtspServer) -> None:
    wishes = PATIENT.model_copy(update={"fps": 4, "attentive_fps": 20})
    report = await check(f"rtsp://127.0.0.1:{rtsp.port}/blank", wishes, watch_s=3)
    assert [advice.split(" ")[0:3] for advice in advised(report)] == [
        ["set", "the", "key-frame"],
        ["send", "at", "least"],
        ["the", "picture", "shows"],
    ]


async def test_a_camera_that_cannot_be_read_tells_why_without_its_password(rtsp: RtspServer) -> None:
    report = await check(f"rtsp://admin:geheim@127.0.0.1:{rtsp.port}/locked")
    assert not report.usable
    assert (report.state, report.reason) == ("unreachable", "wrong_password")
    assert "geheim" not in str(report)


async def test_a_stream_that_breaks_off_is_still_described(rtsp: RtspServer) -> None:
    async def stall_soon() -> None:
        await eventually(lambda: rtsp.streams["tiny"].viewers, timeout=60)
        await asyncio.sleep(1)
        rtsp.streams["tiny"].stalled = True

    stalling = asyncio.create_task(stall_soon())
    options = PATIENT.model_copy(update={"read_timeout_s": 1})
    report = await check(f"rtsp://127.0.0.1:{rtsp.port}/tiny", options, watch_s=20)
    await stalling
    assert report.usable
    assert "broke off" in report.advice[0]


@pytest.mark.parametrize(
    ("main_stream", "smaller"),
    [
        ("rtsp://10.0.0.2:554/Streaming/Channels/101", "rtsp://10.0.0.2:554/Streaming/Channels/102"),
        ("rtsp://10.0.0.2/Streaming/Channels/1601?x=1", "rtsp://10.0.0.2/Streaming/Channels/1602?x=1"),
        (
            "rtsp://10.0.0.2/cam/realmonitor?channel=1&subtype=0",
            "rtsp://10.0.0.2/cam/realmonitor?channel=1&subtype=1",
        ),
        ("rtsp://10.0.0.2/unicast/c3/s0/live", "rtsp://10.0.0.2/unicast/c3/s1/live"),
        ("rtsp://10.0.0.2/h264Preview_01_main", "rtsp://10.0.0.2/h264Preview_01_sub"),
        ("rtsp://10.0.0.2/stream1", "rtsp://10.0.0.2/stream2"),
        ("rtsp://10.0.0.2/Streaming/Channels/102", None),
        ("rtsp://10.0.0.2/somewhere", None),
    ],
)
def test_the_sub_stream_of_known_makers_is_named(main_stream: str, smaller: str | None) -> None:
    assert sub_stream(main_stream) == smaller


def perfect(**changes: object) -> CameraReport:
    report = CameraReport(
        "rtsp://10.0.0.2/Streaming/Channels/101", state="online", codec="h264", width=1920, height=1080
    )
    report.fps, report.key_interval_s, report.bit_rate_mbit = 25, 1, 4
    for name, value in changes.items():
        setattr(report, name, value)
    return report


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"key_interval_s": 2.0}, ["I-frame"]),
        ({"key_interval_s": 0.0}, ["none came twice"]),
        ({"key_interval_s": 8.0}, ["I-frame", "smart codec"]),
        ({"key_jitter_s": 3.0}, ["smart codec"]),
        ({"codec": "mjpeg"}, ["set H.264"]),
        ({"width": 3840, "height": 2160}, ["/Streaming/Channels/102"]),
        ({"corrupt": 4}, ["transport to tcp"]),
        ({"fps": 2.0}, ["at least 5 frames"]),
        ({"fps": 60.0}, ["25 frames a second are enough"]),
        ({"bit_rate_mbit": 12.0}, ["lower the bit rate"]),
        ({"jitter_s": 2.5}, ["2.5 s late"]),
        ({"boxes": [Box("head", 0.8, (0, 0, 9, 11))]}, ["too small (11 px, 16 are needed)"]),
        ({"boxes": [Box("head", 0.8, (0, 0, 9, 11)), Box("helmet", 0.8, (0, 0, 30, 40))]}, []),
        ({}, []),
    ],
)
def test_each_fault_has_its_advice(changes: dict[str, object], words: list[str]) -> None:
    said = advice(perfect(**changes), CameraSettings())
    assert len(said) == len(words), said
    for text, word in zip(said, words, strict=True):
        assert word in text


def test_what_is_wrong_with_a_picture_is_told() -> None:
    good = scene.view(scene.panorama(), 1.0)
    assert about_picture(good) == []
    height, width = good.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), -7, 1.3)
    bars = np.full((720, 1280, 3), 120, np.uint8)
    for x in range(60, 1280, 70):
        cv2.rectangle(bars, (x, 40), (x + 18, 700), (230, 240, 220), -1)
    wrong = {
        "dark": (good * 0.15).astype(np.uint8),
        "overexposed": np.clip(good.astype(int) + 190, 0, 255).astype(np.uint8),
        "covered": np.full_like(good, 128),
        "blurred": cv2.GaussianBlur(good, (0, 0), 14),
        "tilted": cv2.warpAffine(bars, turn, (width, height), borderMode=cv2.BORDER_REPLICATE),
    }
    for word, picture in wrong.items():
        said = about_picture(np.asarray(picture, np.uint8))
        assert any(word in text for text in said), (word, said)
    assert not any("tilted" in text for text in about_picture(bars))
    [tilted] = [text for text in about_picture(np.asarray(wrong["tilted"], np.uint8)) if "tilted" in text]
    assert "7 degrees" in tilted


async def test_long_groups_and_large_pictures_are_seen_on_a_stream(tmp_path: Path) -> None:
    path = tmp_path / "large.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 2560, 1440, "yuv420p"
        stream.codec_context.gop_size = 100
        stream.codec_context.options = {"preset": "ultrafast", "x264-params": "scenecut=0"}
        for number in range(20):
            picture = np.full((1440, 2560, 3), 60 + 4 * number, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(stream.encode(None))
    report = await check(str(path), watch_s=10)
    assert report.usable
    assert report.key_interval_s == 0
    assert ["none came twice" in report.advice[0], "sub-stream" in report.advice[1]] == [True, True]


async def test_the_command_tells_a_person_and_a_program(
    rtsp: RtspServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url, picture = f"rtsp://127.0.0.1:{rtsp.port}/surveyor", tmp_path / "out.jpg"
    assert await asyncio.to_thread(main, ["vision", "check", url, "--seconds", "3", "--picture", str(picture)]) == 0
    said = capsys.readouterr().out
    assert "h264, 1280x720, 10 frames a second" in said
    assert "seen: head" in said
    assert "nothing to change" in said
    drawn = cv2.imread(str(picture))
    assert drawn is not None
    assert drawn.shape == (720, 1280, 3)

    locked = f"rtsp://admin:geheim@127.0.0.1:{rtsp.port}/locked"
    assert await asyncio.to_thread(main, ["vision", "check", locked, "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["usable"], found["reason"]) == (False, "wrong_password")
    assert "%40" in found["remedy"]
    assert "geheim" not in json.dumps(found)
