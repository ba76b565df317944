"""What a linkage is, as its TOML file writes it.

[[linkages]]
id = "dust-spray"
name = "扬尘喷淋联动"
name_en = "Spraying against dust"
rules = ["pm10-*", "tsp-*"]
device_kind = "sprayer"
on = "spray_on"
off = "spray_off"
minimum_on = "3 min"
maximum_on = "30 min"
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from datetime import timedelta
from fnmatch import fnmatchcase
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from alerts.rules.base import Delay, Scope, Span
from core.errors import ConfigurationError
from sensors.profiles import Profile
from sensors.registry import Device


class Linkage(BaseModel):
    """While an alert of one of `rules` is open on a site, the devices of that site that it names are on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$", description="Stable name, unique over all files.")
    name: str = Field(min_length=1, description="Name in Chinese.")
    name_en: str = Field(min_length=1, description="Name in English.")
    enabled: bool = Field(default=True, description="A linkage that is not enabled does nothing.")
    rules: tuple[str, ...] = Field(min_length=1, description="Patterns of the rules whose open alerts count.")
    scope: Scope = Field(
        default=Scope(), description="Whose alerts count: kind, sites and tags of the measuring device."
    )
    device_kind: str = Field(description="Kind of the devices that are switched.")
    device_tags: tuple[str, ...] = Field(default=(), description="They carry at least one of these; empty: all.")
    on: str = Field(description="Command that switches on.")
    off: str = Field(description="Command that switches off.")
    off_after: Delay = Field(
        default=timedelta(minutes=1), description="Time without an alert before it is switched off."
    )
    minimum_on: Delay = Field(default=timedelta(minutes=3), description="Least time on.")
    maximum_on: Span = Field(default=timedelta(minutes=30), description="Longest time on in one go.")
    rest: Delay = Field(default=timedelta(minutes=10), description="Time off after the longest time on.")
    pause: Span = Field(
        default=timedelta(minutes=30), description="Hands off for so long after somebody switched by hand."
    )
    reply_within: Span = Field(
        default=timedelta(minutes=1), description="A command that is not replied to by then failed."
    )

    @model_validator(mode="after")
    def _times(self) -> Linkage:
        if self.minimum_on > self.maximum_on:
            raise ValueError("minimum_on is longer than maximum_on")
        return self

    def heeds(self, rule: str, device: Device) -> bool:
        """Whether an open alert of the rule on this device asks for the linkage's devices."""
        scope = self.scope
        return (
            any(fnmatchcase(rule, pattern) for pattern in self.rules)
            and scope.device_kind in (None, device.kind)
            and (not scope.sites or device.site in scope.sites)
            and (not scope.tags or not set(scope.tags).isdisjoint(device.tags))
        )

    def switches(self, device: Device) -> bool:
        """Whether the device is one of those that are switched."""
        return (
            device.enabled
            and device.kind == self.device_kind
            and (not self.device_tags or not set(self.device_tags).isdisjoint(device.tags))
        )


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    linkages: list[Linkage]


def load(paths: Iterable[Path], profiles: Mapping[str, Profile]) -> tuple[Linkage, ...]:
    """The linkages of the files that are switched on, in the order of the files.

    Raises:
        ConfigurationError: a file cannot be read, an id is there twice, or a kind does not know a command.
    """
    found: dict[str, Linkage] = {}
    for path in paths:
        try:
            linkages = _File.model_validate(tomllib.loads(path.read_text(encoding="utf-8"))).linkages
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, ValidationError) as error:
            raise ConfigurationError(f"{path}: {error}", hint="see docs/rules.md, 'Linkages'") from error
        for linkage in linkages:
            profile = profiles.get(linkage.device_kind)
            if linkage.id in found:
                raise ConfigurationError(f"{path}: linkage {linkage.id} is there twice")
            if profile is None:
                raise ConfigurationError(f"{path}: linkage {linkage.id}: there is no kind {linkage.device_kind!r}")
            for command in (linkage.on, linkage.off):
                if not profile.takes(command):
                    raise ConfigurationError(
                        f"{path}: linkage {linkage.id}: kind {profile.kind} has no command {command!r}"
                    )
            found[linkage.id] = linkage
    return tuple(linkage for linkage in found.values() if linkage.enabled)
