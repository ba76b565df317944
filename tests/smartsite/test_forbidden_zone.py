"""A person in a forbidden zone, all the way: the camera's stream, the episode, and the alert of the built-in rule."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import cv2
import numpy as np
import psycopg
import pytest
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from alerts.evaluation import Evaluation
from alerts.rules import builtin_packs
from alerts.rules.watch import RuleWatch
from core.clock import SystemClock
from core.database import connect
from core.settings import CameraSettings, Settings
from sensors.registry import RegistryWatch
from smartsite.demo import scene
from smartsite.demo.rtsp import RtspServer, Stream
from tests.alerts.world import PROFILES
from tests.support.wait import eventually
from vision.service import serve

_FPS = 10
_ZONES = [
    {"name": "pit", "use": "forbidden", "polygon": [[0.3, 0.2], [1, 0.2], [1, 1], [0.3, 1]]},
    {"name": "lookout", "use": "post", "absent_s": 5, "polygon": [[0, 0.5], [0.2, 0.5], [0.2, 1], [0, 1]]},
]


@pytest.fixture
async def yard() -> AsyncIterator[RtspServer]:
    """The surveyor, bare-headed, in the right half of the picture, with a little grain against the motion gate."""
    picture = scene.view(scene.panorama(), 1.0)
    grain = np.random.default_rng(3).normal(0, 6, picture.shape)
    pictures = [(picture + np.roll(grain, 31 * number, 1)).clip(0, 255).astype(np.uint8) for number in range(3 * _FPS)]
    server = RtspServer({"yard": Stream(scene.encode(pictures, fps=_FPS))})
    await server.start("127.0.0.1", 0)
    yield server
    await server.close()


@pytest.fixture
async def database(settings: Settings, yard: RtspServer) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    """A site with a camera whose picture has a forbidden zone and a post."""
    async with await connect(settings.database, application="test") as connection:
        await connection.execute("INSERT INTO site (code, name) VALUES ('alpha', '甲')")
        await connection.execute(
            "INSERT INTO camera (site_id, code, name, url, options) SELECT id, 'pit', '基坑', %s, %s FROM site",
            (f"rtsp://127.0.0.1:{yard.port}/yard", Jsonb({"zones": _ZONES})),
        )
        yield connection


async def found(connection: psycopg.AsyncConnection[Any], statement: str) -> list[dict[str, Any]]:
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(statement)
        return await cursor.fetchall()


async def test_a_person_in_a_forbidden_zone_raises_the_alert_of_that_name(
    settings: Settings, database: psycopg.AsyncConnection[Any]
) -> None:
    camera = CameraSettings(fps=2, attentive_fps=5, vote_positive=3, vote_window=5)
    watching = settings.model_copy(
        update={"vision": settings.vision.model_copy(update={"live_port": 0, "camera": camera})}
    )
    stop, clock = asyncio.Event(), SystemClock()
    watch = RegistryWatch(settings.database, application="test", clock=clock)
    await watch.open()
    engine = Evaluation(settings, watch=watch, rules=RuleWatch(builtin_packs(), PROFILES, []), clock=clock)
    tasks = [
        asyncio.create_task(serve(watching, stop)),
        asyncio.create_task(engine.run(stop)),
        asyncio.create_task(watch.run(stop)),
    ]
    try:
        alerts = await eventually(
            lambda: found(database, "SELECT * FROM alert_with_rule WHERE rule = 'intrusion'"), timeout=60
        )
        posts = await eventually(
            lambda: found(database, "SELECT * FROM episode WHERE kind = 'post_unmanned'"), timeout=60
        )
    finally:
        stop.set()
        await asyncio.wait_for(asyncio.gather(*tasks), 30)
    [alert] = alerts
    assert (alert["rule_name"], alert["rule_name_en"]) == ("人员进入禁入区域", "Person in a forbidden zone")
    # While the post was waited for, the camera may have lost him and seen him again.
    [episode] = await found(database, f"SELECT * FROM episode WHERE id = {alert['episode_id']}")
    assert (alert["metric"], episode["kind"], episode["zone"]) == ("intrusion", "intrusion", "pit")
    assert alert["frame_sha256"] == episode["frame_sha256"]
    assert posts[0]["zone"] == "lookout"
    assert await found(database, "SELECT * FROM alert WHERE metric = 'post_unmanned'") == []  # that rule is off
    await _shows_the_post(settings, database, posts[0])


async def _shows_the_post(settings: Settings, database: psycopg.AsyncConnection[Any], post: dict[str, Any]) -> None:
    """A post is no head: where nobody stands nothing is blurred."""
    rows = await found(database, f"SELECT role, sha256 FROM episode_evidence WHERE episode_id = {post['id']}")
    pictures = {}
    for role in ("frame", "frame_shown"):
        [digest] = [row["sha256"] for row in rows if row["role"] == role]
        data = (settings.evidence_dir / digest[:2] / digest[2:4] / digest).read_bytes()
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        assert picture is not None
        pictures[role] = picture
    x1, y1, x2, y2 = (int(value) for value in post["box"])
    original, shown = (pictures[role][y1:y2, x1:x2].astype(int) for role in ("frame", "frame_shown"))
    assert np.abs(original - shown).mean() < 4
