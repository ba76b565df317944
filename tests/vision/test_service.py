"""The room as it runs: RTSP in, episodes, evidence and log entries out, in a real database."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import struct
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import psycopg
import pytest
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb
from websockets.asyncio.client import connect as websocket

from core.clock import micros
from core.database import connect
from core.evidence import EvidenceStore
from core.log import Kind, Reader
from core.settings import CameraSettings, Settings
from sensors import entries
from smartsite.demo.rtsp import RtspServer
from tests.support.wait import eventually
from vision.detections import Detections
from vision.service import serve


@pytest.fixture
def vision_settings(settings: Settings, hasty: CameraSettings) -> Settings:
    vision = settings.vision.model_copy(update={"live_port": 0, "camera": hasty})
    return settings.model_copy(update={"vision": vision})


@pytest.fixture
async def database(settings: Settings) -> AsyncIterator[psycopg.AsyncConnection[dict[str, Any]]]:
    async with await connect(settings.database, application="test") as connection:
        connection.row_factory = dict_row  # type: ignore[assignment]
        yield connection  # type: ignore[misc]


async def add_camera(database: psycopg.AsyncConnection[Any], url: str, code: str = "gate", **options: object) -> int:
    await database.execute("INSERT INTO site (code, name) VALUES ('alpha', '甲') ON CONFLICT DO NOTHING")
    row = await (
        await database.execute(
            "INSERT INTO camera (site_id, code, name, url, zone, options) "
            "SELECT id, %s, '大门', %s, 'gate', %s FROM site RETURNING id",
            (code, url, json.dumps(options)),
        )
    ).fetchone()
    assert row is not None
    return int(row["id"])


@contextlib.asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[None]:
    stop = asyncio.Event()
    task = asyncio.create_task(serve(settings, stop))
    try:
        yield
        if task.done():
            task.result()
    finally:
        stop.set()
        await asyncio.wait_for(task, 60)


async def rows(database: psycopg.AsyncConnection[Any], statement: str) -> list[dict[str, Any]]:
    return await (await database.execute(statement)).fetchall()


async def test_a_visit_becomes_one_episode_with_evidence_and_log_entries(
    vision_settings: Settings, database: psycopg.AsyncConnection[Any], rtsp: RtspServer
) -> None:
    camera = await add_camera(database, f"rtsp://127.0.0.1:{rtsp.port}/visit")
    async with running(vision_settings):
        [ended, *_] = await eventually(
            lambda: rows(
                database,
                "SELECT * FROM episode WHERE ended_at IS NOT NULL AND id IN "
                "(SELECT episode_id FROM episode_evidence WHERE role = 'clip') ORDER BY id",
            ),
            timeout=120,
        )
    assert (ended["camera_id"], ended["kind"], ended["zone"]) == (camera, "no_helmet", "gate")
    assert ended["started_at"] <= ended["last_seen_at"] == ended["ended_at"]
    assert 3 < (ended["ended_at"] - ended["started_at"]).total_seconds() < 6
    assert ended["peak_score"] > 0.7
    assert ended["model"].startswith("hardhat-yolo26n@")
    assert sum(vote["bare"] for vote in ended["votes"]) == 3

    pictures = {}
    for name in ("frame_sha256", "crop_sha256"):
        digest = ended[name]
        data = (vision_settings.evidence_dir / digest[:2] / digest[2:4] / digest).read_bytes()
        assert hashlib.sha256(data).hexdigest() == digest
        pictures[name] = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert pictures["frame_sha256"].shape == (720, 1280, 3)
    await blurred_and_filmed(vision_settings, database, ended, pictures["frame_sha256"])
    assert pictures["crop_sha256"].shape[0] > 2 * (ended["box"][3] - ended["box"][1])

    async with await connect(vision_settings.database, application="test") as plain:
        reader = Reader("test", registered=False)
        await reader.open(plain)
        told = [entries.decode(entry.payload) for entry in await reader.read(plain) if entry.kind == Kind.EPISODE]
    mine = [entry for entry in told if isinstance(entry, entries.EpisodeEntry) and entry.episode == ended["id"]]
    assert [entry.phase for entry in mine] == ["started", "ended"]
    assert mine[1].ended_at == micros(ended["ended_at"])
    assert mine[1].frame_sha256 == ended["frame_sha256"]

    [state] = await rows(database, "SELECT * FROM camera_state")
    assert state["state"] == "online"
    assert state["frames_in"] > state["frames_analysed"] > 3
    assert state["frames_gated"] > 0
    assert (state["detail"]["width"], state["detail"]["codec"]) == (1280, "h264")


async def blurred_and_filmed(
    settings: Settings, database: psycopg.AsyncConnection[Any], episode: dict[str, Any], frame: np.ndarray
) -> None:
    """What is shown has no face left and is else the frame; the clip reaches around the start."""
    found = await rows(database, "SELECT * FROM episode_evidence JOIN evidence USING (sha256)")
    files = {row["role"]: row for row in found if row["episode_id"] == episode["id"]}
    assert set(files) == {"frame", "crop", "frame_shown", "crop_shown", "clip"}
    store = EvidenceStore(settings.evidence_dir)
    data = store.open(files["frame_shown"]["sha256"]).read_bytes()
    shown = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    x1, y1, x2, y2 = (round(value) for value in episode["box"])
    inside = np.abs(shown[y1:y2, x1:x2].astype(int) - frame[y1:y2, x1:x2]).mean()
    elsewhere = np.ones(frame.shape[:2], bool)
    elsewhere[max(0, y1 - 40) : y2 + 40, max(0, x1 - 40) : x2 + 40] = False
    assert inside > 4
    assert np.abs(shown.astype(int) - frame)[elsewhere].mean() < 1
    [head, *_] = episode["heads"]
    assert head["label"] == "head"
    assert head["box"] == pytest.approx(episode["box"], abs=0.1)

    clip = files["clip"]
    assert clip["media_type"] == "video/mp4"
    assert clip["first_at"] < episode["started_at"] < clip["last_at"]
    assert (episode["started_at"] - clip["first_at"]).total_seconds() > 1
    with av.open(str(store.open(clip["sha256"]))) as container:
        frames = list(container.decode(container.streams.video[0]))
    assert frames[0].key_frame
    # A busy machine receives in bursts: times of arrival are no finer than that.
    assert len(frames) / 10 == pytest.approx((clip["last_at"] - clip["first_at"]).total_seconds(), abs=2)


async def test_a_killed_run_leaves_no_episode_open_and_doubles_none(
    vision_settings: Settings, database: psycopg.AsyncConnection[Any], rtsp: RtspServer
) -> None:
    camera = await add_camera(database, f"rtsp://127.0.0.1:{rtsp.port}/tiny")
    digest = "0" * 64
    await database.execute("INSERT INTO evidence (sha256, media_type, bytes) VALUES (%s, 'image/jpeg', 1)", (digest,))
    await database.execute(
        "INSERT INTO episode (camera_id, site_id, kind, track, started_at, last_seen_at, peak_score, box, "
        "frame_sha256, crop_sha256, model) SELECT id, site_id, 'no_helmet', 1, now() - interval '9 s', "
        "now() - interval '5 s', 0.9, '{1,2,3,4}', %s, %s, 'm' FROM camera",
        (digest, digest),
    )
    async with running(vision_settings):
        ended = "SELECT * FROM episode WHERE ended_at IS NOT NULL"
        [episode] = await eventually(lambda: rows(database, ended), timeout=60)
    assert episode["ended_at"] == episode["last_seen_at"]
    assert [row["camera_id"] for row in await rows(database, "SELECT * FROM episode")] == [camera]


async def test_each_camera_tells_its_own_trouble_and_the_others_go_on(
    vision_settings: Settings, database: psycopg.AsyncConnection[Any], rtsp: RtspServer, tmp_path: Path
) -> None:
    await add_camera(database, f"rtsp://127.0.0.1:{rtsp.port}/tiny", "good")
    await add_camera(database, "rtsp://127.0.0.1:1/x", "dead")
    await add_camera(database, f"rtsp://admin:wrong@127.0.0.1:{rtsp.port}/locked", "locked")
    await add_camera(database, f"rtsp://127.0.0.1:{rtsp.port}/tiny", "odd", fps=-1)
    text = tmp_path / "no-video.mp4"
    text.write_text("this is no video\n" * 100)
    await add_camera(database, str(text), "text")
    expected = {
        "good": ("online", ""),
        "dead": ("unreachable", "refused"),
        "locked": ("unreachable", "wrong_password"),
        "odd": ("broken", "invalid_options"),
        "text": ("broken", "no_video"),
    }

    async def states() -> dict[str, tuple[str, str]]:
        found = await rows(database, "SELECT code, state, reason FROM camera_state JOIN camera ON id = camera_id")
        return {row["code"]: (row["state"], row["reason"]) for row in found}

    async def settled() -> bool:
        return await states() == expected

    async with running(vision_settings):
        await eventually(settled, timeout=60)
        await database.execute("UPDATE camera SET enabled = false WHERE code = 'good'")
        expected["good"] = ("disabled", "")
        await eventually(settled, timeout=60)
        await database.execute("UPDATE camera SET options = '{}', url = %s WHERE code = 'odd'", (str(text),))
        expected["odd"] = ("broken", "no_video")
        await eventually(settled, timeout=60)
    details = await rows(database, "SELECT detail FROM camera_state")
    assert "wrong" not in str([row["detail"]["message"] for row in details if "401" in row["detail"]["message"]])


class Fragile:
    """A detector that breaks on small pictures."""

    name = "fragile"
    classes = ("helmet", "head")

    def input_shape(self, height: int, width: int) -> tuple[int, int]:
        return 384, 640

    def detect(self, image: np.ndarray) -> Detections:
        if image.shape[0] < 200:
            raise RuntimeError("this picture breaks the detector")
        return Detections.empty()


async def test_a_fault_of_one_camera_stays_with_it(
    vision_settings: Settings,
    database: psycopg.AsyncConnection[Any],
    rtsp: RtspServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("vision.service.load_detector", lambda _: Fragile())
    await add_camera(database, f"rtsp://127.0.0.1:{rtsp.port}/tiny", "bad")
    await add_camera(database, f"rtsp://127.0.0.1:{rtsp.port}/surveyor", "good")

    async def shown() -> bool:
        found = await rows(database, "SELECT state, reason, frames_analysed FROM camera_state ORDER BY camera_id")
        return len(found) == 2 and found[0]["reason"] == "internal_error" and found[1]["state"] == "online"

    async with running(vision_settings):
        await eventually(shown, timeout=60)


class Noting(Fragile):
    """Notes the sizes that it is shown."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, int]] = []

    def detect(self, image: np.ndarray) -> Detections:
        self.seen.append(image.shape[:2])
        return Detections.empty()


