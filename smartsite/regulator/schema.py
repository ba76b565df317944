"""What the regulator takes and gives: the models from which its OpenAPI document and its field errors come."""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

Share = Annotated[float, Field(ge=0, le=1)]
Name = Annotated[str, Field(max_length=200)]


class Model(BaseModel):
    """Unknown fields are errors, so that a misspelt name is told and not dropped."""

    model_config = ConfigDict(extra="forbid")


class AlertPart(Model):
    """The violation as the sender counts it."""

    id: int = Field(ge=1, description="The sender's number of the violation; the same in its raise and its end.")
    rule: Annotated[str, Field(min_length=1, max_length=200)] = Field(description="Name of the rule that was broken.")
    rule_version: int = Field(ge=0, description="Version of that rule.")
    kind: Annotated[str, Field(min_length=1, max_length=50)] = Field(
        description="threshold, window, offline, vision or another kind of rule."
    )
    severity: Literal["info", "warning", "major", "critical"]


class UnitPart(Model):
    """A company that has a part in the site."""

    role: Literal["builder", "contractor", "supervisor"]
    name: Name
    credit_code: Annotated[str, Field(max_length=50)] = Field(default="", description="统一社会信用代码")


class SitePart(Model):
    """The construction site, by the keys under which it is registered."""

    code: Annotated[str, Field(min_length=1, max_length=64)]
    name: Name
    project_code: Annotated[str, Field(min_length=1, max_length=50)] = Field(description="项目统一编码")
    permit_number: Annotated[str, Field(min_length=1, max_length=50)] = Field(description="施工许可证号")
    supervision_number: Annotated[str, Field(max_length=50)] = Field(default="", description="安全监督登记号")
    region_code: Annotated[str, Field(max_length=20)] = Field(default="", description="GB/T 2260")
    address: Annotated[str, Field(max_length=500)] = ""
    latitude: float | None = Field(default=None, ge=-90, le=90, description="WGS-84")
    longitude: float | None = Field(default=None, ge=-180, le=180, description="WGS-84")
    units: Annotated[list[UnitPart], Field(max_length=50)] = []


class SubjectPart(Model):
    """What broke the rule or saw it broken."""

    type: Literal["device", "camera"]
    code: Annotated[str, Field(min_length=1, max_length=64)]
    name: Name
    record_number: Annotated[str, Field(max_length=100)] = Field(default="", description="设备备案号")
    factory: Name = ""


class EvidencePart(Model):
    """A picture, with the digest that the sender stored when it was taken."""

    role: Literal["frame", "crop"]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    media_type: Literal["image/jpeg", "image/png", "image/webp"]
    data: str = Field(description="The file in base64, without a data-URL prefix.")

    @model_validator(mode="after")
    def _data_is_what_was_digested(self) -> EvidencePart:
        try:
            content = base64.b64decode(self.data, validate=True)
        except binascii.Error as error:
            raise ValueError("data is not base64") from error
        if hashlib.sha256(content).hexdigest() != self.sha256:
            raise ValueError("sha256 is not the digest of data")
        return self

    @property
    def content(self) -> bytes:
        """The file itself."""
        return base64.b64decode(self.data)


class Violation(Model):
    """One phase of a violation: its raise, or its end with the maximum reached in between."""

    phase: Literal["raise", "end"]
    alert: AlertPart
    site: SitePart
    subject: SubjectPart
    metric: Annotated[str, Field(max_length=100)] = Field(default="", description="Empty where nothing was measured.")
    unit: Annotated[str, Field(max_length=20)] = ""
    limit: float | None = Field(default=None, description="The limit that was passed, in `unit`.")
    first_value: float | None = None
    max_value: float | None = None
    started_at: AwareDatetime = Field(description="RFC 3339 with the offset of the site's time zone.")
    ended_at: AwareDatetime | None = Field(default=None, description="Required in phase `end`.")
    quality: dict[str, Any] = Field(default={}, description="Valid share and number of samples, as the sender has it.")
    evidence: Annotated[list[EvidencePart], Field(max_length=8)] = []
    amendment: int = Field(default=0, ge=0, description="0, or the number of the correction that this is.")

    @model_validator(mode="after")
    def _an_end_has_an_end(self) -> Violation:
        if self.phase == "end" and self.ended_at is None:
            raise ValueError("ended_at is required in phase end")
        if self.ended_at is not None and self.ended_at < self.started_at:
            raise ValueError("ended_at is before started_at")
        return self


class Accepted(Model):
    """Taken in; whether it is valid is told by the receipt."""

    receipt: str


class Result(Model):
    """The asynchronous result behind a receipt."""

    receipt: str
    status: Literal["pending", "validated", "rejected"]
    reason: str = ""


class Listed(BaseModel):
    """One report that has arrived."""

    id: int
    key: str = Field(description="The idempotency key under which it came.")
    receipt: str
    arrived_ms: int = Field(description="First arrival, milliseconds since 1970 UTC.")
    times: int = Field(description="How often it was stored; more than once is a double.")
    status: Literal["pending", "validated", "rejected"]
    reason: str = ""


class Listing(BaseModel):
    """A page of reports in order of arrival."""

    items: list[Listed]
    next: int | None = Field(description="`after` of the next page; null on the last.")


class FieldFault(Model):
    """One field that is missing or wrong."""

    field: str
    message: str


class Fault(Model):
    """Why a request was not taken: `code` is stable."""

    code: str
    message: str
    hint: str = ""
    fields: list[FieldFault] = []


class ErrorBody(Model):
    """The one shape of every error."""

    error: Fault


class Behaviour(Model):
    """How the sandbox misbehaves. The defaults are a regulator on a good day."""

    delay_s: float = Field(default=0, ge=0, le=120, description="Every violation is answered this much later.")
    result_delay_s: float = Field(default=0.5, ge=0, le=86_400, description="Time until a receipt has its result.")
    refuse: bool = Field(default=False, description="Answer 403: the client may not send.")
    fail: Share = Field(default=0, description="Share of violations answered 500, with nothing stored.")
    throttle: Share = Field(default=0, description="Share answered 429 with Retry-After, with nothing stored.")
    retry_after_s: int = Field(default=1, ge=0, le=86_400, description="What Retry-After says.")
    drop_reply: Share = Field(default=0, description="Share that is stored, and the connection cut without a reply.")
    redirect: Share = Field(default=0, description="Share answered with a redirect, with nothing stored.")
    nonsense: Share = Field(default=0, description="Share that is stored, and answered 200 with a page for people.")
    flood: Share = Field(default=0, description="Share that is stored, and answered 200 with a megabyte.")
    wrong_result: Share = Field(default=0, description="Share of questions for a result answered with nonsense.")
    no_keys: bool = Field(default=False, description="Know no idempotency key: the same key again is a new violation.")
    reject_rate: Share = Field(default=0, description="Share of receipts whose result is `rejected`.")
