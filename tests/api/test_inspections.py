"""Remote inspections over the API: a list gone through with pictures of a real vision server, findings, the report."""

from __future__ import annotations

import asyncio
import hashlib
import html
import re
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest

from alerts.inspection.report import check
from core.settings import Settings
from smartsite.cli import main
from tests.api.conftest import LogIn
from tests.api.test_cameras import worker
from tests.api.world import World

URL = "/api/v1/inspections"
LIST = "six-hundred-percents"


def jpeg(shade: int = 120, side: int = 320) -> bytes:
    return bytes(cv2.imencode(".jpg", np.full((side, side, 3), shade, np.uint8))[1])


async def begin(client: httpx.AsyncClient, world: World, key: str = "begin-key-1", **changes: Any) -> httpx.Response:
    body = {"site_id": world.ids["north"], "checklist": LIST, **changes}
    return await client.post(URL, json=body, headers={"Idempotency-Key": key})


async def picture(client: httpx.AsyncClient, inspection: int, camera: int, key: str) -> httpx.Response:
    return await client.post(
        f"{URL}/{inspection}/pictures", json={"camera_id": camera}, headers={"Idempotency-Key": key}
    )


async def judge_all(client: httpx.AsyncClient, one: dict[str, Any], result: str = "pass") -> dict[str, Any]:
    for item in one["list_items"]:
        if item["result"] == "open":
            said = {"version": one["version"], "result": result, "note": ""}
            answer = await client.put(f"{URL}/{one['id']}/items/{item['position']}", json=said)
            assert answer.status_code == 200, answer.text
            one = answer.json()
    return one


async def finding(
    client: httpx.AsyncClient, one: dict[str, Any], key: str = "finding-key", **changes: Any
) -> httpx.Response:
    body = {
        "version": one["version"],
        "position": 2,
        "level": "general",
        "title": "东侧<b>裸土</b>未覆盖",
        "requirement": "全覆盖",
        "person": "code-officer",
        **changes,
    }
    return await client.post(f"{URL}/{one['id']}/findings", json=body, headers={"Idempotency-Key": key})


