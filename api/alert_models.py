"""Alerts as the API shows them, in lists, singly and in the live push."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

from psycopg import AsyncConnection
from pydantic import BaseModel, Field

from api.access import SQL
from api.context import Millis, Row, rows
from api.states import Severity
from core.clock import from_micros, micros
from core.errors import InvalidInput

Verdict = Literal["confirmed", "false_alarm"]


class RuleName(BaseModel):
    """A rule's name in both languages."""

    zh: str = Field(examples=["PM10 超限"])
    en: str = Field(examples=["PM10 over the limit"])


class Subject(BaseModel):
    """The device or camera that an alert is about."""

    type: Literal["device", "camera"]
    id: int = Field(examples=[12])
    code: str = Field(examples=["dust-1"])
    name: str = Field(examples=["1 号扬尘站"])
    name_en: str = Field(examples=["Dust station 1"])


class DeliveriesSummary(BaseModel):
    """Deliveries to regulators, by how far they are."""

    accepted: int = Field(description="Taken by the regulator.")
    pending: int = Field(description="Waiting: for a review, or for their next attempt.")
    failed: int = Field(description="In need of a person: rejected, configuration error, dead, uncertain.")


class Alert(BaseModel):
    """A violation episode of one rule on one subject. Acknowledged and cleared are independent facts."""

    id: int = Field(examples=[7])
    rule: str = Field(examples=["pm10-high"])
    rule_name: RuleName
    rule_kind: str = Field(
        description="threshold, state, window, day_count, n_of_m, composite, offline, stuck or vision.",
        examples=["threshold"],
    )
    severity: Severity
    site_id: int = Field(examples=[1])
    site_name: str
    site_name_en: str
    subject: Subject
    metric: str = Field(description="Channel; empty where the rule is on none.", examples=["pm10"])
    unit: str = Field(examples=["µg/m³"])
    started_at: Millis = Field(description="Event time of the first violating reading or frame, ms.")
    raised_at: Millis
    ended_at: Millis | None = Field(description="Event time of the end of the violation, ms.")
    cleared_at: Millis | None
    cleared_by: str | None = Field(description="'auto' or a person's code.")
    acknowledged_at: Millis | None
    acknowledged_by: str | None
    assignee: str | None = Field(description="Code of the person who deals with it.")
    assignee_name: str | None
    assignee_name_en: str | None
    severity_by: str | None = Field(description="Code of the person who set the severity; null: the rule did.")
    verdict: Verdict | None = Field(description="A reviewer's decision.")
    reviewed_at: Millis | None
    reviewed_by: str | None
    first_value: float | None
    last_value: float | None
    max_value: float | None
    limit_value: float | None
    exempt: dict[str, Any] | None = Field(
        description="What the site was exempt by: a permit with its kind, reference and source, or its stage."
    )
    quality: dict[str, Any] = Field(description="What the verdict rests on: samples, expected, share.")
    frame_sha256: str | None = Field(description="Evidence: the whole picture, the original.")
    crop_sha256: str | None = Field(description="Evidence: the cut-out, the original.")
    frame_shown_sha256: str | None = Field(description="The whole picture with heads blurred, for everybody.")
    crop_shown_sha256: str | None = Field(description="The cut-out with heads blurred, for everybody.")
    deliveries_summary: DeliveriesSummary


class AlertEvent(BaseModel):
    """A step in an alert's life."""

    id: int
    at: Millis
    kind: str = Field(examples=["raised"])
    actor: str = Field(description="'engine' or a person's code.")
    actor_name: str | None
    actor_name_en: str | None
    assignee_name: str | None = Field(description="Who it was given to, of the kind 'assigned'; null: nobody known.")
    assignee_name_en: str | None
    detail: dict[str, Any]


class Delivery(BaseModel):
    """One report to one regulator."""

    id: int
    target: str = Field(examples=["bureau"])
    phase: Literal["raise", "end"]
    amendment: int
    state: str = Field(examples=["validated"])
    reason: str = Field(description="Why it is in this state.")
    attempts: int
    receipt: str | None = Field(description="The regulator's number.")
    created_at: Millis
    accepted_at: Millis | None
    validated_at: Millis | None
    target_off_since: Millis | None = Field(
        default=None, description="Since when a person has the regulator switched off: what is pending waits."
    )


class Notification(BaseModel):
    """One message to one person on one channel, sent or withheld."""

    id: int
    person: str = Field(description="The person's code.")
    person_name: str
    person_name_en: str
    channel: str = Field(examples=["json"])
    phase: str = Field(
        description="raised, severity, escalated, cleared; of an order its step, reminder or overdue.",
        examples=["raised"],
    )
    state: Literal["pending", "sent", "withheld", "failed", "uncertain"] = Field(
        description="uncertain: the channel gave no answer; it may have the message."
    )
    reason: str = Field(description="Why it was sent or withheld.", examples=["first_raise"])
    error: str = Field(description="Of the last attempt, without secrets.")
    attempts: int
    created_at: Millis
    sent_at: Millis | None


