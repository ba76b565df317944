"""What the tables of the settings tree have in common."""

from __future__ import annotations

import unicodedata
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict
from pydantic_core import PydanticCustomError

Severity = Literal["info", "warning", "major", "critical"]
"""How grave a violation is, least first."""

Role = Literal["leader", "operator", "inspector", "supervisor", "officer", "integrator", "auditor"]
"""What a person is on a site or in the bureau."""


class Section(BaseModel):
    """A table of the settings tree: unknown names are errors, values are fixed once read."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _without_controls(text: str) -> str:
    # PostgreSQL stores no NUL, and none of the others is meant.
    if any(unicodedata.category(character) == "Cc" for character in text):
        raise PydanticCustomError("unprintable", "holds a control character or a line break; remove it")
    return text


Line = Annotated[str, AfterValidator(_without_controls)]
"""A text of one line."""
