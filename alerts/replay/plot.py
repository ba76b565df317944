"""A page of curves with the alerts marked in them: one HTML file with SVG inside, readable anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from alerts.replay.history import History
from alerts.replay.run import Episode
from core.clock import from_micros
from sensors.registry import Registry

_WIDTH, _HEIGHT, _POINTS, _MOST = 1000, 160, 1000, 40
_COLOUR = {"info": "#5b8def", "warning": "#e0a100", "major": "#e8743b", "critical": "#d64545"}


def page(history: History, episodes: Sequence[Episode], title: str) -> str:
    """The page: a curve for each (device, metric) with an alert, at most 40, those with most alerts first."""
    registry = history.devices()
    groups: dict[tuple[int, str], list[Episode]] = {}
    for episode in episodes:
        groups.setdefault((episode.device, getattr(episode.rule, "metric", "")), []).append(episode)
    chosen = sorted(groups.items(), key=lambda item: -len(item[1]))[:_MOST]
    curves = [_curve(history, registry, device, metric, mine) for (device, metric), mine in chosen]
    return (
        f'<!doctype html><html><head><meta charset="utf-8"><title>{escape(title)}</title>'
        "<style>body{font:14px sans-serif;margin:24px;max-width:1040px}svg{display:block;margin:4px 0 24px}"
        "h2{font-size:14px;margin:0}</style></head><body>"
        f"<h1>{escape(title)}</h1>{''.join(curves) or '<p>No alert.</p>'}</body></html>"
    )


def _curve(history: History, registry: Registry, number: int, metric: str, episodes: Sequence[Episode]) -> str:
    device = registry.devices[number]
    zone = ZoneInfo(registry.sites[device.site_id].time_zone)
    times, values = _series(history, number, metric)
    ends = [episode.ended or episode.started for episode in episodes]
    first = min([*times[:1].tolist(), *(episode.started for episode in episodes)])
    last = max([*times[-1:].tolist(), *ends, first + 1])
    limits = sorted({level for episode in episodes for level in _levels(episode)})
    low: float = min([*values.tolist(), *limits], default=0.0)
    high: float = max([*values.tolist(), *limits], default=1.0)
    high = high if high > low else low + 1

    def x(time: float) -> float:
        return float((time - first) / (last - first) * _WIDTH)

    def y(value: float) -> float:
        return _HEIGHT - 4 - (value - low) / (high - low) * (_HEIGHT - 8)

    bands = [
        f'<rect x="{x(one.started):.1f}" y="0" width="{max(1.0, x(one.ended or last) - x(one.started)):.1f}" '
        f'height="{_HEIGHT}" fill="{_COLOUR[one.severities[-1][1]]}" opacity="0.25">'
        f"<title>{escape(one.rule.id)}</title></rect>"
        for one in episodes
    ]
    lines = [
        f'<line x1="0" x2="{_WIDTH}" y1="{y(level):.1f}" y2="{y(level):.1f}" stroke="#d64545" stroke-dasharray="4 4"/>'
        for level in limits
    ]
    path = " ".join(
        f"{x(time):.1f},{y(value):.1f}" for time, value in zip(times.tolist(), values.tolist(), strict=True)
    )
    heading = f"{device.site}/{device.code} {metric} · {len(episodes)}"
    span = " … ".join(f"{from_micros(int(time)).astimezone(zone):%Y-%m-%d %H:%M}" for time in (first, last))
    return (
        f'<h2>{escape(heading)}</h2><svg viewBox="0 0 {_WIDTH} {_HEIGHT + 16}" width="{_WIDTH}">'
        f'{"".join(bands)}{"".join(lines)}<polyline points="{path}" fill="none" stroke="#24507a"/>'
        f'<text x="0" y="{_HEIGHT + 13}" font-size="11">{escape(span)} · {low:g} … {high:g}</text></svg>'
    )


def _levels(episode: Episode) -> list[float]:
    rungs = getattr(episode.rule, "rungs", None)
    if rungs is not None:
        return [rung.raise_at for rung in rungs]
    level = getattr(episode.rule, "raise_level", None)
    return [] if level is None else [level]


def _series(history: History, device: int, metric: str) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """At most about a thousand points: the least and the greatest value of each stretch, so that no peak is lost."""
    for table in history.tables:
        mine = np.flatnonzero(table.device == device)
        if not len(mine) or metric not in table.values:
            continue
        times, values = table.time[mine], table.values[metric][mine]
        known = np.isfinite(values)
        times, values = times[known], values[known]
        if len(times) <= _POINTS:
            return times, values
        kept: list[int] = []
        for part in np.array_split(np.arange(len(times)), _POINTS // 2):
            kept += sorted({int(part[values[part].argmin()]), int(part[values[part].argmax()])})
        return times[kept], values[kept]
    return np.zeros(0, dtype=np.int64), np.zeros(0)
