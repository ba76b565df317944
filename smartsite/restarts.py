"""How long to wait before a process that died is started again."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Verdict:
    """Wait ``delay_s`` seconds, then start again; ``failing`` says that the restart budget is spent."""

    delay_s: float
    failing: bool


class RestartPolicy:
    """Back-off with a budget: quick restarts at first, slow and visible ones when they do not help.

    The first ``budget`` deaths within ``window_s`` seconds are answered after ``first_delay_s``, doubled each time.
    When the budget is spent the process counts as failing and is tried every ``slow_delay_s``: it is never given up,
    because what broke it (a full disk, a database that moved) may be mended by hand while the rest goes on.
    """

    def __init__(
        self, *, budget: int = 5, window_s: float = 60.0, first_delay_s: float = 0.2, slow_delay_s: float = 30.0
    ) -> None:
        self._budget = budget
        self._window_s = window_s
        self._first_delay_s = first_delay_s
        self._slow_delay_s = slow_delay_s
        self._deaths: deque[float] = deque(maxlen=budget + 1)

    def died(self, now: float) -> Verdict:
        """Counts a death at ``now`` (monotonic seconds) and says when to start again."""
        self._deaths.append(now)
        recent = self.recent(now)
        if recent > self._budget:
            return Verdict(self._slow_delay_s, failing=True)
        return Verdict(min(self._first_delay_s * 2.0 ** (recent - 1), self._slow_delay_s), failing=False)

    def hopeless(self) -> Verdict:
        """The verdict on a part that says itself that a restart will not help: wait long, and show it."""
        return Verdict(self._slow_delay_s, failing=True)

    def recent(self, now: float) -> int:
        """Deaths within the window that ends at ``now``, counted up to one more than the budget."""
        while self._deaths and now - self._deaths[0] > self._window_s:
            self._deaths.popleft()
        return len(self._deaths)
