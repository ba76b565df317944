"""Inspections as the API shows and takes them."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field

from alerts.inspection.checklists import Checklist
from alerts.inspection.marks import Mark
from alerts.inspection.model import Contents, Result, State
from alerts.rectification.model import State as OrderState
from api.context import Millis, Row, Text
from api.rectification_models import Moment, Step
from core.settings.rectification import Level

InspectionId = Annotated[int, Path(ge=1, lt=2**63, description="The inspection's id.", examples=[5])]
Position = Annotated[int, Field(ge=1, le=200, description="Position of an item in the checklist.")]
CameraNumber = Annotated[int, Field(ge=1, lt=2**31, description="One of the site's cameras.")]


class Checklists(BaseModel):
    """Lists that an inspection can go through."""

    items: list[Checklist]


class NewInspection(BaseModel):
    """Where, and by which list."""

    model_config = ConfigDict(extra="forbid")

    site_id: int = Field(ge=1, lt=2**31)
    checklist: Text = Field(max_length=64, examples=["six-hundred-percents"])


class Look(BaseModel):
    """A camera that the inspector looks through."""

    model_config = ConfigDict(extra="forbid")

    camera_id: CameraNumber


class Judgement(Step):
    """How an item stands."""

    result: Result
    note: Text = Field(default="", max_length=2000)


class Marking(Step):
    """What is drawn on a picture and what it shows."""

    marks: list[Mark] = Field(default=[], max_length=50)
    note: Text = Field(default="", max_length=2000)
    position: Position | None = Field(default=None, description="The item that it shows.")


class Finding(Step):
    """A hazard that was found: what is to be done, by whom and until when."""

    position: Position | None = Field(default=None, description="The item that fails by it.")
    pictures: list[Annotated[int, Field(ge=1, lt=2**63)]] = Field(default=[], max_length=20)
    level: Level
    title: Text = Field(min_length=1, max_length=200, examples=["东侧裸土未覆盖"])
    description: Text = Field(default="", max_length=4000)
    location: Text = Field(default="", max_length=300)
    requirement: Text = Field(min_length=1, max_length=2000, examples=["对裸土全覆盖"])
    person: Text = Field(max_length=64, description="Code of the responsible person.", examples=["wang"])
    unit: Text | None = Field(default=None, max_length=64, description="Code of the responsible unit.")
    deadline_at: Moment | None = Field(default=None, description="None: by the level.")


class Ending(Step):
    """The inspector's last word."""

    conclusion: Text = Field(default="", max_length=4000)


class Cancelling(Step):
    """Why the inspection ends without a report."""

    reason: Text = Field(min_length=1, max_length=2000)


class Inspection(BaseModel):
    """An inspection of a site."""

    id: int
    number: str = Field(description="XC, site, year, running number.", examples=["XC-riverside-2026-0001"])
    site_id: int
    site_name: str
    site_name_en: str
    checklist: str
    name: str = Field(description="Of the checklist.")
    name_en: str
    state: State
    version: int
    begun_at: Millis
    begun_by: str
    begun_by_name: str | None
    begun_by_name_en: str | None
    ended_at: Millis | None
    conclusion: str
    report_sha256: str | None
    items: int = Field(description="Items of the list.")
    judged: int
    failed: int
    findings: int


class InspectionPage(BaseModel):
    """A page of inspections, newest first."""

    items: list[Inspection]
    next: int | None = Field(description="`before` of the next page; null: this is the last.")


class ItemState(BaseModel):
    """An item and how it stands."""

    position: int
    code: str
    title: str
    title_en: str
    requirement: str
    result: Result
    note: str


class Looked(BaseModel):
    """A camera that was looked through, and when first."""

    camera_id: int
    code: str
    name: str
    name_en: str
    at: Millis


class Picture(BaseModel):
    """A picture of a camera."""

    id: int
    camera_id: int
    camera_name: str
    camera_name_en: str
    taken_at: Millis
    sha256: str = Field(description="With the marks drawn in.")
    plain_sha256: str = Field(description="As it was taken.")
    marks: list[Mark]
    note: str
    position: int | None
    rectification_id: int | None = Field(description="The order that shows it; it stays as it is then.")


class FindingState(BaseModel):
    """A finding, as the order to rectify it stands."""

    position: int | None
    rectification_id: int
    number: str
    level: Level
    title: str
    location: str
    requirement: str
    state: OrderState
    deadline_at: Millis
    person_name: str
    person_name_en: str
    unit_name: str | None
    unit_name_en: str | None


class InspectionDetail(Inspection):
    """An inspection with all it consists of."""

    list_items: list[ItemState]
    looks: list[Looked]
    pictures: list[Picture]
    finding_orders: list[FindingState]


class SealKey(BaseModel):
    """The key that reports are signed with."""

    algorithm: str = Field(examples=["Ed25519"])
    public_key: str = Field(description="32 bytes in hex.")
    fingerprint: str


def detail_of(found: Row, parts: Contents) -> InspectionDetail:
    """The row with its contents."""
    more: dict[str, Any] = {
        "list_items": parts.items,
        "looks": parts.looks,
        "pictures": parts.pictures,
        "finding_orders": parts.findings,
    }
    return InspectionDetail(**found, **more)
