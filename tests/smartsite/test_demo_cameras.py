"""The demo's scene and its RTSP server, looked at with the eyes of the platform and of a plain client."""

from __future__ import annotations

import asyncio
import math
from itertools import pairwise

import pytest

from core.settings import VisionSettings
from smartsite.demo import scene
from smartsite.demo.cameras import run_camera_server
from smartsite.demo.clip import Clip
from smartsite.demo.rtsp import RtspServer, Stream
from tests.support.ports import free_port
from tests.support.wait import eventually
from vision.detectors import Detector, load_detector


@pytest.fixture(scope="module")
def detector() -> Detector:
    return load_detector(VisionSettings())


@pytest.fixture(scope="module")
def clip() -> Clip:
    site = scene.panorama()
    return scene.encode([scene.view(site, number / 20)[:180, :320] for number in range(20)], fps=10)


def test_the_detector_sees_the_surveyor_where_the_camera_shows_him_and_nobody_elsewhere(detector: Detector) -> None:
    site = scene.panorama()
    for second in (1.0, 5.0, 9.0):
        assert len(detector.detect(scene.view(site, scene.position(second)))) == 0
    for second in (13.0, 17.0, 21.0):
        found = detector.detect(scene.view(site, scene.position(second)))
        assert [detector.classes[kind] for kind in found.class_id] == ["head"]
        assert found.score[0] > 0.7


def test_without_the_surveyor_nobody_is_seen(detector: Detector) -> None:
    site = scene.panorama(with_person=False)
    assert len(detector.detect(scene.view(site, 1.0))) == 0


def test_the_patrol_returns_to_where_it_began() -> None:
    places = [scene.position(second / 10) for second in range(round(scene.ROUND_S * 10) + 1)]
    assert places[0] == places[-1] == 0
    assert max(abs(later - earlier) for earlier, later in pairwise(places)) < 0.15
    assert sum(place == 1 for place in places) == sum(place == 0 for place in places) - 1


def test_a_turned_clip_begins_with_a_key_frame_and_loses_nothing(clip: Clip) -> None:
    turned = clip.turned(0.6)
    assert turned.pictures[0] == clip.pictures[10]
    assert sorted(turned.pictures) == sorted(clip.pictures)
    assert turned.turned(1.0).pictures == clip.pictures


async def ask(port: int, *lines: str) -> str:
    """The head of the answer to one RTSP request."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(("\r\n".join((*lines, "CSeq: 7")) + "\r\n\r\n").encode())
    answer = await reader.readuntil(b"\r\n\r\n")
    writer.close()
    return answer.decode()


async def test_requests_get_the_answers_of_the_standard(clip: Clip) -> None:
    server = RtspServer({"gate": Stream(clip), "locked": Stream(clip, login=("admin", "secret"))})
    await server.start("127.0.0.1", 0)
    base = f"rtsp://127.0.0.1:{server.port}"
    try:
        described = await ask(server.port, f"DESCRIBE {base}/gate RTSP/1.0")
        assert described.startswith("RTSP/1.0 200 OK\r\nCSeq: 7\r\n")
        assert (await ask(server.port, f"DESCRIBE {base}/nothing RTSP/1.0")).startswith("RTSP/1.0 404")
        assert 'Basic realm="camera"' in await ask(server.port, f"DESCRIBE {base}/locked RTSP/1.0")
        udp = await ask(server.port, f"SETUP {base}/gate/track RTSP/1.0", "Transport: RTP/AVP;unicast;client_port=4-5")
        assert udp.startswith("RTSP/1.0 461")
        assert (await ask(server.port, f"RECORD {base}/gate RTSP/1.0")).startswith("RTSP/1.0 405")
    finally:
        await server.close()


async def test_noise_on_the_port_hurts_nobody(clip: Clip) -> None:
    server = RtspServer({"gate": Stream(clip)})
    await server.start("127.0.0.1", 0)
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"\x00\xff\r\n\r\nnonsense\r\n\r\n")
        await writer.drain()
        assert (await ask(server.port, "OPTIONS * RTSP/1.0")).startswith("RTSP/1.0 200")
        writer.close()
    finally:
        await server.close()


async def test_the_camera_server_runs_until_it_is_told_to_stop(clip: Clip) -> None:
    port = free_port()

    async def described(path: str) -> bool:
        try:
            answer = await ask(port, f"DESCRIBE rtsp://127.0.0.1:{port}/{path} RTSP/1.0")
        except ConnectionRefusedError:
            return False
        return answer.startswith("RTSP/1.0 200")

    stop = asyncio.Event()
    task = asyncio.create_task(run_camera_server("127.0.0.1", port, {"a": clip, "b": clip}, stop))
    await eventually(lambda: described("b"))
    stop.set()
    await asyncio.wait_for(task, 30)
    assert not await described("a")


def test_h265_is_described_and_cut_into_packets_too() -> None:
    pictures = [scene.view(scene.panorama(with_person=False), 0.0)[:180, :320]] * 4
    hevc = scene.encode(pictures, fps=10, codec="hevc")
    description = hevc.description()
    assert "H265/90000" in description
    assert all(f"sprop-{name}=" in description for name in ("vps", "sps", "pps"))
    framed = hevc.framed(0)
    sent = framed.at(0xFFFF, 90_000)
    assert [sent[offset + 2 : offset + 4] for offset in framed.offsets[:2]] == [b"\xff\xff", b"\x00\x00"]
    assert all(sent[offset - 4 : offset - 3] == b"$" for offset in framed.offsets)


async def test_a_stream_with_a_beginning_shows_late_viewers_what_is_on_now(clip: Clip) -> None:
    loop = asyncio.get_running_loop()
    since = loop.time() - 100.05
    server = RtspServer({"a": Stream(clip, since=since)})
    await server.start("127.0.0.1", 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    url = f"rtsp://127.0.0.1:{server.port}/a"
    try:
        for number, line in enumerate([f"SETUP {url}", f"PLAY {url}"], 1):
            asked = loop.time()
            writer.write(
                f"{line} RTSP/1.0\r\nCSeq: {number}\r\nTransport: RTP/AVP/TCP;interleaved=0-1\r\n\r\n".encode()
            )
            await reader.readuntil(b"\r\n\r\n")
        assert await asyncio.wait_for(reader.readexactly(1), 30) == b"$"
        # It begins with the next of its key frames, one a second: 0.95 s later, where nothing holds the test up.
        assert loop.time() - since > math.ceil(asked - since) - 0.05
    finally:
        writer.close()
        await server.close()
