"""A post that must be manned: how long was nobody seen there?"""

from __future__ import annotations

from collections.abc import Iterable

from core.settings.zones import Zone
from vision.judge import Episode, Left, Transition
from vision.zones import holds

_SECOND = 1_000_000
_BLIND = 40 * _SECOND  # a longer time without a picture is not a time without a person


class PostWatch:
    """One post of one camera."""

    def __init__(self, zone: Zone, number: int) -> None:
        """`number` names the post within its camera."""
        self._zone = zone
        self._number = number
        self._manned_at: int | None = None
        self._observed_at = 0
        self._open: Episode | None = None

    @property
    def episodes(self) -> tuple[Episode, ...]:
        """The open one."""
        return () if self._open is None else (self._open,)

    def resume(self, left: Left) -> None:
        """Go on with what an earlier watch left open."""
        self._open = next((episode for episode in left.episodes if self._is_mine(episode)), None)

    def _is_mine(self, episode: Episode) -> bool:
        return episode.kind == "post_unmanned" and episode.zone == self._zone.name

    def attentive(self, now: int) -> bool:
        """Whether its time is over, so that a look must tell whether really nobody is there."""
        return self._open is None and self._is_overdue(now)

    def observe(
        self, now: int, people: Iterable[tuple[float, float]], *, looked: bool, size: tuple[int, int]
    ) -> list[Transition]:
        """Take in where the people of one picture stand (shares of the picture), and its width and height."""
        if self._manned_at is None or now - self._observed_at > _BLIND:
            self._manned_at = now  # nobody could see meanwhile
        self._observed_at = now
        if any(holds(self._zone, *person) for person in people):
            self._manned_at = now
            return self.close(now)
        if self._open is not None:
            self._open.last_seen_at = now
        elif looked and self._is_overdue(now):
            self._open = self._begin(now, size)
            return [Transition("started", self._open)]
        return []

    def close(self, now: int | None = None) -> list[Transition]:
        """End the episode: somebody is there, or the post is no longer watched."""
        if self._open is None:
            return []
        over, self._open = self._open, None
        over.ended_at = over.last_seen_at = over.last_seen_at if now is None else now
        return [Transition("ended", over)]

    def _is_overdue(self, now: int) -> bool:
        return self._manned_at is not None and now - self._manned_at >= self._zone.absent_s * _SECOND

    def _begin(self, now: int, size: tuple[int, int]) -> Episode:
        assert self._manned_at is not None
        across, down = ([corner[axis] * size[axis] for corner in self._zone.polygon] for axis in (0, 1))
        return Episode(
            track=-self._number,
            zone=self._zone.name,
            started_at=self._manned_at,
            last_seen_at=now,
            peak_score=1.0,
            box=(min(across), min(down), max(across), max(down)),
            kind="post_unmanned",
        )
