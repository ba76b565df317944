"""Reviewed alerts as photographs to train with: the original frame and its heads in the YOLO layout.

What a person judged is labelled as judged. Of the other heads those that the detector was sure of keep its label; what
nobody can vouch for is painted grey, so that it teaches nothing.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import psycopg
from psycopg.rows import dict_row

from core.errors import NotFound
from core.evidence import EvidenceStore
from core.sql import queries
from vision.frame import Image, jpeg
from vision.labelled import CLASSES

Verdict = Literal["confirmed", "false_alarm"]

_SQL = queries("smartsite")
_QUALITY = 95
_GREY = 114  # as the network's input is padded
_MARGIN = 0.15
_SAME = 0.3  # boxes that overlap by more are the same head
_NAME = re.compile(r"^alert-\d+-\d+\.(jpg|txt)$")


@dataclass(frozen=True, slots=True)
class Written:
    """What an export did: cases in the folder, those whose frame is gone, and old ones that were taken out."""

    cases: int
    gone: int
    taken_out: int
    alerts: tuple[int, ...]


async def export(
    connection: psycopg.AsyncConnection[Any],
    store: EvidenceStore,
    out: Path,
    *,
    verdicts: Sequence[Verdict],
    since: datetime | None,
    score: float,
) -> Written:
    """Bring `out` (images/, labels/, cases.jsonl) in line with the reviews of these verdicts.

    `score` is what makes a head of the frame sure. Cases written earlier whose evidence is gone are taken out again:
    nothing outlives its retention here.
    """
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_SQL["reviewed_cases"], {"verdicts": list(verdicts), "since": since})
        rows = await cursor.fetchall()
    return await asyncio.to_thread(_write, rows, store, out, score)


def _write(rows: list[dict[str, Any]], store: EvidenceStore, out: Path, score: float) -> Written:
    out.mkdir(parents=True, exist_ok=True)
    out.chmod(0o700)  # faces
    for name in ("images", "labels"):
        (out / name).mkdir(exist_ok=True)
    lines, names, gone = [], set(), 0
    for row in rows:
        try:
            path = store.open(row["sha256"])
        except NotFound:
            gone += 1
            continue
        image = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if image is None:
            gone += 1
            continue
        name = f"alert-{row['alert']}-{row['episode']}"
        picture, labels = label(np.asarray(image, np.uint8), row, score)
        _put(out / "images" / f"{name}.jpg", jpeg(picture, _QUALITY))
        _put(out / "labels" / f"{name}.txt", "".join(f"{line}\n" for line in labels).encode())
        names.add(name)
        told = {key: row[key] for key in ("alert", "episode", "verdict", "seen", "sha256", "model", "camera")}
        lines.append(json.dumps({"name": name, **told, "reviewed_at": row["reviewed_at"].isoformat()}))
    _put(out / "cases.jsonl", "".join(f"{line}\n" for line in lines).encode())
    old = [path for path in _ours(out) if path.stem not in names]
    for path in old:
        path.unlink()
    return Written(len(names), gone, len({path.stem for path in old}), tuple(row["alert"] for row in rows))


def label(image: Image, row: dict[str, Any], score: float) -> tuple[Image, list[str]]:
    """The picture (BGR) with what is unsure painted over, and its label lines."""
    judged = tuple(row["box"])
    kind = {"confirmed": "head", "helmet": "helmet", "nothing": None}.get(
        row["seen"] or row["verdict"], ""
    )  # "": nobody said what it was
    kept: list[tuple[str, tuple[float, ...]]] = [(kind, judged)] if kind else []
    unsure = [judged] if kind == "" else []
    for head in row["heads"]:
        box = tuple(head["box"])
        if _overlap(box, judged) > _SAME:
            continue
        if head["score"] >= score:
            kept.append((head["label"], box))
        else:
            unsure.append(box)
    picture = image.copy()
    for box in unsure:
        if not any(_overlap(box, other) > 0 for _, other in kept):
            _paint(picture, box)
    height, width = image.shape[:2]
    return picture, [_line(name, box, width, height) for name, box in kept if name in CLASSES]


def _line(name: str, box: tuple[float, ...], width: int, height: int) -> str:
    x1, x2 = (min(max(value / width, 0.0), 1.0) for value in (box[0], box[2]))
    y1, y2 = (min(max(value / height, 0.0), 1.0) for value in (box[1], box[3]))
    shares = ((x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1)
    return " ".join([str(CLASSES.index(name)), *(f"{share:.6f}" for share in shares)])


def _paint(picture: Image, box: tuple[float, ...]) -> None:
    x1, y1, x2, y2 = box
    wide, high = _MARGIN * (x2 - x1), _MARGIN * (y2 - y1)
    picture[max(0, int(y1 - high)) : int(y2 + high) + 1, max(0, int(x1 - wide)) : int(x2 + wide) + 1] = _GREY


def _overlap(first: tuple[float, ...], second: tuple[float, ...]) -> float:
    """Intersection over union."""
    wide = min(first[2], second[2]) - max(first[0], second[0])
    high = min(first[3], second[3]) - max(first[1], second[1])
    if wide <= 0 or high <= 0:
        return 0.0
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (first, second))
    return wide * high / (areas - wide * high)


def _put(path: Path, data: bytes) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(data)
    partial.replace(path)


def _ours(out: Path) -> Iterator[Path]:
    for folder in ("images", "labels"):
        yield from (path for path in (out / folder).iterdir() if _NAME.match(path.name))
