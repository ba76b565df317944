"""What became of a batch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Outcome:
    """Counts of one transaction; see the table ingest_count."""

    messages: int = 0
    stored: int = 0
    filled: int = 0
    duplicates: int = 0
    quarantined: int = 0