async def test_an_inspection_from_beginning_to_signed_report(
    log_in: LogIn, world: World, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, officer = await log_in("supervisor"), await log_in("officer")
    async with worker(world) as camera:
        camera.picture = jpeg()
        one = (await begin(client, world)).json()
        assert (one["number"], one["state"], one["items"]) == ("XC-north-2026-0001", "open", 6)
        one = (await picture(client, one["id"], world.ids["cam-north"], "picture-1")).json()
    (taken,) = one["pictures"]
    # With blurred heads, though the inspector may see originals: the report goes to others.
    assert taken["sha256"] == hashlib.sha256(jpeg()).hexdigest()
    assert [look["code"] for look in one["looks"]] == ["cam-north"]
    marks = [
        {"shape": "box", "points": [[0.2, 0.2], [0.7, 0.6]]},
        {"shape": "arrow", "points": [[0.9, 0.9], [0.5, 0.5]]},
    ]
    said = {"version": one["version"], "marks": marks, "note": "裸土", "position": 2}
    one = (await client.put(f"{URL}/{one['id']}/pictures/{taken['id']}", json=said)).json()
    (marked,) = one["pictures"]
    assert marked["marks"] == marks
    assert marked["plain_sha256"] == taken["sha256"] != marked["sha256"]
    shown = await client.get(f"/api/v1/evidence/{marked['sha256']}")
    pixels = cv2.imdecode(np.frombuffer(shown.content, np.uint8), cv2.IMREAD_COLOR)
    assert pixels is not None
    blue, _, red = pixels[int(0.4 * 319), int(0.7 * 319)].tolist()  # on the right side of the box
    assert red > 180 > 100 > blue
    # Until it is filed it is the inspector's; then the responsible side sees it with the order.
    assert (await officer.get(f"/api/v1/evidence/{marked['sha256']}")).status_code == 403
    one = (await finding(client, one, pictures=[marked["id"]])).json()
    assert one["list_items"][1]["result"] == "fail"
    (order,) = one["finding_orders"]
    placed = (await officer.get(f"/api/v1/rectifications/{order['rectification_id']}")).json()
    assert (placed["source"], placed["state"]) == ("inspection", "ordered")
    assert [photo["sha256"] for photo in placed["photos"]] == [marked["sha256"]]
    assert placed["photos"][0]["event_id"] == placed["events"][0]["id"]
    assert (await officer.get(f"/api/v1/evidence/{marked['sha256']}")).status_code == 200
    assert (await officer.get(f"/api/v1/evidence/{taken['sha256']}")).status_code == 403

    early = await client.post(f"{URL}/{one['id']}/finish", json={"version": one["version"], "conclusion": "好"})
    assert (early.status_code, early.json()["error"]["code"]) == (422, "invalid_input")
    one = await judge_all(client, one)
    done = await client.post(f"{URL}/{one['id']}/finish", json={"version": one["version"], "conclusion": "限期整改"})
    assert done.status_code == 200, done.text
    assert (done.json()["state"], done.json()["failed"], done.json()["findings"]) == ("finished", 1, 1)

    report = await officer.get(f"{URL}/{one['id']}/report")
    assert report.headers["content-security-policy"].startswith("default-src 'none'")
    page = report.text
    assert "<built-in" not in html.unescape(page)
    for words in (
        "远程巡查报告",
        one["number"],
        "工地 north",
        "人员 supervisor",
        order["number"],
        "限期整改",
        "裸土",
        "检查项</h2>",
    ):
        assert words in page
    assert "东侧&lt;b&gt;裸土&lt;/b&gt;未覆盖" in page  # words of people are words, never markup
    assert len(re.findall(r'src="data:image/jpeg;base64,', page)) == 1
    assert check(report.content).intact
    file = tmp_path / "report.html"
    file.write_bytes(report.content)
    monkeypatch.setenv("SMARTSITE_DATA_DIR", str(settings.data_dir))
    public = (await client.get(f"{URL}/signing-key")).json()["public_key"]
    assert await asyncio.to_thread(main, ["verify", str(file)]) == 0
    assert await asyncio.to_thread(main, ["verify", str(file), "--key", public]) == 0
    assert await asyncio.to_thread(main, ["verify", str(file), "--key", "00" * 32]) == 1
    file.write_bytes(report.content.replace("限期整改".encode(), "没有问题".encode()))
    assert await asyncio.to_thread(main, ["verify", str(file)]) == 1
    file.write_bytes(report.content[: report.content.rindex(b"<!--")])
    assert await asyncio.to_thread(main, ["verify", str(file)]) == 1
    statement = "SELECT DISTINCT action FROM audit WHERE object LIKE 'inspection:%' ORDER BY action"
    actions = [row[0] for row in await (await world.connection.execute(statement)).fetchall()]
    assert actions == [
        f"inspection.{step}" for step in ("begin", "finding", "finish", "judge", "mark", "picture", "report")
    ]


async def test_sent_again_nothing_is_done_twice(log_in: LogIn, world: World) -> None:
    client = await log_in("supervisor")
    begun = await asyncio.gather(*(begin(client, world, "one-key-all") for _ in range(3)))
    assert len({answer.json()["id"] for answer in begun}) == 1
    assert (await begin(client, world, "one-key-all", checklist="site-safety")).status_code == 409
    one = begun[0].json()
    async with worker(world) as camera:
        camera.picture = jpeg()
        for _ in range(2):
            one = (await picture(client, one["id"], world.ids["cam-north"], "same-picture")).json()
    assert len(one["pictures"]) == 1
    for _ in range(2):
        answer = await finding(client, one, pictures=[one["pictures"][0]["id"]])
        assert (answer.status_code, len(answer.json()["finding_orders"])) == (200, 1), answer.text
    statement = "SELECT count(*) FROM audit WHERE action IN ('inspection.picture', 'inspection.finding')"
    assert await (await world.connection.execute(statement)).fetchone() == (2,)
    row = await (await world.connection.execute("SELECT count(*) FROM rectification")).fetchone()
    assert row == (1,)


async def test_only_the_inspector_takes_steps_and_only_while_it_is_open(log_in: LogIn, world: World) -> None:
    await world.person("inspector", "inspector", sites=["north"])
    client, other, officer = await log_in("supervisor"), await log_in("inspector"), await log_in("officer")
    assert (await begin(officer, world)).status_code == 403
    one = (await begin(client, world)).json()
    said = {"version": one["version"], "result": "pass", "note": ""}
    path = f"{URL}/{one['id']}/items/1"
    assert (await other.put(path, json=said)).status_code == 409
    assert (await officer.get(f"{URL}/{one['id']}")).status_code == 200
    assert (await client.put(path, json={**said, "version": 9})).status_code == 409
    assert (await client.put(f"{URL}/{one['id']}/items/77", json=said)).status_code == 422
    over = await client.post(f"{URL}/{one['id']}/cancel", json={"version": one["version"], "reason": "断网"})
    assert (over.json()["state"], over.json()["conclusion"]) == ("cancelled", "断网")
    assert (await client.put(path, json={**said, "version": 2})).status_code == 409
    assert (await client.get(f"{URL}/{one['id']}/report")).status_code == 404


async def test_pictures_are_of_the_site_s_cameras_and_marks_stay_on_them(log_in: LogIn, world: World) -> None:
    client = await log_in("supervisor")
    one = (await begin(client, world)).json()
    away = await picture(client, one["id"], world.ids["cam-north"], "no-worker-1")
    assert (away.status_code, away.json()["error"]["code"]) == (503, "camera_away")
    assert (await picture(client, one["id"], world.ids["cam-south"], "foreign-1")).status_code == 404
    async with worker(world) as camera:
        camera.picture = jpeg()
        one = (await picture(client, one["id"], world.ids["cam-north"], "picture-1")).json()
    (taken,) = one["pictures"]
    path = f"{URL}/{one['id']}/pictures/{taken['id']}"
    for mark in (
        {"shape": "box", "points": [[0.2, 0.2], [1.7, 0.6]]},
        {"shape": "box", "points": [[0, 0], [1, 1], [0, 1]]},
        {"shape": "circle", "points": [[0, 0], [1, 1]]},
        {"shape": "stroke", "points": [[0, 0]]},
    ):
        assert (await client.put(path, json={"version": one["version"], "marks": [mark]})).status_code == 422, mark
    foreign = await finding(client, one, pictures=[taken["id"] + 1000])
    assert (foreign.status_code, foreign.json()["error"]["code"]) == (422, "invalid_input")
    assert (await finding(client, one, "other-key-1", person="code-southerner")).status_code == 422
    one = (await client.delete(path, params={"version": one["version"]})).json()
    assert one["pictures"] == []
    row = await (await world.connection.execute("SELECT count(*) FROM rectification")).fetchone()
    assert row == (0,)
