"""How the platform itself is doing: processes, counts, the log, and what was set aside."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from api.access import SQL, Seen
from api.context import SILENT_AFTER, Database, Here, Millis, row, rows
from api.errors import documented
from core import log, schedule
from sensors import rollup_work

router = APIRouter(tags=["system"])


class Worker(BaseModel):
    """A process of the platform."""

    name: str = Field(examples=["ingest-1"])
    room: str = Field(examples=["ingest"])
    host: str
    pid: int
    started_at: Millis
    beat_at: Millis
    healthy: bool = Field(description="False: no heartbeat for 10 s.")


class Counts(BaseModel):
    """Messages since the installation, and what is open now."""

    messages: int = Field(description="Telemetry messages dealt with.")
    stored: int = Field(description="Rows of readings stored.")
    filled: int = Field(description="Rows in which an empty channel was filled in.")
    duplicates: int = Field(description="Messages that brought a stored row again.")
    quarantined: int = Field(description="Messages set aside.")
    alerts_total: int
    alerts_open: int
    deliveries_accepted: int = Field(description="Deliveries that a regulator has taken.")
    deliveries_pending: int = Field(description="Deliveries that wait for their next attempt.")
    deliveries_held: int = Field(description="Deliveries that wait for a review.")
    deliveries_failed: int = Field(
        description="Deliveries that need a person: rejected, configuration error, dead, uncertain."
    )
    notifications_sent: int
    notifications_pending: int
    episodes: int = Field(description="Violation episodes that cameras saw.")
    frames_analysed: int


class PeriodicJob(BaseModel):
    """A piece of periodic work and its last run on record."""

    job: str = Field(examples=["escalations"])
    schedule: str = Field(description="Jobs of a schedule run one after another in one process.", examples=["alerts"])
    holder: str = Field(description="host:pid of the process that ran it.")
    started_at: Millis
    ended_at: Millis
    outcome: Literal["ok", "failed"]
    result: str = Field(description="What it did last, in a few words.")
    error: str
    next_run_at: Millis | None
    every_s: float
    runs: int = Field(description="Runs on record; idle runs of frequent jobs are not.")
    failures: int


class LogState(BaseModel):
    """The log between the processes."""

    streams: int = Field(description="Streams that were ever written.")
    lag: int = Field(description="Entries that the alert engine has not dealt with.")


class System(BaseModel):
    """The whole platform."""

    workers: list[Worker]
    counts: Counts
    log: LogState
    jobs: list[PeriodicJob]


class Quarantined(BaseModel):
    """A message that could not be stored as a reading."""

    id: int
    arrived_at: Millis
    source: str = Field(examples=["mqtt"])
    device_id: int | None = Field(description="None: no such device.")
    device: str | None = Field(description="Its site and code.", examples=["riverside/dust-1"])
    client: str
    topic: str = Field(examples=["smartsite/v1/riverside/dust-1/telemetry"])
    reason: str = Field(description="Stable code.", examples=["malformed"])
    detail: str
    payload: str = Field(description="The bytes as UTF-8, others as U+FFFD; cut at a cap.")
    payload_bytes: int = Field(description="Full length.")


class QuarantinePage(BaseModel):
    """Newest first."""

    items: list[Quarantined]
    next: str | None = Field(description="Cursor of the next page; null on the last.")


@router.get("/system", summary="State of the platform", responses=documented(401, 403))
async def system(_viewer: Seen, context: Here, database: Database) -> System:
    """Processes with their heartbeat, counts since the installation, backlog of the log."""
    now = context.clock.now()
    workers = await rows(database, SQL["workers"], {})
    counts = await row(database, SQL["counts"], {})
    lags = await log.lag(database)
    lags.pop(rollup_work.READER, None)
    streams = await row(database, SQL["log_streams"], {})
    assert counts is not None
    assert streams is not None
    return System(
        workers=[Worker(**worker, healthy=now - worker["beat_at"] <= SILENT_AFTER) for worker in workers],
        counts=Counts(**counts),
        log=LogState(streams=streams["n"], lag=max(lags.values(), default=0)),
        jobs=[PeriodicJob(**asdict(one)) for one in await schedule.runs(database)],
    )


@router.get("/quarantine", summary="Messages set aside", responses=documented(401, 403, 422))
async def quarantine(
    viewer: Seen,
    database: Database,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    cursor: Annotated[str | None, Query(pattern=r"^\d{1,18}$", description="`next` of the page before.")] = None,
) -> QuarantinePage:
    """What could not be stored, with the reason and the bytes as they came."""
    asked = {"sites": viewer.scope, "before": int(cursor) if cursor else None, "limit": limit}
    found = await rows(database, SQL["quarantine"], asked)
    items = [Quarantined(**{**one, "payload": bytes(one["payload"]).decode("utf-8", "replace")}) for one in found]
    return QuarantinePage(items=items, next=str(items[-1].id) if len(items) == limit else None)
