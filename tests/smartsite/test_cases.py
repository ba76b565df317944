"""Reviewed alerts become photographs to train with, as judged, and no longer than their evidence is kept."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psycopg
import pytest
from psycopg.types.json import Jsonb

from core.clock import SystemClock
from core.database import connect
from core.evidence import EvidenceStore, record
from core.settings import Settings
from smartsite.cases import export
from smartsite.cli import main
from smartsite.demo import scene
from tests.api.world import World
from vision.detectors import BUILT_IN
from vision.frame import jpeg
from vision.labelled import photographs

JUDGED = [100, 100, 160, 180]
SURE = {"label": "helmet", "score": 0.9, "box": [400.0, 200.0, 440.0, 250.0]}
UNSURE = {"label": "head", "score": 0.3, "box": [600.0, 300.0, 640.0, 340.0]}
ITSELF = {"label": "head", "score": 0.8, "box": [101.0, 100.0, 160.0, 181.0]}


@pytest.fixture
async def connection(settings: Settings) -> AsyncIterator[psycopg.AsyncConnection]:
    async with await connect(settings.database, application="test") as opened:
        yield opened


@pytest.fixture
async def world(connection: psycopg.AsyncConnection) -> World:
    world = World(connection, SystemClock().now())
    await world.site("north")
    await world.camera("gate", "north")
    return world


async def reviewed(
    world: World, store: EvidenceStore, code: str, verdict: str | None, seen: str | None = None, **values: Any
) -> str:
    """An alert of a camera and what a person said of it; the digest of its frame."""
    image = scene.view(scene.panorama(), 1.0).copy()
    image[:4, :4] = len(world.ids)  # frames of different alerts are different files
    frame = store.put(jpeg(image), "image/jpeg")
    await record(world.connection, frame)
    files = {"frame": frame.sha256, "crop": frame.sha256}
    heads = Jsonb([ITSELF, SURE, UNSURE])
    episode = await world.episode(
        code, camera="gate", files=files, box=JUDGED, heads=heads, ago_s=len(world.ids), **values
    )
    said = {"verdict": verdict, "reviewed_at": world.now, "reviewed_by": "li"} if verdict else {}
    alert = await world.alert(code, camera="gate", episode_id=episode, rule=code, **said)
    if verdict:
        detail = {"verdict": verdict} | ({"seen": seen} if seen else {})
        await world.connection.execute(
            "INSERT INTO alert_event (alert_id, at, kind, actor, detail) VALUES (%s, now(), 'reviewed', 'li', %s)",
            [alert, Jsonb(detail)],
        )
    return frame.sha256


async def run_export(world: World, settings: Settings, out: Path, **choice: Any) -> Any:
    given = {"verdicts": ("confirmed", "false_alarm"), "since": None, "score": 0.5} | choice
    return await export(world.connection, EvidenceStore(settings.evidence_dir), out, **given)


def greyed(out: Path, name: str, box: list[float]) -> bool:
    image = cv2.imread(str(out / "images" / f"{name}.jpg"))
    assert image is not None
    x1, y1, x2, y2 = (round(value) for value in box)
    return bool(np.abs(image[y1:y2, x1:x2].astype(int) - 114).max() < 6)


async def test_heads_are_labelled_as_they_were_judged(settings: Settings, world: World, tmp_path: Path) -> None:
    store = EvidenceStore(settings.evidence_dir)
    await reviewed(world, store, "true", "confirmed")
    await reviewed(world, store, "hat", "false_alarm", "helmet")
    await reviewed(world, store, "bucket", "false_alarm", "nothing")
    await reviewed(world, store, "why", "false_alarm")
    await reviewed(world, store, "open", None)
    await reviewed(world, store, "pit", "confirmed", kind="intrusion")  # says nothing of the head
    written = await run_export(world, settings, tmp_path / "cases")
    assert (written.cases, written.gone, written.taken_out) == (4, 0, 0)

    told = [json.loads(line) for line in (tmp_path / "cases" / "cases.jsonl").read_text().splitlines()]
    assert [(case["verdict"], case["seen"]) for case in told] == [
        ("confirmed", None), ("false_alarm", "helmet"), ("false_alarm", "nothing"), ("false_alarm", None)
    ]  # fmt: skip
    found = {case["name"]: photograph for case, photograph in zip(told, photographs(tmp_path / "cases"), strict=True)}
    kinds = {name: [int(row[0]) for row in photograph.rows] for name, photograph in found.items()}
    # 0 helmet, 1 head; the last of each is the helmet that the detector was sure of.
    assert list(kinds.values()) == [[1, 0], [0, 0], [0], [0]]
    true, hat, bucket, why = kinds
    labelled = found[true].read()
    assert labelled.boxes[0] == pytest.approx(JUDGED, abs=0.5)
    out = tmp_path / "cases"
    # Painted over is what nobody vouches for, and nothing else.
    assert [greyed(out, name, [float(x) for x in JUDGED]) for name in (true, hat, bucket, why)] == [
        False, False, False, True
    ]  # fmt: skip
    assert all(greyed(out, name, UNSURE["box"]) for name in kinds)  # type: ignore[arg-type]
    assert not any(greyed(out, name, SURE["box"]) for name in kinds)  # type: ignore[arg-type]
    assert out.stat().st_mode & 0o777 == 0o700


async def test_cases_go_with_their_evidence(settings: Settings, world: World, tmp_path: Path) -> None:
    store, out = EvidenceStore(settings.evidence_dir), tmp_path / "cases"
    first = await reviewed(world, store, "first", "confirmed")
    await reviewed(world, store, "second", "confirmed")
    assert (await run_export(world, settings, out)).cases == 2
    (out / "images" / "mine.jpg").write_bytes(b"put there by somebody else")
    store.open(first).unlink()
    written = await run_export(world, settings, out)
    assert (written.cases, written.gone, written.taken_out) == (1, 1, 1)
    assert len(list((out / "images").iterdir())) == 2
    assert (out / "images" / "mine.jpg").exists()


async def test_the_command_exports_and_is_audited(
    settings: Settings,
    world: World,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    await reviewed(world, EvidenceStore(settings.evidence_dir), "true", "confirmed")
    await reviewed(world, EvidenceStore(settings.evidence_dir), "false", "false_alarm")
    assert settings.database.url is not None
    monkeypatch.setenv("SMARTSITE_DATABASE__URL", settings.database.url.get_secret_value())
    monkeypatch.setenv("SMARTSITE_DATA_DIR", str(settings.data_dir))
    arguments = ["vision", "cases", "--out", str(tmp_path / "out"), "--verdict", "false_alarm"]
    assert await asyncio.to_thread(main, arguments) == 0
    assert capsys.readouterr().out.startswith("1 cases in")
    row = await (await world.connection.execute("SELECT actor, action, detail FROM audit")).fetchone()
    assert row is not None
    assert row[:2] == ("command-line", "evidence.export")
    assert row[2]["alerts"] == [world.ids["false"]]


@pytest.mark.needs("yolo")
async def test_training_takes_cases_in(settings: Settings, world: World, tmp_path: Path) -> None:
    store = EvidenceStore(settings.evidence_dir)
    for number, verdict in enumerate(["confirmed", "false_alarm"]):
        await reviewed(world, store, f"case-{number}", verdict, "helmet" if verdict == "false_alarm" else None)
    await run_export(world, settings, tmp_path / "cases")
    arguments = ["vision", "train", "--data", str(tmp_path / "cases"), "--weights", str(BUILT_IN.with_suffix(".pt"))]
    arguments += ["--out", str(tmp_path / "run"), "--epochs", "1", "--size", "64", "--batch", "2", "--workers", "0"]
    assert await asyncio.to_thread(main, arguments) == 0
    assert (tmp_path / "run" / "weights.pt").stat().st_size > 1_000_000
