"""A rule in plain words, and why it fired on a device at a moment or did not; in Chinese and in English."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Literal
from zoneinfo import ZoneInfo

import numpy as np

from alerts.engine.calendar import BY_STAGE, INACTIVE, calendar_of, scheduled
from alerts.replay.history import History
from alerts.replay.run import replay
from alerts.rules.base import spell
from alerts.rules.composite import CompositeRule, Condition
from alerts.rules.model import (
    AnyRule,
    CountRule,
    DayCountRule,
    OfflineRule,
    StateRule,
    StuckRule,
    ThresholdRule,
    VisionRule,
    WindowRule,
)
from core.clock import from_micros
from sensors.batch import NORMAL
from sensors.profiles import Profile
from sensors.registry import Device

Language = Literal["zh", "en"]

_AGGREGATES = {
    "mean": ("均值", "mean"),
    "energy_mean": ("等效声级(能量均值)", "Leq (energy mean)"),
    "max": ("最大值", "maximum"),
    "change": ("均值的变化", "change of the mean"),
}


def explain(rule: AnyRule, language: Language) -> str:
    """What a rule does, for whom and when, and where it comes from; a line each."""
    zh = language == "zh"
    lines = [f"{rule.id}: {rule.name if zh else rule.name_en}", _what(rule, zh)]
    lines += _ladder(rule, zh)
    lines += _when(rule, zh)
    scope = rule.scope
    places = [*([scope.device_kind] if scope.device_kind else []), *scope.sites, *(f"#{tag}" for tag in scope.tags)]
    lines.append(f"范围:{', '.join(places) or '全部'}" if zh else f"scope: {', '.join(places) or 'all'}")
    source = rule.source or ("未注明" if zh else "none given")
    lines.append(f"依据:{source}" if zh else f"source: {source}")
    if rule.confidence:
        lines.append(f"依据可信度:{rule.confidence}" if zh else f"confidence of the figure: {rule.confidence}")
    if not rule.enabled:
        lines.append("未启用" if zh else "not enabled")
    return "\n".join([lines[0], *(f"  {line}" for line in lines[1:])])


def why(
    rule: AnyRule, history: History, profiles: Mapping[str, Profile], device: Device, at: int, language: Language
) -> str:
    """Whether the rule stood raised on the device at a moment (microseconds), and what it had to go by.

    The history is played up to that moment with the engine itself.
    """
    zh = language == "zh"
    zone = ZoneInfo(history.devices().sites[device.site_id].time_zone)

    def clock(time: int) -> str:
        return f"{from_micros(time).astimezone(zone):%Y-%m-%d %H:%M:%S}"

    past = history.until(at)
    episodes = [one for one in replay([rule], past, profiles) if one.device == device.id]
    lines: list[str] = []
    standing = [one for one in episodes if one.ended is None]
    if standing:
        began = clock(standing[0].started)
        worst = "" if standing[0].worst is None else f", {'最差' if zh else 'worst'} {standing[0].worst:g}"
        lines.append(f"当时处于告警状态,始于 {began}{worst}" if zh else f"stood raised then, since {began}{worst}")
    else:
        lines.append("当时未告警" if zh else "was not raised then")
        if episodes and episodes[-1].ended is not None:
            ended = clock(episodes[-1].ended)
            reason = episodes[-1].reason
            lines.append(
                (f"上次告警结束于 {ended}" if zh else f"the last one ended at {ended}") + (reason and f" ({reason})")
            )
    if scheduled(rule) and not isinstance(rule, DayCountRule):
        code = int(calendar_of(rule, device.site_id, history.devices())[1].find(np.array([at])).code[0])
        if code == INACTIVE:
            lines.append("该时刻不在规则时段内" if zh else "the moment lies outside the rule's hours")
        elif code == BY_STAGE:
            lines.append("工地施工阶段豁免" if zh else "the site's stage exempts it")
        elif code > 0:
            lines.append(f"许可 {code} 豁免" if zh else f"permit {code} exempts the site")
    lines += _readings(rule, past, device, at, clock, zh)
    return "\n".join(lines)


def _readings(rule: AnyRule, past: History, device: Device, at: int, clock: object, zh: bool) -> list[str]:
    assert callable(clock)
    metric = getattr(rule, "metric", None)
    if metric is None:
        return []
    for table in past.tables:
        mine = np.flatnonzero(table.device == device.id)
        if not len(mine) or metric not in table.values:
            continue
        newest = int(mine[-1])
        value, letter = float(table.values[metric][newest]), int(table.quality[metric][newest])
        silence = timedelta(microseconds=at - int(table.time[newest]))
        lines = [
            f"最近读数 {clock(int(table.time[newest]))}: {value:g}, {silence.total_seconds():g} s 前"
            if zh
            else f"newest reading {clock(int(table.time[newest]))}: {value:g}, {silence.total_seconds():g} s before"
        ]
        if letter not in (NORMAL, 0):
            lines.append(f"质量标识 {chr(letter)}: 不参与判定" if zh else f"quality {chr(letter)}: feeds no rule")
        if isinstance(rule, ThresholdRule):
            beyond = value > rule.raise_level if rule.upward else value < rule.raise_level
            lines.append(_verdict(beyond, rule.raise_level, zh))
        if isinstance(rule, WindowRule | DayCountRule):
            span = rule.window / timedelta(microseconds=1)
            valid = (table.time[mine] > at - span) & np.isfinite(table.values[metric][mine])
            valid &= np.isin(table.quality[metric][mine], (NORMAL, 0))
            expected = rule.window.total_seconds() / device.interval_s
            share = float(valid.sum()) / expected
            lines.append(
                f"此前 {_amount(rule.window)} 有效读数 {share:.0%}, 需要 {rule.minimum_valid_share:.0%}"
                if zh
                else f"{share:.0%} of the readings of the {_amount(rule.window)} before were valid, "
                f"{rule.minimum_valid_share:.0%} are needed"
            )
        return lines
    return ["此前没有该设备的读数" if zh else "no reading of the device before that"]


def _verdict(beyond: bool, level: float, zh: bool) -> str:
    if zh:
        return f"{'超过' if beyond else '未超过'}限值 {level:g}"
    return f"{'beyond' if beyond else 'not beyond'} the limit {level:g}"


def _what(rule: AnyRule, zh: bool) -> str:
    if isinstance(rule, ThresholdRule):
        text = f"{rule.metric} {_side(rule.upward, zh)} {rule.raise_level:g} {rule.unit}"
        held = _held(rule.duration, zh)
        clear = _relief(rule.upward, rule.clear_level, rule.clear_after, zh)
        return f"{text}{held} {'即告警' if zh else 'raises'}; {clear}"
    if isinstance(rule, WindowRule):
        name = _AGGREGATES[rule.aggregate][0 if zh else 1]
        against = _against(rule, zh)
        per = f"/{spell(rule.per)}" if rule.per else ""
        level = f"{_side(rule.upward, zh)} {rule.raise_level:g} {rule.unit}{per}"
        text = f"{_amount(rule.window)} {rule.metric} {name}{against} {level}"
        return f"{text} {'即告警' if zh else 'raises'}; {_relief(rule.upward, rule.clear_level, rule.clear_after, zh)}"
    if isinstance(rule, DayCountRule):
        name = _AGGREGATES[rule.aggregate][0 if zh else 1]
        over = f"{_amount(rule.window)} {rule.metric} {name} {_side(rule.upward, zh)} {rule.raise_level:g} {rule.unit}"
        if zh:
            return f"一日内 {over} 超过 {rule.allowed} 次即告警,至当日结束"
        return f"more than {rule.allowed} times a day {over}: raises until the day is over"
    if isinstance(rule, CountRule):
        over = f"{rule.metric} {_side(rule.upward, zh)} {rule.raise_level:g} {rule.unit}"
        if zh:
            return f"最近 {rule.of} 个读数中至少 {rule.at_least} 个 {over} 即告警"
        return f"at least {rule.at_least} of the last {rule.of} readings with {over}: raises"
    if isinstance(rule, CompositeRule):
        both = (" 且 " if zh else " and ").join(_condition(one, zh) for one in rule.all_of)
        one = (" 或 " if zh else " or ").join(_condition(item, zh) for item in rule.any_of)
        joined = (" 且 " if zh else " and ").join(part for part in (both, f"({one})" if one else "") if part)
        return f"{joined}{_held(rule.duration, zh)} {'即告警' if zh else 'raises'}"
    if isinstance(rule, StateRule):
        symbols = ", ".join(rule.raise_on)
        return f"{rule.metric} = {symbols}{_held(rule.duration, zh)} {'即告警' if zh else 'raises'}"
    if isinstance(rule, StuckRule):
        if zh:
            return f"{rule.metric} 持续 {_amount(rule.after)} 不变(至少 {rule.minimum_readings} 个读数)即告警"
        return f"{rule.metric} without a change for {_amount(rule.after)} ({rule.minimum_readings} readings) raises"
    if isinstance(rule, OfflineRule):
        return f"{_amount(rule.after)} 没有读数即告警" if zh else f"no reading for {_amount(rule.after)} raises"
    assert isinstance(rule, VisionRule)
    return f"识别到 {rule.episode} 即告警" if zh else f"a sighting of {rule.episode} raises"


def _condition(condition: Condition, zh: bool) -> str:
    whose = ""
    if condition.scope is not None:
        every = ("全部" if zh else "every ") if condition.match == "all" else ("任一" if zh else "some ")
        whose = f"{every}{condition.scope.device_kind} "
    if condition.raise_on:
        return f"{whose}{condition.metric} = {', '.join(condition.raise_on)}"
    sign, level, _ = condition.levels
    return f"{whose}{condition.metric} {_side(sign > 0, zh)} {level:g} {condition.unit}"


def _against(rule: WindowRule, zh: bool) -> str:
    if rule.reference is None:
        return ""
    factor = "" if rule.reference.factor == 1 else f"{rule.reference.factor:g} × "
    if rule.reference.compare == "difference":
        return f" 减去 {factor}#{rule.reference.tag}" if zh else f" less {factor}#{rule.reference.tag}"
    return f" 除以 {factor}#{rule.reference.tag}" if zh else f" by {factor}#{rule.reference.tag}"


def _ladder(rule: AnyRule, zh: bool) -> list[str]:
    if not isinstance(rule, ThresholdRule | WindowRule):
        return []
    return [
        f"{rung.severity}: {_side(rule.upward, zh)} {rung.raise_at:g}{_held(rung.duration, zh)}"
        for rung in rule.rungs[1:]
    ]


def _when(rule: AnyRule, zh: bool) -> list[str]:
    lines = []
    if rule.schedule:
        hours = "; ".join(map(str, rule.schedule))
        lines.append(f"时段(工地时间):{hours}" if zh else f"hours (the site's time): {hours}")
    if not rule.exempt_during.empty:
        by = ", ".join([*rule.exempt_during.permits, *rule.exempt_during.stages])
        lines.append(f"豁免:{by}" if zh else f"exempt: {by}")
    return lines


def _side(upward: bool, zh: bool) -> str:
    return ("高于" if upward else "低于") if zh else ("above" if upward else "below")


def _held(duration: timedelta, zh: bool) -> str:
    if not duration:
        return ""
    return f",持续 {_amount(duration)}" if zh else f" for {_amount(duration)}"


def _relief(upward: bool, level: float, after: timedelta, zh: bool) -> str:
    side = ("不高于" if upward else "不低于") if zh else ("at or below" if upward else "at or above")
    return f"{side} {level:g}{_held(after, zh)} {'后恢复' if zh else 'clears'}"


def _amount(duration: timedelta) -> str:
    text = spell(duration)
    return text if text[0].isdigit() else f"1 {text}"
