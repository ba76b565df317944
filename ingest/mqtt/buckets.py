"""Token buckets: how often a device may connect and publish."""

from __future__ import annotations

from collections.abc import Hashable

_REMEMBERED = 20_000


class Bucket:
    """Refills with `rate` tokens a second up to `burst`; may be overdrawn, and tells how long to wait then."""

    __slots__ = ("_at", "_burst", "_rate", "_tokens")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._at = now

    def take(self, count: float, now: float) -> float:
        """Take tokens at the monotonic time `now`; seconds until the bucket is out of debt, 0.0 where it has none."""
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate) - count
        self._at = now
        return max(0.0, -self._tokens / self._rate)

    def is_full(self, now: float) -> bool:
        """Whether forgetting the bucket would change nothing."""
        return self._tokens + (now - self._at) * self._rate >= self._burst


class Buckets:
    """A bucket for each key, made when first asked for; a bounded number of them is kept."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._buckets: dict[Hashable, Bucket] = {}

    def of(self, key: Hashable, now: float) -> Bucket:
        """The bucket of a key."""
        bucket = self._buckets.get(key)
        if bucket is None:
            if len(self._buckets) >= _REMEMBERED:
                self._buckets = {known: it for known, it in self._buckets.items() if not it.is_full(now)}
            bucket = self._buckets[key] = Bucket(self._rate, self._burst, now)
        return bucket

    def may(self, key: Hashable, now: float) -> bool:
        """Take one token where there is one."""
        bucket = self.of(key, now)
        if bucket.take(1, now):
            bucket.take(-1, now)  # what is refused costs nothing, else a hasty device would never get in
            return False
        return True
