"""How long evidence is kept, and what it leaves of the disk."""

from __future__ import annotations

from pydantic import Field

from core.settings.section import Section


class EvidenceSettings(Section):
    """How long pictures and clips are kept, and what they leave of the disk. Open alerts keep theirs in any case."""

    keep_days: float = Field(
        default=30, ge=1, le=3660, description="Days that evidence is kept (Order 799 asks for 30)."
    )
    case_days: float = Field(
        default=180,
        ge=1,
        le=3660,
        description="Days that the frame of a reviewed alert is kept, for training; never less than keep_days.",
    )
    most_gb: float = Field(default=200, gt=0, description="Most GB of evidence; the oldest goes first.")
    least_free_gb: float = Field(
        default=2, ge=0, description="GB of its disk that stay free; with less than half of it nothing is stored."
    )

    @property
    def reserve_bytes(self) -> int:
        """Free bytes below which no more is stored."""
        return round(self.least_free_gb * 1e9 / 2)
