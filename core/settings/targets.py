"""Regulators to which violations are reported."""

from __future__ import annotations

from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator

from core.settings.section import Section, Severity

Registration = Literal[
    "project_code",
    "permit_number",
    "supervision_number",
    "region_code",
    "coordinates",
    "builder",
    "contractor",
    "supervisor",
    "record_number",
    "factory",
]


class TargetSettings(Section):
    """One regulator to which violations are reported."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$", description="Name by which rules and deliveries know it.")
    adapter: str = Field(default="reference", description="File in alerts/adapters/ that speaks the regulator's API.")
    url: str = Field(pattern=r"^https?://", description="Base address of the regulator's API.")
    client_id: str = Field(
        default="",
        pattern="^[!-~]*$",
        description="Number under which the regulator has registered this platform.",
    )
    secret: SecretStr = Field(default=SecretStr(""), description="Secret that came with it; whsec_... for `reference`.")
    secrets: dict[str, SecretStr] = Field(
        default={}, description="Further secrets by name, for regulators that give out several."
    )
    options: dict[str, Any] = Field(
        default={}, description="Options of the adapter; those of `form` are described in docs/regulators.md."
    )
    push_on: Literal["raise", "end", "both"] = Field(
        default="both", description="Whether the raise, the end (with the maximum reached) or both are reported."
    )
    rules: list[str] = Field(
        default=[], description="Patterns (`pm10-*`) of rules reported here, besides the rules that name this target."
    )
    sites: list[str] = Field(default=[], description="Codes of the sites reported here; empty: all sites.")
    min_severity: Severity = Field(default="info", description="Least severity that is reported.")
    requires: list[Registration] = Field(
        default=["project_code", "permit_number"],
        description="What a site (and its device) must be registered with; where it is missing, nothing is sent.",
    )
    keys: bool = Field(
        default=True, description="Whether the regulator takes an idempotency key, so that sending again is harmless."
    )
    on_uncertain: Literal["ask", "resend"] = Field(
        default="ask",
        description="Without keys, when a reply was lost: wait for a person (`ask`), or risk a double (`resend`).",
    )
    timeout_s: float = Field(default=10, gt=0, le=300, description="Seconds that one call may take from end to end.")
    in_flight: int = Field(default=4, ge=1, le=64, description="Calls to this regulator at the same time.")
    per_minute: float = Field(
        default=0, ge=0, description="Calls a minute of all workers, in bursts of ten seconds' worth; 0: no limit."
    )
    ordered: bool = Field(
        default=False,
        description="Whether all deliveries keep their order, one call at a time; an alert's own always do.",
    )
    breaker_failures: int = Field(
        default=10,
        ge=0,
        description="Failed calls in a row after which one at a time is tried, until one is answered; 0: never.",
    )
    max_skew_s: float = Field(
        default=60,
        gt=0,
        description="Seconds that its clock may be off ours; beyond it a refusal is the clock's fault and is retried.",
    )
    give_up_days: float = Field(default=14, gt=0, description="Days of failing after which a delivery is given up.")

    @field_validator("url")
    @classmethod
    def _host_and_port_are_possible(cls, url: str) -> str:
        # `port` raises ValueError beyond 65535.
        parts = urlsplit(url)
        if not parts.hostname or parts.port == 0:
            raise ValueError("the address names no host, or port 0")
        return url
