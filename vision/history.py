"""How sure each look at the person of an episode was, from the deciding vote to its end."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

_MOST = 120  # looks kept; some 7 kB in the row
_SAVE_US = 10_000_000  # between two writes of a history that grows


@dataclass(frozen=True, slots=True)
class Vote:
    """One look at one person: when, how sure, and whether it speaks for an episode (a bare head, where that is what
    is judged)."""

    time: int
    score: float
    bare: bool


class History:
    """Looks in the order of time. A long one is thinned evenly: every second look goes, and of later ones only every
    second (fourth, ...) is taken."""

    def __init__(self, looks: Iterable[Vote] = ()) -> None:
        self._looks = list(looks)
        self._step = 1
        self._passed = 0
        self._saved_at = self._newest

    @property
    def looks(self) -> tuple[Vote, ...]:
        """What is kept of it."""
        return tuple(self._looks)

    @property
    def is_due(self) -> bool:
        """Whether enough came since it was last written."""
        return self._newest - self._saved_at >= _SAVE_US

    @property
    def _newest(self) -> int:
        return self._looks[-1].time if self._looks else 0

    def add(self, look: Vote) -> None:
        """Take in one more look."""
        self._passed += 1
        if self._passed % self._step:
            return
        self._looks.append(look)
        if len(self._looks) > _MOST:
            del self._looks[1::2]
            self._step *= 2

    def note_saved(self) -> None:
        """It is in the database as it is now."""
        self._saved_at = self._newest
