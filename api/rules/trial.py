"""A trial of rules on history: asked for here, made by an alerts process. One at a time for each person."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from psycopg import AsyncConnection
from pydantic import BaseModel, ConfigDict, Field

from alerts.model import Severity
from alerts.rules.files import RuleText, read
from alerts.rules.model import VisionRule
from api import audit
from api.access import SQL, Seen, Viewer, Writer
from api.context import Database, Here, Millis, row
from api.errors import FaultyFields, documented
from api.rules.models import RuleSource
from api.rules.routes import Book, refused

router = APIRouter(prefix="/rule-trial", tags=["administration"])

# Workers look every second; one that makes another's trial takes its turns.
_CLAIMED_WITHIN = timedelta(minutes=10)
_LONGEST = timedelta(days=92)

Moment = Annotated[
    int, Field(ge=0, le=253370764800000, description="Milliseconds since 1970-01-01 UTC.", examples=[1763690400000])
]


class TrialWish(BaseModel):
    """What to try, and on which readings: [from, to), at most 92 days."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    text: RuleSource
    from_: Moment = Field(alias="from")
    to: Moment
    site: str | None = Field(default=None, max_length=64, description="Code; null: all sites.", examples=["east"])


class DayCount(BaseModel):
    """A day of the site that has an alert's beginning."""

    day: str = Field(examples=["2026-11-20"])
    alerts: int


class Outcome(BaseModel):
    """What rules would have raised; alerts of exempt times are counted apart."""

    alerts: int
    exempt: int
    devices: int = Field(description="That had an alert.")
    hours: float = Field(description="That the alerts stood, added up.")
    days: list[DayCount] = Field(description="Days with alerts.")


class TrialAlert(BaseModel):
    """An alert that would have been raised."""

    rule: str
    site: str = Field(description="Code.")
    device: str = Field(description="Code.")
    severity: Severity = Field(description="The worst that it reached.")
    started_at: Millis
    ended_at: Millis | None = Field(description="null: it goes on at the end.")
    worst: float | None
    limit: float | None
    exempt: bool


class TrialReport(BaseModel):
    """What came of a trial."""

    readings: int = Field(description="That were played through the engine.")
    drafted: Outcome
    current: Outcome | None = Field(description="Of the rules with these ids that are in force; null: none is.")
    alerts: list[TrialAlert] = Field(description="The first 500 of the drafted rules.")


class Trial(BaseModel):
    """The person's newest trial."""

    state: Literal["none", "waiting", "running", "done", "failed", "unclaimed", "lost"] = Field(
        description="none: never asked for, or given up; unclaimed: no alerts process took it; lost: the one that took "
        "it never answered."
    )
    asked_at: Millis | None = None
    rules: list[str] = Field(default=[], description="Ids.")
    site: str | None = None
    starts_at: Millis | None = None
    ends_at: Millis | None = None
    progress: float = Field(default=0, description="0 to 1.")
    ended_at: Millis | None = None
    error: Literal["", "too_many_readings", "trial_too_long", "trial_died"] = ""
    report: TrialReport | None = None


@router.get("", summary="The newest trial of rules", responses=documented(401, 403))
async def rule_trial(viewer: Seen, context: Here, database: Database) -> Trial:
    """How far it is, and when it is done what it found."""
    return await _newest(database, viewer, context.clock.now())


@router.post("", status_code=202, summary="Try rules on history", responses=documented(401, 403, 422))
async def rule_trial_ask(wish: TrialWish, viewer: Writer, context: Here, database: Database) -> Trial:
    """Play readings of the past through the engine with these rules, and with those in force of the same ids. Nothing
    is raised and nobody is told. The person's trial before is given up."""
    checked = await (await Book.open(database, context)).check(wish.text)
    if checked.problems:
        raise refused(checked.problems)
    rules = [rule for rule, _ in read([RuleText("", wish.text)])[0]]
    if seen := [rule.id for rule in rules if isinstance(rule, VisionRule)]:
        raise FaultyFields({"body.text": f"rule {seen[0]!r} looks at cameras: there are no readings to try it on"})
    start, end = (datetime.fromtimestamp(moment / 1000, UTC) for moment in (wish.from_, wish.to))
    if not start < end <= start + _LONGEST:
        raise FaultyFields({"body.to": f"it must lie after from, by at most {_LONGEST.days} days"})
    if wish.site is not None and await row(database, SQL["site_of_code"], {"code": wish.site}) is None:
        raise FaultyFields({"body.site": f"there is no site {wish.site!r}"})
    now = context.clock.now()
    async with database.transaction():
        values: dict[str, Any] = {
            "by": viewer.code,
            "now": now,
            "text": wish.text,
            "rules": [rule.id for rule in rules],
            "site": wish.site,
            "starts_at": start,
            "ends_at": end,
            "due_at": now + _CLAIMED_WITHIN,
        }
        await database.execute(SQL["rule_trial_ask"], values)
        await audit.append(
            database,
            at=now,
            actor=viewer.code,
            action="rule.trial",
            thing="rule:" + ",".join(values["rules"])[:200],
            detail={"site": wish.site, "from": wish.from_, "to": wish.to},
        )
        return await _newest(database, viewer, now)


@router.delete("", status_code=204, summary="Give up the trial", responses=documented(401, 403, 422))
async def rule_trial_drop(viewer: Writer, database: Database) -> None:
    """Whoever works at it stops within seconds."""
    await database.execute(SQL["rule_trial_drop"], {"by": viewer.code})


async def _newest(database: AsyncConnection, viewer: Viewer, now: datetime) -> Trial:
    found = await row(database, SQL["rule_trial"], {"by": viewer.code})
    if found is None:
        return Trial(state="none")
    due_at, started_at = found.pop("due_at"), found.pop("started_at")
    state: Literal["waiting", "running", "done", "failed", "unclaimed", "lost"]
    if found["ended_at"] is not None:
        state = "failed" if found["error"] else "done"
    elif started_at is not None:
        state = "running" if now < due_at else "lost"
    else:
        state = "waiting" if now < due_at else "unclaimed"
    return Trial(state=state, **found)
