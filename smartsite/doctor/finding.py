"""What a check found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One fact about the set-up. ``remedy`` says what to do and is empty where all is well."""

    subject: str
    level: Level
    fact: str
    remedy: str = ""


def ok(subject: str, fact: str) -> Finding:
    """All is well."""
    return Finding(subject, "ok", fact)


def warn(subject: str, fact: str, remedy: str) -> Finding:
    """It works, and should be mended."""
    return Finding(subject, "warn", fact, remedy)


def fail(subject: str, fact: str, remedy: str) -> Finding:
    """It does not work."""
    return Finding(subject, "fail", fact, remedy)
