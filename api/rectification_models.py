"""Rectification orders as the API shows and takes them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field

from alerts.rectification.model import Source, State
from api.context import Millis, Row, Text
from core.settings.rectification import Level

OrderId = Annotated[int, Path(ge=1, lt=2**63, description="The order's id.", examples=[3])]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Photos = Annotated[list[Sha256], Field(max_length=50, description="SHA-256 of photos uploaded for this order.")]
Moment = Annotated[int, Field(ge=0, lt=10**14, description="Milliseconds since 1970-01-01 UTC.")]


class Step(BaseModel):
    """A step that somebody takes, and the version of the order that they looked at."""

    model_config = ConfigDict(extra="forbid")

    version: int = Field(ge=1, description="Where the order has moved on, the answer is a conflict.", examples=[1])


class Remark(Step):
    """A step with words."""

    text: Text = Field(default="", max_length=2000, examples=["已更换防护栏"])
    photos: Photos = []


class Submission(Remark):
    """What was done, with photos that show it."""


class Review(Remark):
    """The reviewer's decision."""

    passed: bool
    deadline_at: Moment | None = Field(default=None, description="With a return: the new deadline.")


class NewDeadline(Step):
    """Another deadline and why."""

    deadline_at: Moment
    text: Text = Field(default="", max_length=2000)


class Assignment(Step):
    """Who is responsible from now on."""

    person: Text = Field(max_length=64, description="The person's code.", examples=["wang"])
    unit: Text | None = Field(default=None, max_length=64, description="The unit's code.")
    text: Text = Field(default="", max_length=2000)


class Supervision(Step):
    """On the list or off it, and why."""

    listed: bool
    text: Text = Field(min_length=1, max_length=2000, examples=["重大隐患，市级挂牌督办"])


class StopWork(Step):
    """What must stop and why."""

    scope: Text = Field(min_length=1, max_length=300, examples=["2 号楼高处作业"])
    text: Text = Field(min_length=1, max_length=2000)


class NewOrder(BaseModel):
    """What is to be rectified, by whom and until when."""

    model_config = ConfigDict(extra="forbid")

    site_id: int = Field(ge=1, lt=2**31)
    alert_id: int | None = Field(default=None, ge=1, lt=2**63, description="The alert that found the hazard.")
    source: Literal["inspection", "free"] = Field(default="free", description="Without an alert: how it was found.")
    level: Level
    title: Text = Field(min_length=1, max_length=200, examples=["3 号楼临边防护缺失"])
    description: Text = Field(default="", max_length=4000)
    location: Text = Field(default="", max_length=300, examples=["3 号楼 5 层东侧"])
    requirement: Text = Field(min_length=1, max_length=2000, examples=["立即恢复临边防护并设警戒"])
    person: Text = Field(max_length=64, description="Code of the responsible person.", examples=["wang"])
    unit: Text | None = Field(default=None, max_length=64, description="Code of the responsible unit.")
    deadline_at: Moment | None = Field(default=None, description="None: by the level.")


class Named(BaseModel):
    """Somebody or something by code and name."""

    code: str
    name: str
    name_en: str


class Rectification(BaseModel):
    """An order to rectify a hazard."""

    id: int
    number: str = Field(description="Site, year, running number.", examples=["riverside-2026-0001"])
    site_id: int
    site_name: str
    site_name_en: str
    source: Source
    alert_id: int | None
    level: Level
    title: str
    description: str
    location: str
    requirement: str
    unit: Named | None
    person: Named
    state: State
    version: int
    rounds: int = Field(description="Submissions so far.")
    ordered_at: Millis
    ordered_by: str = Field(description="A person's code.")
    ordered_by_name: str
    ordered_by_name_en: str
    term_from: Millis = Field(description="Since when the time to the deadline runs.")
    deadline_at: Millis
    overdue: bool
    submitted_at: Millis | None
    closed_at: Millis | None
    listed_at: Millis | None = Field(description="Under listed supervision since.")
    stop_work_at: Millis | None = Field(description="Work is stopped since.")
    stop_work_scope: str


class OrderEvent(BaseModel):
    """A step in an order's life."""

    id: int
    at: Millis
    version: int = Field(description="Of the order after it.")
    kind: str = Field(examples=["submitted"])
    actor: str = Field(description="'clock' or a person's code.")
    actor_name: str | None
    actor_name_en: str | None
    detail: dict[str, Any]


class OrderPhoto(BaseModel):
    """A photo of an order; the file is GET /evidence/{sha256}."""

    sha256: str
    uploaded_at: Millis
    uploaded_by: str
    event_id: int | None = Field(description="The step that shows it; null: not used yet.")


class OrderDetail(Rectification):
    """An order with everything that happened to it."""

    events: list[OrderEvent]
    photos: list[OrderPhoto]


class OrderPage(BaseModel):
    """Newest first."""

    items: list[Rectification]
    next: int | None = Field(description="`before` of the next page; null on the last.")


class UploadedPhoto(BaseModel):
    """A photo as it was stored."""

    sha256: str
    media_type: str
    width: int
    height: int


class StatisticsRow(BaseModel):
    """Orders of a site or a unit."""

    key: int | None = Field(description="Id of the site or unit; null: no unit was named.")
    name: str
    name_en: str
    ordered: int
    passed: int
    withdrawn: int
    open: int
    overdue: int = Field(description="Past their deadline, with nothing to review.")
    late: int = Field(description="Overdue now, or submitted after their deadline.")
    states: dict[State, int] = Field(description="How many stand at each state now.")
    passed_in_time: int
    returned: int = Field(description="Submitted more than once.")
    serious: int
    listed: int = Field(description="Under listed supervision now.")
    stopped: int = Field(description="With a stop of work now.")
    mean_hours: float | None = Field(description="From the order to the pass.")


class Statistics(BaseModel):
    """Orders given in a period."""

    since: Millis
    until: Millis
    rows: list[StatisticsRow]


def order_fields(found: Row) -> dict[str, Any]:
    """The fields of `Rectification` from a row of the statement `rectifications`."""
    person = Named(code=found["person_code"], name=found["person_name"], name_en=found["person_name_en"])
    unit = None
    if found["unit_code"] is not None:
        unit = Named(code=found["unit_code"], name=found["unit_name"], name_en=found["unit_name_en"])
    return {**found, "person": person, "unit": unit}
