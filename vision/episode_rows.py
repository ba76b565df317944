"""Rows of episodes, each change with its log entry in the caller's transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from core import log
from core.clock import Clock, from_micros, micros
from core.evidence import Evidence
from core.sql import queries
from sensors import entries
from vision.history import History, Vote
from vision.judge import Episode, Left, Phase

SQL = queries(__package__)

_LONGEST_COOL_DOWN = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose episode it is, and the log writer that tells of it."""

    camera_id: int
    site_id: int
    writer: str


async def start(
    connection: psycopg.AsyncConnection,
    subject: Subject,
    episode: Episode,
    *,
    files: Mapping[str, Evidence],
    heads: list[dict[str, Any]],
    model: str,
) -> None:
    """Insert episode, its files by their role (`frame`, `crop`, ...) and log entry; nothing where an earlier try was
    committed. The files have their rows already."""
    parameters = _parameters(subject, episode) | {
        "site_id": subject.site_id,
        "votes": _looks(episode.votes),
        "history": _looks(episode.history.looks),
        "zone": episode.zone,
        "box": list(episode.box),
        "frame_sha256": files["frame"].sha256,
        "crop_sha256": files["crop"].sha256,
        "model": model,
        "heads": Jsonb(heads),
    }
    row = await (await connection.execute(SQL["episode_start"], parameters)).fetchone()
    if row is not None:
        digests = [file.sha256 for file in files.values()]
        await connection.execute(SQL["episode_files"], {"episode_id": row[0], "roles": list(files), "digests": digests})
        await _tell(connection, subject, episode, phase="started", row=row)


async def end(connection: psycopg.AsyncConnection, subject: Subject, episode: Episode) -> None:
    """Write the end and its log entry; nothing where it has ended already."""
    parameters = _parameters(subject, episode) | {
        "ended_at": from_micros(episode.ended_at or episode.last_seen_at),
        "history": _looks(episode.history.looks),
    }
    row = await (await connection.execute(SQL["episode_end"], parameters)).fetchone()
    if row is not None:
        await _tell(connection, subject, episode, phase="ended", row=row)


async def clip(
    connection: psycopg.AsyncConnection, subject: Subject, episode: Episode, *, file: Evidence, first: int, last: int
) -> bool:
    """Add the clip to its episode, with the times of its first and last picture; False where there is no such one."""
    parameters = _parameters(subject, episode) | {
        "sha256": file.sha256,
        "first_at": from_micros(first),
        "last_at": from_micros(last),
    }
    return await (await connection.execute(SQL["episode_clip"], parameters)).fetchone() is not None


async def sighted(connection: psycopg.AsyncConnection, episodes: Iterable[tuple[int, Episode]]) -> None:
    """Refresh last sighting and peak of open episodes, given with their cameras' ids, and now and then the history."""
    pairs = list(episodes)
    due = [(episode.history, episode.history.looks if episode.history.is_due else None) for _, episode in pairs]
    if pairs:
        await connection.execute(
            SQL["episode_seen"],
            {
                "cameras": [camera for camera, _ in pairs],
                "kinds": [episode.kind for _, episode in pairs],
                "tracks": [episode.track for _, episode in pairs],
                "started": [from_micros(episode.started_at) for _, episode in pairs],
                "seen": [from_micros(episode.last_seen_at) for _, episode in pairs],
                "peaks": [episode.peak_score for _, episode in pairs],
                "histories": [looks and _looks(looks) for _, looks in due],
            },
        )
        for history, looks in due:
            if looks:
                history.note_saved()


async def left(connection: psycopg.AsyncConnection, clock: Clock) -> dict[int, Left]:
    """Open episodes and last sightings of every camera, by its id."""
    since = clock.now() - _LONGEST_COOL_DOWN
    seen = await (await connection.execute(SQL["episodes_last_seen"], {"since": since})).fetchall()
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(SQL["episodes_open"])
        rows = await cursor.fetchall()
    cameras = {row["camera_id"] for row in rows} | {camera for camera, *_ in seen}
    return {
        camera: Left(
            tuple(_episode(row) for row in rows if row["camera_id"] == camera),
            {(kind, zone): micros(moment) for owner, kind, zone, moment in seen if owner == camera},
        )
        for camera in cameras
    }


async def _tell(
    connection: psycopg.AsyncConnection, subject: Subject, episode: Episode, *, phase: Phase, row: tuple[Any, ...]
) -> None:
    number, frame_sha256, crop_sha256, box, model = row
    entry = entries.EpisodeEntry(
        episode=number,
        camera=subject.camera_id,
        site=subject.site_id,
        kind=episode.kind,
        phase=phase,
        started_at=episode.started_at,
        last_seen_at=episode.last_seen_at,
        ended_at=episode.ended_at if phase == "ended" else None,
        peak_score=episode.peak_score,
        zone=episode.zone,
        frame_sha256=frame_sha256,
        crop_sha256=crop_sha256,
        box=tuple(box),
        model=model,
    )
    new = log.NewEntry(log.shard_of(subject.site_id), log.Kind.EPISODE, entries.encode(entry))
    await log.append(connection, subject.writer, [new])


def _parameters(subject: Subject, episode: Episode) -> dict[str, Any]:
    return {
        "camera_id": subject.camera_id,
        "kind": episode.kind,
        "track": episode.track,
        "started_at": from_micros(episode.started_at),
        "last_seen_at": from_micros(episode.last_seen_at),
        "peak_score": episode.peak_score,
    }


def _looks(looks: Iterable[Vote]) -> Jsonb:
    return Jsonb([{"time": look.time, "score": round(look.score, 4), "bare": look.bare} for look in looks])


def _episode(row: dict[str, Any]) -> Episode:
    x1, y1, x2, y2 = row["box"]
    return Episode(
        track=row["track"],
        zone=row["zone"],
        started_at=micros(row["started_at"]),
        last_seen_at=micros(row["last_seen_at"]),
        peak_score=row["peak_score"],
        box=(x1, y1, x2, y2),
        kind=row["kind"],
        history=History(Vote(**look) for look in row["history"]),
    )
