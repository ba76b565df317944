"""Checks of cameras asked for and read over the API; the worker's part is written by hand here."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from psycopg.types.json import Jsonb

from tests.api.conftest import LogIn
from tests.api.world import World

URL = "/api/v1/registry/cameras/north/cam-north/check"
REPORT: dict[str, Any] = {
    "url": "rtsp://u:***@10.0.0.8/s1",
    "usable": True,
    "reason": "",
    "message": "",
    "remedy": "",
    "codec": "h264",
    "width": 1280,
    "height": 720,
    "fps": 25,
    "bit_rate_mbit": 2,
    "key_interval_s": 4,
    "open_s": 0.4,
    "first_picture_s": 0.6,
    "jitter_s": 0.1,
    "corrupt": 0,
    "boxes": [{"label": "head", "score": 0.8, "xyxy": [1, 2, 3, 4]}],
    "advice": [{"code": "key_interval", "values": {"wanted": "1", "seen": "4"}, "text": "set the key-frame ..."}],
}


async def state(client: httpx.AsyncClient) -> str:
    answer = await client.get(URL)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["state"])


async def end(world: World, *, error: str = "", report: dict[str, Any] | None = None) -> None:
    await world.connection.execute(
        "UPDATE camera_check SET started_at = asked_at, ended_at = asked_at, worker = 'vision-1', error = %s, "
        "report = %s, picture = 'sharp', blurred = 'blurred'",
        [error, None if report is None else Jsonb(report)],
    )


async def test_a_check_is_asked_for_once_and_its_result_is_read(log_in: LogIn, world: World) -> None:
    client = await log_in("integrator")
    assert await state(client) == "none"
    first = await client.post(URL)
    assert (first.status_code, first.json()["state"]) == (202, "waiting")
    assert (first.json()["asked_by_name"], first.json()["asked_by_name_en"]) == ("人员 integrator", "integrator")
    again = await client.post(URL)
    assert again.json()["asked_at"] == first.json()["asked_at"]
    cursor = await world.connection.execute("SELECT actor, detail FROM audit WHERE action = 'camera.check'")
    assert await cursor.fetchall() == [("code-integrator", {"key": "north/cam-north"})]
    await end(world, report=REPORT)
    found = (await client.get(URL)).json()
    assert (found["state"], found["report"]["advice"], found["has_picture"]) == ("done", REPORT["advice"], True)
    assert (await client.post(URL)).json()["state"] == "waiting", "one that is over is asked for anew"


async def test_what_nobody_takes_or_answers_is_told_and_can_be_asked_for_again(log_in: LogIn, world: World) -> None:
    client = await log_in("integrator")
    await client.post(URL)
    await world.connection.execute("UPDATE camera_check SET due_at = asked_at")
    assert await state(client) == "unclaimed"
    await world.connection.execute("UPDATE camera_check SET started_at = asked_at")
    assert await state(client) == "lost"
    assert (await client.post(URL)).json()["state"] == "waiting"
    await world.connection.execute("UPDATE camera_check SET started_at = asked_at")
    assert await state(client) == "running"
    await end(world, error="check_hung")
    found = (await client.get(URL)).json()
    assert (found["state"], found["error"]) == ("failed", "check_hung")


@pytest.mark.parametrize(("role", "content"), [("leader", b"sharp"), ("integrator", b"blurred")])
async def test_faces_on_the_picture_are_for_who_may_see_originals(
    log_in: LogIn, world: World, role: str, content: bytes
) -> None:
    client = await log_in(role)
    assert (await client.get(f"{URL}/picture.jpg")).status_code == 404
    await client.post(URL)
    await end(world, report=REPORT)
    answer = await client.get(f"{URL}/picture.jpg")
    assert (answer.status_code, answer.content, answer.headers["content-type"]) == (200, content, "image/jpeg")
    cursor = await world.connection.execute("SELECT count(*) FROM audit WHERE action = 'camera.original'")
    assert await cursor.fetchone() == (int(role == "leader"),)
