"""Settings of periodic reports."""

from __future__ import annotations

from typing import Literal
from zoneinfo import available_timezones

from pydantic import Field, field_validator

from core.settings.section import Role, Section

ReportKind = Literal["daily", "weekly"]


class ReportSettings(Section):
    """Reports of days and weeks, of each site and of all sites together."""

    kinds: list[ReportKind] = Field(
        default=["daily", "weekly"], description="Reports that are made: of each day, of each week (Monday to Sunday)."
    )
    hour: int = Field(
        default=6, ge=0, le=23, description="Hour of the day after, by the site's clock, from which a report is made."
    )
    time_zone: str = Field(
        default="Asia/Shanghai", description="IANA time zone of the days of the report of all sites."
    )
    tell: dict[ReportKind, list[Role]] = Field(
        default={},
        description="Roles that are sent word of a report: of a site's those with a part in it, of that of all sites "
        "those who see all.",
    )
    keep_days: int = Field(default=400, ge=8, description="Days for which reports are kept.")

    @field_validator("time_zone")
    @classmethod
    def _is_known(cls, name: str) -> str:
        if name not in available_timezones():
            raise ValueError(f"{name} is no IANA time zone; write it as Asia/Shanghai")
        return name
