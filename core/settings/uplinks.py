"""Platforms that take the stations' data by HJ 212."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr

from core.settings.section import Section


class UplinkSettings(Section):
    """One platform that takes the stations' data by HJ 212 over TCP."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$", description="Name by which logs and cursors know it.")
    host: str = Field(min_length=1, description="Host of the platform.")
    port: int = Field(ge=1, le=65535, description="Port of the platform.")
    sites: list[str] = Field(default=[], description="Codes of the sites whose stations are reported; empty: all.")
    kinds: list[str] = Field(default=["dust"], description="Kinds of devices that are reported.")
    mn: dict[str, str] = Field(
        default={},
        description="MN that the platform gave out, by `site/device`; where it is missing, the device's own `mn`.",
    )
    st: str = Field(default="39", pattern="^[0-9]{2}$", description="System type: 39 construction site dust, 22 air.")
    password: SecretStr = Field(default=SecretStr("123456"), description="Access password (PW), 6 characters.")
    version: Literal["2017", "2025"] = Field(default="2017", description="Edition of HJ 212.")
    key: SecretStr = Field(
        default=SecretStr(""),
        description="SM4 key of HJ 212-2025, 16 characters or 32 hexadecimal digits; empty: none.",
    )
    time_zone: str = Field(
        default="+08:00", pattern=r"^[+-](0[0-9]|1[0-4]):[0-5][0-9]$", description="Offset of QN and DataTime."
    )
    real_time_s: float = Field(
        default=30, ge=0, le=3600, description="Seconds between real-time data (2011) of a station; 0: none."
    )
    minutes: Literal[0, 1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30] = Field(
        default=10, description="Minutes of a period of minute data (2051); 0: none."
    )
    hours: bool = Field(default=True, description="Whether hour data (2061) are sent.")
    codes: dict[str, str] = Field(
        default={}, description="Factor codes by channel where the platform wants others, such as laeq = LA."
    )
    timeout_s: float = Field(default=10, gt=0, le=300, description="Seconds to wait for an acknowledgement.")
    retries: int = Field(default=3, ge=0, le=20, description="Times that a packet is sent again before reconnecting.")
    delay_s: float = Field(
        default=90, ge=0, le=3600, description="Seconds after the end of a period before its data are sent."
    )
    back_fill_days: float = Field(
        default=7, ge=0, le=90, description="Days of minute and hour data that are sent after an outage at most."
    )
