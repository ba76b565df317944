"""The rows of a registry file, each checked by itself; what they refer to is checked in sensors.provision.apply.

A field that a row does not name keeps the value that the registry has, or gets the default shown here in a new row.
"""

from __future__ import annotations

import json
from datetime import MAXYEAR, MINYEAR, datetime
from typing import Annotated, Any, Literal
from zoneinfo import available_timezones

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator

from sensors.hj212.policy import policy_of
from sensors.provision.faults import fault


def _printable(text: str) -> str:
    if not text.isprintable():
        raise fault("unprintable")
    return text


def _known_zone(name: str) -> str:
    if name not in available_timezones():
        raise fault("no_time_zone", zone=name)
    return name


def _told_in_utc(moment: datetime) -> datetime:
    # Beside the ends of the calendar the same moment may have no date in UTC.
    if not MINYEAR < moment.year < MAXYEAR:
        raise fault("far_time", year=str(moment.year))
    return moment


def _split(value: Any) -> Any:
    """A sheet's cell holds a list as words with `;` between them."""
    return [part.strip() for part in value.split(";") if part.strip()] if isinstance(value, str) else value


def _yes(value: Any) -> Any:
    """A sheet in Chinese says 是 and 否."""
    return {"是": True, "否": False}.get(value, value) if isinstance(value, str) else value


def _unfold(value: Any) -> Any:
    """A sheet's cell holds a table of options as JSON."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        raise fault("no_json") from None


def _known_options(options: dict[str, Any]) -> dict[str, Any]:
    try:
        policy_of(options)
    except ValueError as error:
        raise fault("no_options", reason=str(error)) from None
    return options


def _address(url: str) -> str:
    if "://" not in url:
        raise fault("no_contact")
    return url


Code = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
Text = Annotated[str, StringConstraints(strip_whitespace=True, max_length=300), AfterValidator(_printable)]
Name = Annotated[Text, StringConstraints(min_length=1)]
Latitude = Annotated[float, Field(ge=-90, le=90)]
Longitude = Annotated[float, Field(ge=-180, le=180)]
TimeZone = Annotated[str, AfterValidator(_known_zone)]
Moment = Annotated[datetime, AfterValidator(_told_in_utc)]
"""A time of which the site's zone may have to be known before it is one."""
Contact = Annotated[str, StringConstraints(max_length=2000), AfterValidator(_printable), AfterValidator(_address)]
Secret = Annotated[str, StringConstraints(min_length=8, max_length=256), AfterValidator(_printable)]


class Row(BaseModel):
    """Base of all rows: a field that is not known is an error, so that a typing mistake shows."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Place(Row):
    """Something with coordinates, WGS-84."""

    latitude: Latitude | None = None
    longitude: Longitude | None = None

    @model_validator(mode="after")
    def _both_or_none(self) -> Place:
        if (self.latitude is None) != (self.longitude is None):
            raise fault("half_a_place")
        return self


class UnitRow(Row):
    """`[[units]]`: a company."""

    code: Code
    name: Name
    name_en: Text = ""
    credit_code: Annotated[str, StringConstraints(pattern=r"^([0-9A-Z]{18})?$")] = ""


class SiteUnitRow(Row):
    """`units = [{unit = ..., role = ...}]` of a site."""

    unit: Code
    role: Literal["builder", "contractor", "supervisor"]


class SiteFacts(Place):
    """What is told of a site. `units`, where named, replaces its whole list.

    `stage_since` is when `stage` began; without an offset it is the site's own time.
    """

    name: Name
    name_en: Text = ""
    address: Text = ""
    region_code: Annotated[str, StringConstraints(pattern=r"^([0-9]{6,12})?$")] = ""
    time_zone: TimeZone = "Asia/Shanghai"
    stage: Text = ""
    stage_since: Moment | None = None
    area_m2: Annotated[float, Field(gt=0)] | None = None
    project_code: Text = ""
    permit_number: Text = ""
    supervision_number: Text = ""
    vision_policy: Literal["auto", "review", "auto_above"] = "review"
    vision_auto_score: Annotated[float, Field(ge=0, le=1)] = 0.9
    enabled: bool = True
    units: list[SiteUnitRow] = []


class SiteRow(SiteFacts):
    """`[[sites]]`."""

    code: Code


class PersonRow(Row):
    """`[[people]]`. `sites`, where named, replaces the person's whole list."""

    code: Code
    name: Name
    name_en: Text = ""
    role: Literal["leader", "operator", "inspector", "supervisor", "officer", "integrator", "auditor"]
    unit: Code | None = None
    phone: Annotated[str, StringConstraints(pattern=r"^(\+?[0-9 -]{5,24})?$")] = ""
    language: Literal["zh", "en"] = "zh"
    contacts: list[Contact] = []
    login: Name | None = None
    password: Secret | None = None
    all_sites: bool = False
    enabled: bool = True
    sites: list[Code] = []

    @model_validator(mode="after")
    def _password_needs_login(self) -> PersonRow:
        if self.password is not None and self.login is None:
            raise fault("password_alone")
        return self


class DeviceFacts(Place):
    """What is told of a device. `mn` is how HJ 212 names it; `gateway` is the code of the device of the same site
    through which it reports."""

    kind: Annotated[str, StringConstraints(max_length=64)]
    name: Name
    name_en: Text = ""
    record_number: Text = ""
    factory: Text = ""
    clock_offset_ms: Annotated[int, Field(ge=-2_000_000_000, le=2_000_000_000)] = 0
    interval_s: Annotated[float, Field(gt=0, le=86_400)] = 60
    tags: Annotated[list[Name], BeforeValidator(_split)] = []
    gateway: Code | None = None
    mn: Code | None = None
    enabled: Annotated[bool, BeforeValidator(_yes)] = True


class DeviceRow(DeviceFacts):
    """`[[devices]]`, or a line of a CSV file. Without `secret` a new device gets a generated one.

    `hj212` are its options (see sensors.hj212.policy) where it speaks HJ 212.
    """

    site: Code
    code: Code
    secret: Secret | None = None
    hj212: Annotated[dict[str, Any], BeforeValidator(_unfold), AfterValidator(_known_options)] = {}


class CameraFacts(Place):
    """What is told of a camera; `options` are the vision room's settings of this camera."""

    name: Name
    name_en: Text = ""
    url: Annotated[
        str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2000), AfterValidator(_printable)
    ]
    zone: Text = ""
    options: dict[str, Any] = {}
    enabled: bool = True


class CameraRow(CameraFacts):
    """`[[cameras]]`."""

    site: Code
    code: Code


class PermitRow(Row):
    """`[[permits]]`: what exempts a site for a time. Times without an offset are the site's own."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, populate_by_name=True)

    site: Code
    reference: Name
    kind: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
    starts_at: Moment = Field(alias="from")
    ends_at: Moment = Field(alias="to")
    source: Text = ""
    enabled: bool = True

    @model_validator(mode="after")
    def _in_order(self) -> PermitRow:
        if (self.starts_at.tzinfo is None) != (self.ends_at.tzinfo is None):
            raise fault("half_an_offset")
        if self.starts_at >= self.ends_at:
            raise fault("backwards")
        return self
