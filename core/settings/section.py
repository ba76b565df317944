"""What the tables of the settings tree have in common."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

Severity = Literal["info", "warning", "major", "critical"]
"""How grave a violation is, least first."""

Role = Literal["leader", "operator", "inspector", "supervisor", "officer", "integrator", "auditor"]
"""What a person is on a site or in the bureau."""


class Section(BaseModel):
    """A table of the settings tree: unknown names are errors, values are fixed once read."""

    model_config = ConfigDict(extra="forbid", frozen=True)
