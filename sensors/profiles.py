"""Device kinds: a profile names the channels of a kind and decides its table, plausible ranges and how it is shown.

A profile is one TOML file (`sensors/kinds/*.toml`, or a folder of the operator's own); `smartsite migrate` makes its
table.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Literal

import msgspec

from core.errors import ConfigurationError

ChannelType = Literal["real", "double", "bigint", "enum"]

_KIND = re.compile(r"[a-z][a-z0-9_]{0,39}")
_CHANNEL = re.compile(r"[a-z][a-z0-9_]{0,57}")
_KEY_COLUMNS = frozenset({"device_id", "time", "flags"})
_UNKNOWN = "unknown"  # reading_unknown holds the metrics that no profile knows

# Canonical units (docs/devices.md); "" is a count or an enumeration. Codecs convert into these, once.
CANONICAL_UNITS = frozenset(
    {"µg/m³", "dB(A)", "°C", "%RH", "hPa", "kPa", "m/s", "degrees", "t", "kN", "m", "%", "mm", "mA", "L/min", ""}
)


class Symbol(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One state of an enum channel; its number in the table is its place in `Channel.symbols`."""

    name: str
    label: str
    label_en: str


class Channel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One measured quantity of a kind, in a canonical unit.

    `minimum` and `maximum` bound the plausible range: a value outside is kept with quality T. `noise` channels are
    averaged by energy (Leq), `circular` ones (0..360 degrees) as directions, all others arithmetically.
    """

    name: str
    type: ChannelType
    unit: str
    label: str
    label_en: str
    minimum: float | None = None
    maximum: float | None = None
    noise: bool = False
    circular: bool = False
    symbols: tuple[Symbol, ...] = ()

    def __post_init__(self) -> None:
        if not _CHANNEL.fullmatch(self.name) or self.name.endswith("_q") or self.name in _KEY_COLUMNS:
            raise ValueError(
                f"channel name {self.name!r}: use a-z, 0-9 and _, starting with a letter, not ending in _q, "
                f"and none of {', '.join(sorted(_KEY_COLUMNS))}"
            )
        if self.unit not in CANONICAL_UNITS:
            raise ValueError(
                f"channel {self.name}: unit {self.unit!r} is not canonical; use one of {sorted(CANONICAL_UNITS)}"
            )
        if (self.type == "enum") != bool(self.symbols):
            raise ValueError(f"channel {self.name}: an enum channel lists its symbols, and only an enum channel does")
        if len({symbol.name for symbol in self.symbols}) != len(self.symbols):
            raise ValueError(f"channel {self.name}: a symbol appears twice")
        if self.minimum is not None and self.maximum is not None and self.minimum >= self.maximum:
            raise ValueError(f"channel {self.name}: minimum {self.minimum} is not below maximum {self.maximum}")
        if self.noise and self.circular:
            raise ValueError(f"channel {self.name}: noise and circular exclude each other")


class Argument(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something that a command needs to know: a number of `unit` within bounds, or one of `symbols` by its name.

    `unit` is what people read beside the number and free text; `bigint` is a whole number.
    """

    name: str
    type: Literal["real", "bigint", "enum"]
    label: str
    label_en: str
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    required: bool = True
    symbols: tuple[Symbol, ...] = ()

    def __post_init__(self) -> None:
        if not _KIND.fullmatch(self.name):
            raise ValueError(f"argument name {self.name!r}: use a-z, 0-9 and _, starting with a letter")
        if (self.type == "enum") != bool(self.symbols):
            raise ValueError(f"argument {self.name}: an enum lists its symbols, and only an enum does")

    def fault(self, value: object) -> str:
        """What is wrong with a value for it; empty where nothing is."""
        if self.type == "enum":
            names = [symbol.name for symbol in self.symbols]
            return "" if value in names else f"must be one of {', '.join(names)}"
        whole = self.type == "bigint"
        number = isinstance(value, int) or (isinstance(value, float) and not whole and math.isfinite(value))
        if not number or isinstance(value, bool):
            return f"must be a {'whole ' if whole else ''}number"
        assert isinstance(value, int | float)
        if self.minimum is not None and value < self.minimum:
            return f"must be at least {self.minimum:g} {self.unit}".rstrip()
        if self.maximum is not None and value > self.maximum:
            return f"must be at most {self.maximum:g} {self.unit}".rstrip()
        return ""


