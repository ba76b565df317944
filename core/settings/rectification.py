"""Settings of rectification: deadlines, reminders, photos."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from core.settings.section import Role, Section

Level = Literal["minor", "general", "serious"]


class ReminderSettings(Section):
    """Whom to remind of an order besides the responsible person, and when."""

    share: float = Field(gt=0, le=10, description="Share of the time to the deadline that is over; from 1 on: overdue.")
    roles: list[Role] = Field(default=[], description="Roles on the site that are told as well.")


class RectificationSettings(Section):
    """Orders to rectify a hazard."""

    deadline_hours: dict[Level, float] = Field(
        default={"minor": 168, "general": 72, "serious": 24},
        description="Hours until the deadline of an order that names none, by level.",
    )
    reminders: list[ReminderSettings] = Field(
        default=[
            ReminderSettings(share=0.5),
            ReminderSettings(share=0.8),
            ReminderSettings(share=1, roles=["officer", "supervisor"]),
            ReminderSettings(share=1.5, roles=["supervisor", "inspector"]),
            ReminderSettings(share=2, roles=["inspector", "leader"]),
        ],
        description="Reminders and escalation by role; what is submitted or closed ends them.",
    )
    photo_required: bool = Field(default=True, description="Whether a submission needs a photo.")
    photo_max_mb: int = Field(default=10, ge=1, le=50, description="Largest photo that is taken, in MiB.")
    photos_max: int = Field(default=20, ge=1, le=200, description="Photos of one order at most.")
    keep_photo_location: bool = Field(
        default=False,
        description="Whether photos are kept as they come, with where and by what they were taken; otherwise they are "
        "written anew without.",
    )
