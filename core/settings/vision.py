"""Cameras, detector and episodes."""

from __future__ import annotations

from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import ConfigDict, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from core.settings.section import Line, Section
from core.settings.zones import Zone


class CameraSettings(Section):
    """How one camera is read and judged. The defaults of all cameras; `options` of a camera overrides each by name."""

    # Kept as JSON, which knows no infinity.
    model_config = ConfigDict(allow_inf_nan=False)

    fps: float = Field(
        default=1, gt=0, le=30, description="Pictures a second that are looked at while nothing happens."
    )
    attentive_fps: float = Field(
        default=5, gt=0, le=30, description="Pictures a second while a bare head is being judged or somebody watches."
    )
    transport: Literal["tcp", "udp"] = Field(default="tcp", description="How RTSP carries the video.")
    loop: bool = Field(default=False, description="Play a file again and again instead of once.")
    open_timeout_s: float = Field(default=8, gt=0, le=120, description="Seconds a camera has to answer.")
    read_timeout_s: float = Field(
        default=5, gt=0, le=120, description="Seconds without data after which it is stalled."
    )
    gate_share: float = Field(
        default=0.0003,
        ge=0,
        le=1,
        description="Share of the picture that must change before it is looked at; 0: always.",
    )
    gate_look_s: float = Field(default=30, gt=0, description="Seconds after which a still picture is looked at anyway.")
    frozen_s: float = Field(
        default=120,
        ge=0,
        description="Seconds after which a picture that stays the same to the last bit is frozen; 0: never.",
    )
    blind_s: float = Field(
        default=10, ge=0, description="Seconds after which a picture on which nothing is to be seen is told; 0: never."
    )
    view_shift: float = Field(
        default=0.08,
        ge=0,
        lt=1,
        description="Share of the picture by which the view may move before the camera counts as turned; 0: any.",
    )
    score: float = Field(default=0.5, gt=0, le=1, description="Least score of a box that counts in the vote.")
    head_px: float = Field(default=16, ge=1, description="Heads lower than this many pixels are unknown: no vote.")
    tiles: int = Field(
        default=1,
        ge=1,
        le=4,
        description="Above 1, each look takes the picture once more in so many tiles across and down, for far heads; "
        "2 costs five looks, 3 ten.",
    )
    night_luma: float = Field(
        default=50,
        ge=0,
        le=255,
        description="Mean brightness below which, or without colour (infrared), a picture is judged as at night.",
    )
    night_score: float = Field(default=0.5, gt=0, le=1, description="`score` at night.")
    night_head_px: float = Field(default=20, ge=1, description="`head_px` at night.")
    noise_level: float = Field(
        default=4,
        gt=0,
        description="Grey levels by which still pixels differ from picture to picture, above which a picture is noisy.",
    )
    noise_score: float = Field(
        default=0.6, gt=0, le=1, description="Least `score` and `night_score` of a noisy picture."
    )
    haze_contrast: float = Field(
        default=45, ge=0, description="Grey levels between dark and light by day, below which the state tells of haze."
    )
    weather_s: float = Field(
        default=20, ge=0, description="Seconds for which night, noise or haze must come or go before it counts."
    )
    zones: tuple[Zone, ...] = Field(default=(), description="Parts of the picture; see docs/cameras.md.")
    vote_positive: int = Field(
        default=5, ge=1, le=100, description="Bare-headed looks at one person that make an episode ..."
    )
    vote_window: int = Field(
        default=8,
        ge=1,
        le=100,
        validate_default=True,
        description="... out of that many newest looks at the person.",
    )
    quiet_s: float = Field(default=10, gt=0, description="Seconds without a bare head after which its episode ends.")
    cool_down_s: float = Field(
        default=300,
        ge=0,
        le=86_400,
        description="Seconds after an episode was last seen in which its camera and zone start no other.",
    )
    clip_before_s: float = Field(default=5, ge=0, le=60, description="Seconds of video kept before an episode ...")
    clip_after_s: float = Field(
        default=5, ge=0, le=60, description="... and after its start, as the camera sent them; both 0: no clips."
    )
    clip_mb: int = Field(
        default=16, ge=0, le=256, description="Most MB of encoded video that one camera holds for clips; 0: no clips."
    )

    onvif: Line = Field(
        default="",
        max_length=500,
        description="Address of the ONVIF device service that moves the camera, without user and password; empty: of "
        "the stream's host; `off`: it is never moved.",
    )
    onvif_profile: Line = Field(
        default="", max_length=100, description="Token of its ONVIF media profile; empty: the first that can be moved."
    )
    moved_quiet_s: float = Field(
        default=300,
        ge=0,
        description="Seconds after somebody has moved the camera in which it does not count as turned.",
    )

    @field_validator("onvif")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        if value in ("", "off"):
            return value
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise PydanticCustomError("no_onvif_address", "write http://HOST/onvif/device_service, off, or nothing")
        if parts.username is not None:
            raise PydanticCustomError(
                "onvif_secret",
                "write no user and password here: those of the stream's address are used on its host",
            )
        return value

    @field_validator("vote_window")
    @classmethod
    def _vote_can_be_won(cls, window: int, info: ValidationInfo) -> int:
        # What is wrong with vote_positive in itself is told by itself, and then it is not here.
        positive = info.data.get("vote_positive", 0)
        if positive > window:
            raise PydanticCustomError(
                "vote_never_won",
                "vote_positive {vote_positive} is above vote_window {vote_window}",
                {"vote_positive": positive, "vote_window": window},
            )
        return window


Precision = Literal["auto", "f32"]


class VisionSettings(Section):
    """Cameras, detector and episodes."""

    worker: str = Field(
        default="1", pattern=r"^[a-z0-9-]{1,32}$", description="Name of this worker, unique among vision workers."
    )
    workers: int = Field(
        default=1,
        ge=1,
        le=64,
        description="Vision processes that `smartsite up` starts; cameras are shared out among all that run anywhere.",
    )
    ray_address: str = Field(
        default="",
        description="Ray cluster that runs the workers instead, e.g. `auto` or `10.0.0.5:6379`; empty: none.",
    )
    ray_cpus: float = Field(default=1, gt=0, le=64, description="CPUs that Ray sets aside for a worker.")
    model: Path | None = Field(
        default=None,
        description="Model: OpenVINO (.xml beside its .bin), .onnx, .pt or TensorRT .engine; empty: the built-in one.",
    )
    input_px: int = Field(
        default=640,
        ge=160,
        le=2048,
        description="Longer side of the network's input; more finds smaller heads and costs more. The shorter follows.",
    )
    threads: int = Field(default=1, ge=1, le=64, description="Threads of one inference.")
    precision: Precision = Field(
        default="f32",
        description="What OpenVINO computes in where the network is not in eight bits: auto takes bfloat16 on "
        "processors that have it. That halves the CPU of a network of floats, and may change what it sees; to the "
        "built-in one, which is in eight bits, it brings nothing.",
    )
    live_host: str = Field(
        default="127.0.0.1", description="Address on which api fetches live pictures; it has no log-in."
    )
    live_port: int = Field(default=8091, ge=0, le=65535, description="Port of it; 0 takes a free one.")
    camera: CameraSettings = CameraSettings()
