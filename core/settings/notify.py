"""Settings of notification: who is told of a violation, how often, and by which gateway."""

from __future__ import annotations

from typing import Any

from pydantic import Field, SecretStr, field_validator

from core.settings.section import Role, Section, Severity


class EscalationSettings(Section):
    """A step of the escalation table: whom to tell when nobody has acknowledged a violation."""

    after_minutes: float = Field(gt=0, le=10_080, description="Minutes after the raise.")
    roles: list[Role] = Field(min_length=1, description="Roles on the site that are told then.")
    severity: Severity = Field(default="major", description="Least severity that the step is for.")
    sites: list[str] = Field(default=[], description="Codes of the sites that it is for; empty: all.")


class SmsSettings(Section):
    """The gateway that takes text messages for contacts `sms://`; docs/notifications.md has worked examples."""

    url: str = Field(pattern=r"^https?://", description="Base address of the provider's API.")
    client_id: str = Field(default="", pattern="^[!-~]*$", description="Account or access key at the provider.")
    secret: SecretStr = Field(default=SecretStr(""), description="Secret that came with it.")
    secrets: dict[str, SecretStr] = Field(default={}, description="Further secrets by name.")
    per_minute: float = Field(default=60, gt=0, description="Messages a minute that the account may send.")
    options: dict[str, Any] = Field(description="What a call looks like and what its answer means.")


class NotifySettings(Section):
    """Who on a site is told of a violation, and how."""

    roles: dict[Role, Severity] = Field(
        default={"officer": "info", "supervisor": "major"},
        description="Least severity of which people of a role are told; roles without one are not told at once.",
    )
    sites: dict[str, dict[Role, Severity]] = Field(
        default={}, description="The same for single sites, by code; roles that are not named are as everywhere."
    )
    channels: dict[str, Severity] = Field(
        default={}, description="Least severity that goes out on a kind of channel, by scheme, such as sms = major."
    )
    escalation: list[EscalationSettings] = Field(
        default=[
            EscalationSettings(after_minutes=10, roles=["supervisor"], severity="major"),
            EscalationSettings(after_minutes=30, roles=["supervisor", "inspector"], severity="critical"),
        ],
        description="Whom to tell when nobody acknowledges; each step is cancelled by an acknowledgement or the end.",
    )
    digest_below: Severity = Field(
        default="warning", description="What is below this severity is gathered and told in digests."
    )
    digest_minutes: float = Field(default=30, gt=0, le=1440, description="Minutes between two digests.")
    link: str = Field(
        default="http://127.0.0.1:8000",
        pattern=r"^https?://",
        description="Address of the web page as officers reach it; messages link to the alert there.",
    )
    link_hours: float = Field(
        default=48, gt=0, le=720, description="Hours for which the link of a message acknowledges its alert."
    )
    timeout_s: float = Field(default=10, gt=0, le=120, description="Seconds that one message may take.")
    in_flight: int = Field(default=8, ge=2, le=64, description="Messages under way at the same time.")
    resend_from: Severity = Field(
        default="critical",
        description="Least severity from which a message is sent again whose channel gave no answer and may have it.",
    )
    give_up_hours: float = Field(default=24, gt=0, description="Hours of failing after which a message is given up.")
    per_minute: dict[str, float] = Field(
        default={"wecombot": 20, "dingtalk": 20, "feishu": 100},
        description="Messages a minute to one address, by scheme, as the vendors allow them; others are not limited.",
    )
    sms: SmsSettings | None = Field(default=None, description="Gateway for text messages; empty: there is none.")

    @field_validator("per_minute")
    @classmethod
    def _something_may_be_sent(cls, rates: dict[str, float]) -> dict[str, float]:
        for scheme, rate in rates.items():
            if rate < 1:
                raise ValueError(f"{scheme} = {rate:g} sends nothing; write at least 1, or take contacts away instead")
        return rates
