"""What goes wrong on simulated sites, and when: a seeded list that a test or a report can read beforehand."""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence
from enum import StrEnum

import msgspec

from sensors.simulator.processes import generator


class Effect(StrEnum):
    """What an episode does to its device."""

    NOISE = "noise"  # laeq goes to `level` dB(A)
    SANDSTORM = "sandstorm"  # pm10 goes to `level` µg/m³, the other fractions with it
    OVERLOAD = "overload"  # the crane's moment, or a hoist's or platform's load, goes to `level` % of the rated one
    ALARM = "alarm"  # `level` points of a detector or guard; a box leaks `level` mA, a pole sinks by `level` mm
    GUST = "gust"  # the wind goes to `level` m/s
    FAULT = "fault"  # `channel` is stuck and flagged D
    GAP = "gap"  # readings are missing, the connection stands
    SILENCE = "silence"  # the device is without power: no readings, no connection


class Episode(msgspec.Struct, frozen=True, kw_only=True):
    """One effect on one device (`site/code`) from `start` to `end`, in seconds after the simulation's beginning."""

    device: str
    effect: Effect
    start: float
    end: float
    level: float = 0.0
    channel: str = ""


class Schedule:
    """Episodes by device; those of one device do not overlap."""

    def __init__(self, episodes: Sequence[Episode]) -> None:
        self.episodes = tuple(sorted(episodes, key=lambda episode: (episode.start, episode.device)))
        self._by_device: dict[str, list[Episode]] = {}
        for episode in self.episodes:
            line = self._by_device.setdefault(episode.device, [])
            if episode.end <= episode.start or (line and episode.start < line[-1].end):
                raise ValueError(f"{episode} ends before it starts, or overlaps the one before it")
            line.append(episode)

    def at(self, device: str, elapsed: float) -> Episode | None:
        """The episode that a device is in, None while all is well."""
        line = self._by_device.get(device, [])
        place = bisect.bisect_right(line, elapsed, key=lambda episode: episode.start) - 1
        return line[place] if place >= 0 and elapsed < line[place].end else None


def demo_schedule(devices: Mapping[str, str], *, seed: int, horizon_s: float = 86_400) -> Schedule:
    """A busy opening on every site, over within 75 s, then something every minute or two until the horizon.

    `devices` maps `site/code` to kind. The opening has, for each site: noise on one dust station, a sandstorm on
    another (long enough for window means), a station without power that returns, an overloaded crane, a fault. The
    next episode starts at 150 s, so that a run of two minutes ends calm.
    """
    sites: dict[str, list[str]] = {}
    for device, kind in devices.items():
        if kind in _LATER:  # nothing goes wrong with the others
            sites.setdefault(device.partition("/")[0], []).append(device)
    episodes: list[Episode] = []
    for number, (site, members) in enumerate(sorted(sites.items())):
        # Sites do not all break the rules in the same second.
        opening = _opening(sorted(members), devices, delay=2.0 * (number % 2))
        episodes += opening
        random = generator(seed, "schedule", site)
        moment = 150.0 + random.uniform(0, 30)
        while moment < horizon_s:
            episode = _later(random.choice(sorted(members)), devices, random.random(), moment)
            episodes.append(episode)
            # The next one starts after this one, so no device is in two at once.
            moment = episode.end + random.uniform(40, 100)
    return Schedule(episodes)


def _opening(members: list[str], kinds: Mapping[str, str], delay: float) -> list[Episode]:
    stations = [device for device in members if kinds[device] == "dust"]
    episodes: list[Episode] = []
    if stations:
        noisy, dusty, silent = (stations[place % len(stations)] for place in range(3))
        # The silence is longer than twice a demo's offline rule, so that the rule fires even where the engine is
        # killed in the middle of it and has to listen anew. A single station has no time for so long a one.
        dark, light = (53.0, 73.0) if silent == dusty else (22.0, 67.0)
        episodes = [
            Episode(device=noisy, effect=Effect.NOISE, start=8 + delay, end=18 + delay, level=96),
            Episode(device=dusty, effect=Effect.SANDSTORM, start=20 + delay, end=52 + delay, level=460),
            Episode(device=silent, effect=Effect.SILENCE, start=dark + delay, end=light + delay),
        ]
        if silent != noisy:
            episodes.append(Episode(device=noisy, effect=Effect.FAULT, start=56 + delay, end=64 + delay, channel="tsp"))
    cranes = [device for device in members if kinds[device] == "tower_crane"]
    return episodes + [
        Episode(device=crane, effect=Effect.OVERLOAD, start=28 + delay, end=36 + delay, level=108) for crane in cranes
    ]


# Kind -> (effect, seconds, level, channel), drawn with equal chances.
_LATER: Mapping[str, tuple[tuple[Effect, float, float, str], ...]] = {
    "dust": (
        (Effect.NOISE, 12, 94, ""),
        (Effect.SANDSTORM, 40, 480, ""),
        (Effect.SILENCE, 35, 0, ""),
        (Effect.FAULT, 20, 0, "pm2_5"),
        (Effect.GAP, 5, 0, ""),
    ),
    "tower_crane": ((Effect.OVERLOAD, 9, 106, ""), (Effect.GUST, 15, 14, ""), (Effect.GAP, 5, 0, "")),
    "hoist": ((Effect.OVERLOAD, 10, 115, ""), (Effect.FAULT, 15, 0, "tilt"), (Effect.SILENCE, 30, 0, "")),
    **dict.fromkeys(
        ("edge_guard", "opening", "smoke", "water_leak", "gas"),
        ((Effect.ALARM, 20, 1, ""), (Effect.SILENCE, 30, 0, "")),
    ),
    "unloading_platform": ((Effect.OVERLOAD, 15, 112, ""), (Effect.GAP, 5, 0, "")),
    "electric_box": ((Effect.ALARM, 20, 60, ""), (Effect.FAULT, 15, 0, "leakage_current")),
    "pole_tilt": ((Effect.ALARM, 30, 14, ""), (Effect.FAULT, 15, 0, "settlement")),
    "excavation": ((Effect.ALARM, 30, 26, ""), (Effect.FAULT, 15, 0, "deep_horizontal")),
}


def _later(device: str, kinds: Mapping[str, str], draw: float, start: float) -> Episode:
    choices = _LATER[kinds[device]]
    effect, seconds, level, channel = choices[int(draw * len(choices))]
    return Episode(device=device, effect=effect, start=start, end=start + seconds, level=level, channel=channel)
