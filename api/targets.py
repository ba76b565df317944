"""Regulators that violations are reported to: how each stands, its switch, and its test call."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path
from psycopg import AsyncConnection
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from alerts.standing import Backlog, Standing, backlogs, standing
from alerts.switch import lock, switch
from api import audit
from api.access import SQL, Seen, Writer
from api.context import Context, Database, Here, Millis, Text, row
from api.errors import documented
from api.versions import IfMatch, Precondition, etag_of
from core.errors import NotFound
from core.logs import redact_url
from core.settings import TargetSettings

router = APIRouter(prefix="/targets", tags=["administration"])

# Workers look every second.
_CLAIMED_WITHIN = timedelta(seconds=30)

TargetName = Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$", examples=["bureau"])]


class Target(BaseModel):
    """A regulator of the settings, without its secrets."""

    name: str = Field(examples=["bureau"])
    adapter: str = Field(examples=["reference"])
    url: str = Field(description="Without a password.", examples=["https://regulator.example"])
    push_on: Literal["raise", "end", "both"]
    per_minute: float = Field(description="Calls a minute that it allows; 0: no limit.")
    max_skew_s: float = Field(description="Seconds that its clock may be off ours.")
    on: bool = Field(description="False: a person has switched it off, and its deliveries wait.")
    off_since: Millis | None
    switched_by: str = Field(description="Who used the switch last, a person's code; empty: nobody did.")
    switched_by_name: str = Field(description="Name of the person; the code of one who is gone.", examples=["李操作"])
    switched_by_name_en: str = Field(examples=["Li Operator"])
    switch_reason: str
    state: Literal["unused", "answers", "fails", "silent"] = Field(
        description="unused: never called; fails: its last call failed; silent: several did, and now one at a time is "
        "tried."
    )
    silent_since: Millis | None
    failures: int = Field(description="Calls in a row that failed.")
    paused_until: Millis | None = Field(description="No call before then; null or past: no pause.")
    failed_at: Millis | None = Field(description="The last call without an answer, or with a failure of its own.")
    failed_reason: str
    accepted_at: Millis | None = Field(description="When it last took a delivery.")
    skew_s: float | None = Field(description="Its clock minus ours; null: not known.")
    pending: int = Field(description="Deliveries that wait for it.")
    pending_since: Millis | None = Field(description="Since when the oldest of them waits.")
    stopped: int = Field(description="Deliveries that wait for a person: configuration error, uncertain, dead.")
    etag: str = Field(description="For If-Match of its switch.", examples=['"3f2a9c..."'])


class TargetList(BaseModel):
    """In the order of the settings."""

    items: list[Target]


class Switch(BaseModel):
    """The wanted position."""

    model_config = ConfigDict(extra="forbid")

    on: bool
    reason: Annotated[Text, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)] = Field(
        examples=["局方平台升级至周五"]
    )


class CallStep(BaseModel):
    """One thing that was tried."""

    step: Literal["dns", "tcp", "tls", "call"]
    result: Literal["ok", "failed", "skipped"]
    code: str = Field(description="Stable code of what came of it.", examples=["signed_accepted"])
    values: dict[str, str] = Field(description="What its words have in them.", examples=[{"status": "200"}])
    text: str = Field(description="In English.")
    duration_ms: float


class TargetCheck(BaseModel):
    """The newest test call of a target."""

    state: Literal["none", "waiting", "running", "done", "unclaimed", "lost"] = Field(
        description="none: never asked for; unclaimed: no alerts worker took it; lost: the worker that took it never "
        "answered."
    )
    asked_at: Millis | None = None
    asked_by: str | None = Field(default=None, description="A person's code.")
    asked_by_name: str | None = Field(default=None, description="Name of the person; the code of one who is gone.")
    asked_by_name_en: str | None = None
    worker: str | None = None
    ended_at: Millis | None = None
    steps: list[CallStep] = Field(default=[], description="In the order in which they were tried; the last decides.")


@router.get("", summary="List regulators", responses=documented(401, 403))
async def targets(_viewer: Seen, context: Here, database: Database) -> TargetList:
    """Every regulator of the settings and how it stands."""
    return TargetList(items=await _read(database, context.settings.alerts.targets))


@router.put("/{target}/switch", summary="Switch a regulator off or on", responses=documented(401, 403, 404, 412, 422))
async def switch_target(
    target: TargetName,
    wanted: Switch,
    viewer: Writer,
    context: Here,
    database: Database,
    if_match: IfMatch = None,
) -> Target:
    """While it is off, deliveries to it wait; when it is on again they go out. Calls under way still finish."""
    configured = _configured(context, target)
    now = context.clock.now()
    async with database.transaction():
        await lock(database, target)
        (before,) = await _read(database, [configured])
        if (before.on, before.switch_reason) == (wanted.on, wanted.reason):
            return before  # a form that was sent twice
        Precondition(if_match, None).check(f"switch of target {target!r}", before.etag)
        await switch(database, target, on=wanted.on, reason=wanted.reason, by=viewer.code, now=now)
        await audit.append(
            database,
            at=now,
            actor=viewer.code,
            action="target.on" if wanted.on else "target.off",
            thing=f"target:{target}",
            detail={"reason": wanted.reason},
        )
        (after,) = await _read(database, [configured])
    return after


@router.get("/{target}/test", summary="The newest test call of a regulator", responses=documented(401, 403, 404, 422))
async def target_check(target: TargetName, _viewer: Seen, context: Here, database: Database) -> TargetCheck:
    """How it stands, and when it is done what was tried and what came back."""
    _configured(context, target)
    return await _checked(database, target, context.clock.now())


@router.post("/{target}/test", status_code=202, summary="Make a test call", responses=documented(401, 403, 404, 422))
async def check_target(target: TargetName, viewer: Writer, context: Here, database: Database) -> TargetCheck:
    """Let an alerts worker call the regulator without reporting anything, also while it is switched off. A test that is
    waiting or under way is answered, not doubled."""
    _configured(context, target)
    now = context.clock.now()
    async with database.transaction():
        values = {"target": target, "now": now, "by": viewer.code, "due_at": now + _CLAIMED_WITHIN}
        if await row(database, SQL["target_check_ask"], values) is not None:
            thing = f"target:{target}"
            await audit.append(database, at=now, actor=viewer.code, action="target.test", thing=thing)
        return await _checked(database, target, now)


def _configured(context: Context, name: str) -> TargetSettings:
    for one in context.settings.alerts.targets:
        if one.name == name:
            return one
    raise NotFound(f"there is no target {name!r}", hint="targets are in the settings, [[alerts.targets]]")


async def _read(database: AsyncConnection, wanted: list[TargetSettings]) -> list[Target]:
    found = {one.target: one for one in await standing(database)}
    waiting = await backlogs(database, [one.name for one in wanted])
    return [_shown(one, found.get(one.name), waiting[one.name]) for one in wanted]


def _shown(settings: TargetSettings, found: Standing | None, waiting: Backlog) -> Target:
    off_since, by, reason = (
        (None, "", "") if found is None else (found.off_since, found.switched_by, found.switch_reason)
    )
    return Target(
        name=settings.name,
        adapter=settings.adapter,
        url=redact_url(settings.url),
        push_on=settings.push_on,
        per_minute=settings.per_minute,
        max_skew_s=settings.max_skew_s,
        on=off_since is None,
        off_since=off_since,
        switched_by=by,
        switched_by_name="" if found is None else found.switched_by_name,
        switched_by_name_en="" if found is None else found.switched_by_name_en,
        switch_reason=reason,
        state=_state(found, waiting),
        silent_since=found and found.opened_at,
        failures=0 if found is None else found.failures,
        paused_until=found and found.paused_until,
        failed_at=found and found.failed_at,
        failed_reason="" if found is None else found.failed_reason,
        accepted_at=waiting.accepted_at,
        skew_s=found and found.skew_s,
        pending=waiting.pending,
        pending_since=waiting.oldest,
        stopped=waiting.stopped,
        etag=etag_of({"target": settings.name, "off_since": off_since, "by": by, "reason": reason}),
    )


def _state(found: Standing | None, waiting: Backlog) -> Literal["unused", "answers", "fails", "silent"]:
    if found is not None and found.opened_at is not None:
        return "silent"
    if found is not None and found.failures:
        return "fails"
    answered = waiting.accepted_at is not None or (found is not None and found.skew_at is not None)
    return "answers" if answered else "unused"


async def _checked(database: AsyncConnection, target: str, now: datetime) -> TargetCheck:
    found = await row(database, SQL["target_check"], {"target": target})
    if found is None:
        return TargetCheck(state="none")
    state: Any
    if found["ended_at"] is not None:
        state = "done"
    elif found["started_at"] is not None:
        state = "running" if now < found["due_at"] else "lost"
    else:
        state = "waiting" if now < found["due_at"] else "unclaimed"
    told = ("asked_at", "asked_by", "asked_by_name", "asked_by_name_en", "worker", "ended_at")
    return TargetCheck(state=state, steps=found["report"] or [], **{name: found[name] for name in told})
