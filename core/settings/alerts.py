"""Rules, regulator targets and notifications."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, model_validator

from core.settings.notify import NotifySettings
from core.settings.rectification import RectificationSettings
from core.settings.reports import ReportSettings
from core.settings.section import Section
from core.settings.targets import TargetSettings
from core.settings.uplinks import UplinkSettings


class TrialSettings(Section):
    """Trials of rules on history, asked for on the page."""

    readings: int = Field(
        default=3_000_000,
        ge=1,
        description="Readings of a trial at most; more are refused.",
    )
    at_most_s: float = Field(default=600, gt=0, description="Seconds after which a trial is broken off.")


class AlertsSettings(Section):
    """Rules, regulator targets and notifications."""

    rules: list[Path] = Field(default=[], description="Rule files and folders of them; empty: the built-in packs.")
    linkages: list[Path] = Field(
        default=[], description="Linkage files: what is switched on while a violation stands; read at the start."
    )
    inspection_checklists: list[Path] = Field(
        default=[],
        description="Checklists of inspections (TOML) beside the built-in ones; of the same file name, these count.",
    )
    rules_check_s: float = Field(default=2, gt=0, description="Seconds between looks for changed rules.")
    trial: TrialSettings = TrialSettings()
    engines: int = Field(
        default=1,
        ge=1,
        le=16,
        description="Parts into which the sites are divided; alerts processes share them out among each other.",
    )
    processes: int = Field(
        default=1,
        ge=1,
        le=16,
        description="Alerts processes that `smartsite up` starts; more than `alerts.engines` leave some standing by.",
    )
    worker: str = Field(
        default="alerts",
        pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$",
        description="Name of this alerts process; where several run, each has its own.",
    )
    snapshot_every_s: float = Field(
        default=2, ge=0, description="Seconds of readings that a restarted engine reads again at most."
    )
    targets: list[TargetSettings] = Field(default=[], description="Regulators to which violations are reported.")
    uplinks: list[UplinkSettings] = Field(default=[], description="Platforms that take data by HJ 212.")
    notify: NotifySettings = NotifySettings()
    rectification: RectificationSettings = RectificationSettings()
    reports: ReportSettings = ReportSettings()

    @model_validator(mode="after")
    def _names_are_unique(self) -> AlertsSettings:
        for kind, names in (
            ("targets", [target.name for target in self.targets]),
            ("up-links", [uplink.name for uplink in self.uplinks]),
        ):
            doubled = sorted({name for name in names if names.count(name) > 1})
            if doubled:
                raise ValueError(f"two {kind} have the same name: {', '.join(doubled)}")
        return self