async def test_a_camera_with_tiles_is_looked_at_in_more_pixels_and_in_parts(
    vision_settings: Settings,
    database: psycopg.AsyncConnection[Any],
    rtsp: RtspServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    detector = Noting()
    monkeypatch.setattr("vision.service.load_detector", lambda _: detector)
    await add_camera(database, f"rtsp://127.0.0.1:{rtsp.port}/visit", "yard", tiles=2)
    async with running(vision_settings):
        await eventually(lambda: len(detector.seen) >= 5, timeout=60)
    assert detector.seen[:5] == [(648, 1152)] + [(360, 640)] * 4


async def test_live_pictures_carry_boxes_while_somebody_watches(
    vision_settings: Settings, database: psycopg.AsyncConnection[Any], rtsp: RtspServer
) -> None:
    camera = await add_camera(database, f"rtsp://127.0.0.1:{rtsp.port}/visit")

    async def live_port() -> int:
        found = await rows(database, "SELECT detail FROM worker WHERE room = 'vision'")
        return int(found[0]["detail"]["live_port"]) if found else 0

    async with running(vision_settings):
        address = f"127.0.0.1:{await eventually(live_port, timeout=60)}/cameras/{camera}"
        await eventually(lambda: rows(database, "SELECT 1 FROM camera_state WHERE state = 'online'"), timeout=60)
        async with websocket(f"ws://{address}/live") as viewer, asyncio.timeout(60):
            while True:
                message = await viewer.recv()
                assert isinstance(message, bytes)
                (length,) = struct.unpack("<I", message[:4])
                header = json.loads(message[4 : 4 + length])
                picture = cv2.imdecode(np.frombuffer(message[4 + length :], np.uint8), cv2.IMREAD_COLOR)
                assert picture.shape == (header["height"], header["width"], 3)
                if header["boxes"]:
                    break
        [box] = header["boxes"]
        assert box["label"] == "head"
        assert 0 < box["x1"] < box["x2"] < 1
        assert box["track"] > 0

        def fetch(path: str) -> bytes:
            with urllib.request.urlopen(f"http://{address}/{path}") as response:
                return bytes(response.read())

        assert (await asyncio.to_thread(fetch, "snapshot.jpg")).startswith(b"\xff\xd8")
        with pytest.raises(urllib.error.HTTPError, match="404"):
            await asyncio.to_thread(fetch, "nothing")


async def test_live_pictures_and_snapshots_have_blurred_heads_unless_the_original_is_asked_for(
    vision_settings: Settings, database: psycopg.AsyncConnection[Any], rtsp: RtspServer
) -> None:
    camera = await add_camera(database, f"rtsp://127.0.0.1:{rtsp.port}/surveyor")

    async def live_port() -> int:
        found = await rows(database, "SELECT detail FROM worker WHERE room = 'vision'")
        return int(found[0]["detail"]["live_port"]) if found else 0

    async def seen(address: str) -> tuple[np.ndarray, list[dict[str, Any]]]:
        async with websocket(f"ws://{address}") as viewer, asyncio.timeout(60):
            while True:
                message = await viewer.recv()
                assert isinstance(message, bytes)
                (length,) = struct.unpack("<I", message[:4])
                header = json.loads(message[4 : 4 + length])
                if header["boxes"] and header["width"] == 1280:
                    return decoded(message[4 + length :]), header["boxes"]

    def fetched(address: str) -> np.ndarray:
        with urllib.request.urlopen(f"http://{address}") as response:
            return decoded(response.read())

    async with running(vision_settings):
        address = f"127.0.0.1:{await eventually(live_port, timeout=60)}/cameras/{camera}"
        await eventually(lambda: rows(database, "SELECT 1 FROM camera_state WHERE state = 'online'"), timeout=60)
        (live, boxes), (original, _) = await asyncio.gather(seen(f"{address}/live"), seen(f"{address}/live?original=1"))
        still = await asyncio.to_thread(fetched, f"{address}/snapshot.jpg")
        original_still = await asyncio.to_thread(fetched, f"{address}/snapshot.jpg?original=1")
    # The scene stands still, so the four show the same.
    x1, y1, x2, y2 = (round(boxes[0][side] * length) for side, length in SIDES)
    elsewhere = np.ones(live.shape[:2], bool)
    elsewhere[max(0, y1 - 2 * (y2 - y1)) : y2 + 2 * (y2 - y1), max(0, x1 - 2 * (x2 - x1)) : x2 + 2 * (x2 - x1)] = False
    for picture, alike in ((live, False), (still, False), (original_still, True)):
        assert picture.shape == original.shape
        difference = np.abs(picture.astype(int) - original)
        assert (difference[y1:y2, x1:x2].mean() < 2) == alike
        assert difference[elsewhere].mean() < 2


SIDES = (("x1", 1280), ("y1", 720), ("x2", 1280), ("y2", 720))


def decoded(jpeg: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)


async def test_a_running_worker_takes_up_zones_that_are_drawn(
    vision_settings: Settings, database: psycopg.AsyncConnection[Any], rtsp: RtspServer
) -> None:
    camera = await add_camera(database, f"rtsp://127.0.0.1:{rtsp.port}/surveyor")
    async with running(vision_settings):
        seen = "SELECT * FROM episode WHERE kind = 'no_helmet'"
        await eventually(lambda: rows(database, seen), timeout=90)
        assert await rows(database, "SELECT * FROM episode WHERE kind = 'intrusion'") == []
        pit = {"name": "pit", "use": "forbidden", "polygon": [[0, 0], [1, 0], [1, 1], [0, 1]]}
        await database.execute("UPDATE camera SET options = %s WHERE id = %s", [Jsonb({"zones": [pit]}), camera])
        intrusion = "SELECT zone FROM episode WHERE kind = 'intrusion'"
        found = await eventually(lambda: rows(database, intrusion), timeout=90)
    assert [one["zone"] for one in found] == ["pit"]
