"""What the engine says. Times are microseconds since the epoch, values in the unit of the rule's metric."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from alerts.model import Severity
from alerts.rules.model import AnyRule

Phase = Literal["raise", "severity", "join", "clear"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """The vision episode behind a transition and its evidence."""

    episode: int
    frame_sha256: str
    crop_sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """A violation began (`raise`), became more or less severe (`severity`), took in another episode (`join`) or is over
    (`clear`).

    `worst` is the value farthest beyond the limit; `quality` says what the verdict rests on. `exempt` says by what the
    site is exempt while it lasts (a segment's code: 0 by nothing, otherwise a permit's number or BY_STAGE). `reason` of
    a clear is `schedule` where the hours in which the rule counts, or an exemption, ended the violation.
    `severity` and `limit` are those of the level reached, of rules with several.
    """

    phase: Phase
    rule: AnyRule
    subject: str
    site: int
    device: int | None = None
    camera: int | None = None
    started_at: int
    ended_at: int | None = None
    first: float | None = None
    last: float | None = None
    worst: float | None = None
    quality: dict[str, Any] = field(default_factory=dict)
    exempt: int = 0
    reason: str = ""
    severity: Severity | None = None
    limit: float | None = None
    sighting: Sighting | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """The values of a violation that goes on have moved."""

    rule: str
    subject: str
    last: float
    worst: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A violation that the database holds as open; the engine takes it over after a start without its state."""

    rule: str
    subject: str
    started_at: int
    first: float | None = None
    last: float | None = None
    worst: float | None = None
    exempt: int = 0
    limit: float | None = None