class Vote(BaseModel):
    """One look at the person."""

    time: int = Field(description="Microseconds since 1970-01-01 UTC.", examples=[1763690400000000])
    score: float = Field(description="How sure the detector was, 0..1.")
    bare: bool = Field(description="Whether the head seemed bare.")


class EvidenceFile(BaseModel):
    """A file of an episode. `frame`, `crop` and `clip` are originals; the `shown` ones are blurred, for everybody."""

    role: Literal["frame", "crop", "frame_shown", "crop_shown", "clip"]
    sha256: str
    media_type: str = Field(examples=["video/mp4"])
    bytes: int
    removed_for: Literal["age", "space", "not_stored"] | None = Field(
        description="Null: it is there; else too old, room was needed, or the disk was full when it came."
    )
    first_at: int | None = Field(description="Of a clip: time of its first picture, ms.")
    last_at: int | None = Field(description="Of a clip: time of its last picture, ms.")


class Sighting(BaseModel):
    """A vision episode with what proves it."""

    id: int
    kind: str = Field(description="no_helmet, intrusion or post_unmanned.")
    started_at: Millis
    last_seen_at: Millis
    ended_at: Millis | None
    zone: str
    peak_score: float
    votes: list[Vote] = Field(description="Score history of the deciding vote.")
    history: list[Vote] = Field(
        description="Looks at the person from that vote to the end, at most 120: of a long episode every second, "
        "fourth ... look. Of one that goes on it is written every ten seconds."
    )
    model: str = Field(description="Name of the model and the beginning of its SHA-256.")
    files: list[EvidenceFile]


class AlertDetail(Alert):
    """An alert with everything that happened to it."""

    sightings: list[Sighting] = Field(description="Of a camera's alert: the episode that raised it, then those joined.")
    events: list[AlertEvent]
    deliveries: list[Delivery]
    notifications: list[Notification]


class AlertPage(BaseModel):
    """Newest first."""

    items: list[Alert]
    next: str | None = Field(description="Cursor of the next page; null on the last.")


def alert_fields(found: Row) -> dict[str, Any]:
    """The fields of `Alert` from a row of the statement `alerts`."""
    subject = {
        "type": "device" if found["device_id"] is not None else "camera",
        "id": found["device_id"] if found["device_id"] is not None else found["camera_id"],
        "code": found["subject_code"],
        "name": found["subject_name"],
        "name_en": found["subject_name_en"],
    }
    return {
        **found,
        "rule_name": {"zh": found["rule_name"], "en": found["rule_name_en"]},
        "subject": subject,
        "deliveries_summary": {name: found[name] for name in ("accepted", "pending", "failed")},
    }


async def find_alerts(
    connection: AsyncConnection,
    scope: list[int] | None,
    *,
    limit: int,
    ids: Sequence[int] | None = None,
    site_id: int | None = None,
    severities: Sequence[Severity] | None = None,
    only_open: bool = False,
    exempt: bool | None = False,
    person_id: int | None = None,
    before: tuple[datetime, int] | None = None,
) -> list[Row]:
    """Rows of alerts of the scope, newest first; filters that are None do not filter.

    `exempt` False: without those of a time in which their site was exempt, which are told to nobody.
    `person_id`: only what this person was told of or is to deal with.
    """
    before_at, before_id = before or (None, None)
    return await rows(
        connection,
        SQL["alerts"],
        {
            "sites": scope,
            "ids": list(ids) if ids is not None else None,
            "site_id": site_id,
            "severities": list(severities) if severities else None,
            "open": only_open,
            "exempt": exempt,
            "person_id": person_id,
            "before_at": before_at,
            "before_id": before_id,
            "limit": limit,
        },
    )


def cursor_of(found: Row) -> str:
    """The cursor behind a row: opaque to clients."""
    return base64.urlsafe_b64encode(f"{micros(found['raised_at'])}.{found['id']}".encode()).decode().rstrip("=")


def position(cursor: str) -> tuple[datetime, int]:
    """The place that a cursor of ours names; raise InvalidInput for anything else."""
    try:
        moment, number = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii").split(".")
        place = from_micros(int(moment)), int(number)
    except (ValueError, binascii.Error, OverflowError) as error:
        raise InvalidInput("the cursor is none of ours", hint="use `next` of the page before, unchanged") from error
    if not 0 <= place[1] < 2**63:
        raise InvalidInput("the cursor is none of ours", hint="use `next` of the page before, unchanged")
    return place
