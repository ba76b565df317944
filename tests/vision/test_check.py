from __future__ import annotations

import asyncio

from core.settings import CameraSettings, VisionSettings
from smartsite.demo.rtsp import RtspServer
from tests.support.wait import eventually
from vision.check import CameraReport, check_source
from vision.detectors import load_detector

QUICK = CameraSettings(open_timeout_s=2, read_timeout_s=1)


async def check(url: str, options: CameraSettings = QUICK, **more: object) -> CameraReport:
    return await asyncio.to_thread(check_source, url, options, **more)  # type: ignore[arg-type]


async def test_a_good_camera_is_described_with_a_picture_and_what_is_on_it(rtsp: RtspServer) -> None:
    detector = load_detector(VisionSettings())
    report = await check(f"rtsp://127.0.0.1:{rtsp.port}/surveyor", detector=detector, watch_s=3)
    assert report.usable
    assert (report.codec, report.width, report.height) == ("h264", 1280, 720)
    assert abs(report.fps - 10) < 0.5
    assert abs(report.key_interval_s - 1) < 0.1
    assert [name for name, _ in report.boxes] == ["head"]
    assert report.picture.startswith(b"\xff\xd8")
    assert report.advice == []


async def test_advice_names_what_to_change_on_the_camera(rtsp: RtspServer) -> None:
    wishes = QUICK.model_copy(update={"fps": 4, "attentive_fps": 20})
    report = await check(f"rtsp://127.0.0.1:{rtsp.port}/tiny", wishes, watch_s=3)
    assert [advice.split(" ")[0:3] for advice in report.advice] == [
        ["set", "the", "key-frame"],
        ["send", "at", "least"],
    ]


async def test_a_camera_that_cannot_be_read_tells_why_without_its_password(rtsp: RtspServer) -> None:
    report = await check(f"rtsp://admin:geheim@127.0.0.1:{rtsp.port}/locked")
    assert not report.usable
    assert (report.state, report.reason) == ("unreachable", "wrong_password")
    assert "geheim" not in str(report)


async def test_a_stream_that_breaks_off_is_still_described(rtsp: RtspServer) -> None:
    async def stall_soon() -> None:
        await eventually(lambda: rtsp.streams["tiny"].viewers)
        await asyncio.sleep(1)
        rtsp.streams["tiny"].stalled = True

    stalling = asyncio.create_task(stall_soon())
    report = await check(f"rtsp://127.0.0.1:{rtsp.port}/tiny", watch_s=20)
    await stalling
    assert report.usable
    assert "broke off" in report.advice[0]
