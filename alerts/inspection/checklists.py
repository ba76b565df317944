"""Checklists of inspections: built-in ones beside this module, a bureau's own by the setting, both as TOML files."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from core.errors import ConfigurationError

_BUILT_IN = Path(__file__).with_name("lists")


class Item(BaseModel):
    """One thing to look at."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    code: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")
    title: str = Field(min_length=1, max_length=200)
    title_en: str = Field(default="", max_length=200)
    requirement: str = Field(default="", max_length=2000, description="What an order asks for where the item fails.")


class Checklist(BaseModel):
    """A list to go through; its id is the name of its file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")
    name: str = Field(min_length=1, max_length=200)
    name_en: str = Field(default="", max_length=200)
    source: str = ""
    date: str = ""
    confidence: str = ""
    items: list[Item] = Field(min_length=1, max_length=200)

    @field_validator("items")
    @classmethod
    def _codes_are_unique(cls, items: list[Item]) -> list[Item]:
        codes = [item.code for item in items]
        if doubled := sorted({code for code in codes if codes.count(code) > 1}):
            raise ValueError(f"two items have the same code: {', '.join(doubled)}")
        return items


def load_checklists(own: Sequence[Path]) -> dict[str, Checklist]:
    """All lists by id; of the same id an own one counts.

    Raises:
        ConfigurationError: a file cannot be read or is no checklist; names the file and the fault.
    """
    found = [_read(path) for path in (*sorted(_BUILT_IN.glob("*.toml")), *own)]
    return {one.id: one for one in found}


def _read(path: Path) -> Checklist:
    try:
        return Checklist(**{"id": path.stem, **tomllib.loads(path.read_text(encoding="utf-8"))})
    except OSError as error:
        raise ConfigurationError(
            f"the checklist {path} cannot be read: {error.strerror}", hint="correct alerts.inspection_checklists"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} is not valid TOML: {error}", hint="correct the line it names") from error
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
        raise ConfigurationError(f"{path} is no checklist: {faults}", hint="see docs/inspection.md") from error
