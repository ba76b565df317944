"""The options of a camera as a form shows them: in groups, each with words, unit, limits and the default in force.

Names, types, limits and English descriptions are those of CameraSettings; what it does not say stands in `GROUPS`.
Zones are drawn on the picture, so they are no field.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

from core.settings import CameraSettings

Group = Literal["stream", "picture", "detection", "light", "episode", "evidence", "ptz"]
OptionType = Literal["number", "integer", "boolean", "choice", "text"]


class _Words(NamedTuple):
    unit: str
    label: str
    label_en: str
    description: str


GROUPS: dict[Group, dict[str, _Words]] = {
    "stream": {
        "fps": _Words("1/s", "平时帧率", "Usual rate", "没有情况时每秒分析的画面数。"),
        "attentive_fps": _Words("1/s", "关注时帧率", "Attentive rate", "判定未戴安全帽或有人观看时每秒的画面数。"),
        "transport": _Words("", "RTSP 传输方式", "RTSP transport", "RTSP 用何种协议传送视频。"),
        "loop": _Words("", "循环播放文件", "Play again", "视频文件循环播放，而不是只播放一次。"),
        "open_timeout_s": _Words("s", "连接超时", "Time to open", "摄像机须在此时间内应答。"),
        "read_timeout_s": _Words("s", "断流超时", "Time to stall", "超过此时间没有数据即视为断流。"),
    },
    "picture": {
        "gate_share": _Words("", "画面变化比例", "Change looked at", "画面变化超过此比例才分析；0 为始终分析。"),
        "gate_look_s": _Words("s", "静止复查间隔", "Look at stillness", "画面静止时，隔此时间仍分析一次。"),
        "frozen_s": _Words("s", "画面冻结", "Frozen after", "画面逐位不变超过此时间即视为冻结；0 为不判定。"),
        "blind_s": _Words("s", "画面遮挡", "Blind after", "画面上什么也看不见超过此时间即告知；0 为不判定。"),
        "view_shift": _Words("", "视角偏移", "Shift of the view", "视角移动超过画面的此比例即视为被转动；0 为不限。"),
    },
    "detection": {
        "score": _Words("", "最低得分", "Least score", "得分不低于此值的检测框才参与表决。"),
        "head_px": _Words("px", "头部最小高度", "Least head", "低于此像素高度的头部视为未知，不参与表决。"),
        "tiles": _Words(
            "",
            "分块数",
            "Tiles",
            "大于 1 时，每次另将画面横竖各分成若干块再分析，用于远处的头部；2 的耗费为 5 倍，3 为 10 倍。",
        ),
    },
    "light": {
        "night_luma": _Words(
            "", "夜间亮度", "Night below", "平均亮度低于此值（0–255）或没有色彩（红外）时按夜间判定。"
        ),
        "night_score": _Words("", "夜间最低得分", "Score at night", "夜间的最低得分（score）。"),
        "night_head_px": _Words("px", "夜间头部最小高度", "Head at night", "夜间的头部最小高度（head_px）。"),
        "noise_level": _Words("", "噪点阈值", "Noise above", "静止像素在画面之间相差的灰度级超过此值，即为有噪点。"),
        "noise_score": _Words(
            "", "噪点时最低得分", "Score in noise", "画面有噪点时，最低得分与夜间最低得分不低于此值。"
        ),
        "haze_contrast": _Words("", "雾霾对比度", "Haze below", "白天明暗之间的灰度级低于此值，状态显示有雾霾。"),
        "weather_s": _Words("s", "光线确认时间", "Light settles in", "夜间、噪点或雾霾持续出现或消失此时间才算数。"),
    },
    "episode": {
        "vote_positive": _Words(
            "", "表决票数", "Votes needed", "对同一人最近的判定中，未戴安全帽达到此次数即为一起事件……"
        ),
        "vote_window": _Words("", "表决总数", "Votes looked at", "……所看的是最近的这么多次判定。"),
        "quiet_s": _Words("s", "事件结束", "Ends after", "此时间内未再见到未戴安全帽，事件结束。"),
        "cool_down_s": _Words(
            "s", "冷却时间", "Cool-down", "事件最后一次被看到之后，同一摄像机和区域在此时间内不再产生新事件。"
        ),
    },
    "evidence": {
        "clip_before_s": _Words("s", "事件前片段", "Clip before", "保留事件开始之前的视频时长……"),
        "clip_after_s": _Words(
            "s", "事件后片段", "Clip after", "……以及开始之后的时长，按摄像机原码流；两者为 0 则不保留。"
        ),
        "clip_mb": _Words("MB", "片段内存上限", "Memory for clips", "一台摄像机为片段最多占用的编码视频；0 为不保留。"),
    },
    "ptz": {
        "onvif": _Words(
            "",
            "ONVIF 地址",
            "ONVIF address",
            "控制摄像机转动的 ONVIF 设备服务地址，不含用户名和密码；不填为视频流所在主机，off 为不控制。",
        ),
        "onvif_profile": _Words("", "ONVIF 媒体配置", "ONVIF profile", "媒体配置的令牌；不填为第一个可转动的配置。"),
        "moved_quiet_s": _Words("s", "转动后静默", "Quiet after moves", "有人转动摄像机后，此时间内不视为被转动。"),
    },
}


@dataclass(frozen=True, slots=True)
class OptionField:
    """One option. `default` is what holds where a camera does not set it; None limits: there is none.

    `over` and `below` are limits that a value must not reach, `least` and `most` such that it may.
    """

    name: str
    group: Group
    type: OptionType
    unit: str
    label: str
    label_en: str
    description: str
    description_en: str
    default: float | int | bool | str
    choices: list[str] | None = None
    over: float | None = None
    least: float | None = None
    below: float | None = None
    most: float | None = None
    max_length: int | None = None


_TYPES: dict[str, OptionType] = {"number": "number", "integer": "integer", "boolean": "boolean", "string": "text"}


def option_fields(defaults: CameraSettings) -> list[OptionField]:
    """All options but zones, in the order of the form; `defaults` are the house's."""
    schema = CameraSettings.model_json_schema()["properties"]
    return [
        _field(name, group, words, schema[name], getattr(defaults, name))
        for group in get_args(Group)
        for name, words in GROUPS[group].items()
    ]


def _field(name: str, group: Group, words: _Words, schema: dict[str, Any], default: Any) -> OptionField:
    choices = schema.get("enum")
    return OptionField(
        name=name,
        group=group,
        type="choice" if choices else _TYPES[schema["type"]],
        unit=words.unit,
        label=words.label,
        label_en=words.label_en,
        description=words.description,
        description_en=schema["description"],
        default=default,
        choices=choices,
        over=schema.get("exclusiveMinimum"),
        least=schema.get("minimum"),
        below=schema.get("exclusiveMaximum"),
        most=schema.get("maximum"),
        max_length=schema.get("maxLength"),
    )
