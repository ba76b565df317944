"""Checks that are asked for in the database, carried out by a running worker."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import cv2
import numpy as np
import psycopg
import pytest
from psycopg.rows import dict_row

from core.database import connect
from core.settings import CameraSettings, Settings
from smartsite.demo.rtsp import RtspServer
from tests.support.wait import eventually
from tests.vision.test_service import add_camera, rows, running


@pytest.fixture
def vision_settings(settings: Settings, hasty: CameraSettings) -> Settings:
    # A check opens once, on a busy machine too.
    camera = hasty.model_copy(update={"open_timeout_s": 30})
    vision = settings.vision.model_copy(update={"live_port": 0, "camera": camera})
    return settings.model_copy(update={"vision": vision})


@pytest.fixture
async def database(settings: Settings) -> AsyncIterator[psycopg.AsyncConnection[dict[str, Any]]]:
    async with await connect(settings.database, application="test") as connection:
        connection.row_factory = dict_row  # type: ignore[assignment]
        yield connection  # type: ignore[misc]


async def ask(database: psycopg.AsyncConnection[Any], url: str, code: str, **options: object) -> int:
    """A check of a camera that no worker reads by itself."""
    camera = await add_camera(database, url, code, **options)
    await database.execute("UPDATE camera SET enabled = false WHERE id = %s", [camera])
    now = datetime.now(UTC)
    await database.execute(
        "INSERT INTO camera_check (camera_id, asked_at, asked_by, due_at) VALUES (%s, %s, 'li', %s)",
        [camera, now, now + timedelta(minutes=5)],
    )
    return camera


def size(jpeg: bytes) -> tuple[int, ...]:
    return tuple(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR).shape[:2])


async def test_a_worker_answers_what_was_asked_with_pictures_and_advice(
    vision_settings: Settings, database: psycopg.AsyncConnection[Any], rtsp: RtspServer
) -> None:
    host = f"127.0.0.1:{rtsp.port}"
    good = await ask(database, f"rtsp://{host}/surveyor", "good", fps=1, attentive_fps=20)
    locked = await ask(database, f"rtsp://admin:wrong-one@{host}/locked", "locked")
    odd = await ask(database, f"rtsp://{host}/tiny", "odd", fps="many")
    async with running(vision_settings):
        ended = "SELECT * FROM camera_check WHERE ended_at IS NOT NULL"
        found = await eventually(
            lambda: _when(database, ended, 3),
            timeout=180,
        )
    checks = {one["camera_id"]: one for one in found}
    report = checks[good]["report"]
    assert (report["usable"], report["codec"], report["width"]) == (True, "h264", 1280)
    assert [box["label"] for box in report["boxes"]] == ["head"]
    advice = [(one["code"], one["values"]) for one in report["advice"]]
    # On a busy machine pictures do come late.
    assert [one for one in advice if one[0] != "late"] == [("slow", {"least": "20"})]
    assert size(checks[good]["picture"]) == size(checks[good]["blurred"]) == (720, 1280)
    assert checks[good]["picture"] != checks[good]["blurred"]
    assert checks[good]["worker"].startswith("vision-")

    report = checks[locked]["report"]
    assert (report["usable"], report["reason"]) == (False, "wrong_password")
    assert "wrong-one" not in str(report)
    assert checks[locked]["picture"] is None
    assert (checks[odd]["error"], checks[odd]["report"]) == ("invalid_options", None)


async def _when(database: psycopg.AsyncConnection[Any], statement: str, count: int) -> list[dict[str, Any]] | None:
    found = await rows(database, statement)
    return found if len(found) == count else None