class Instruction(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A command that devices of a kind take. One that names no arguments takes whatever it is given."""

    name: str
    label: str
    label_en: str
    arguments: tuple[Argument, ...] = ()

    def __post_init__(self) -> None:
        if not _KIND.fullmatch(self.name):
            raise ValueError(f"command name {self.name!r}: use a-z, 0-9 and _, starting with a letter")
        names = [argument.name for argument in self.arguments]
        if len(set(names)) != len(names):
            raise ValueError(f"command {self.name}: an argument appears twice")

    def faults(self, given: Mapping[str, object]) -> dict[str, str]:
        """What is wrong with arguments, by name; empty where nothing is."""
        if not self.arguments:
            return {}
        known = {argument.name: argument for argument in self.arguments}
        found = {name: f"is none of {', '.join(known)}" for name in given if name not in known}
        for name, argument in known.items():
            if name in given and (fault := argument.fault(given[name])):
                found[name] = fault
            elif name not in given and argument.required:
                found[name] = "is missing"
        return found


class Profile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A device kind. The order of `channels` is the order of columns in batches' codecs and on the page."""

    kind: str
    name: str
    name_en: str
    channels: tuple[Channel, ...]
    commands: tuple[Instruction, ...] = ()

    def __post_init__(self) -> None:
        if not _KIND.fullmatch(self.kind) or self.kind == _UNKNOWN:
            raise ValueError(f"kind {self.kind!r}: use a-z, 0-9 and _, starting with a letter; 'unknown' is taken")
        names = [channel.name for channel in self.channels]
        if not names:
            raise ValueError(f"kind {self.kind} has no channels")
        if repeated := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"kind {self.kind}: channel {repeated[0]} appears twice")

    def takes(self, command: str) -> bool:
        """Whether devices of the kind know the command."""
        return self.instruction(command) is not None

    def instruction(self, command: str) -> Instruction | None:
        """The command of that name, None when the kind does not know it."""
        return next((instruction for instruction in self.commands if instruction.name == command), None)

    @property
    def table(self) -> str:
        """Name of the kind's table of readings."""
        return f"reading_{self.kind}"

    def channel(self, name: str) -> Channel | None:
        """The channel of that name, None when the kind has none."""
        return next((channel for channel in self.channels if channel.name == name), None)


def parse_profile(text: str, source: str) -> Profile:
    """Read one profile from TOML text.

    Raises:
        ConfigurationError: names `source` and the field that is wrong.
    """
    try:
        return msgspec.convert(tomllib.loads(text), Profile)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ConfigurationError(f"{source}: {error}", hint="see docs/devices.md, 'Adding a kind'") from error


def load_profiles(extra_dir: Path | None = None) -> Mapping[str, Profile]:
    """All kinds by name: the built-in ones, and those of `extra_dir/*.toml`, which may replace a built-in kind.

    Raises:
        ConfigurationError: a file is not a valid profile, the folder is missing, or it defines a kind twice.
    """
    profiles: dict[str, Profile] = {}
    for entry in sorted(resources.files("sensors").joinpath("kinds").iterdir(), key=lambda item: item.name):
        if entry.name.endswith(".toml"):
            profile = parse_profile(entry.read_text(encoding="utf-8"), entry.name)
            profiles[profile.kind] = profile
    if extra_dir is None:
        return profiles
    if not extra_dir.is_dir():
        raise ConfigurationError(f"the folder of device kinds {extra_dir} does not exist")
    own: dict[str, Path] = {}
    for path in sorted(extra_dir.glob("*.toml")):
        profile = parse_profile(path.read_text(encoding="utf-8"), str(path))
        if profile.kind in own:
            raise ConfigurationError(f"{path}: kind {profile.kind} is already defined by {own[profile.kind]}")
        own[profile.kind] = path
        profiles[profile.kind] = profile
    return profiles
