"""A camera's own settings: the defaults of all cameras, overridden by the `options` of its row."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import ValidationError

from core.errors import InvalidInput
from core.settings import CameraSettings
from vision.wire import Order, Pace

_JUDGED_S = 8.0  # from the first bare-headed look to the end of a vote, at the slowest


class InvalidOptions(InvalidInput):
    """An option of a camera is not usable; `faults` are pydantic's."""

    def __init__(self, error: ValidationError) -> None:
        self.faults = error.errors(include_url=False, include_input=False)
        said = "; ".join(
            f"{'.'.join(str(part) for part in fault['loc']) or 'options'}: {fault['msg']}" for fault in self.faults
        )
        super().__init__(f"the camera's options are not usable: {said}", hint="correct its options")


def camera_settings(defaults: CameraSettings, options: Mapping[str, object]) -> CameraSettings:
    """The settings in force; InvalidOptions names the option that is not usable."""
    try:
        return CameraSettings.model_validate({**defaults.model_dump(), **options})
    except ValidationError as error:
        raise InvalidOptions(error) from error


def order_of(url: str, options: CameraSettings, pace: Pace, *, look_px: int = 640) -> Order:
    """What the capture process is told of a camera; `look_px` is the longer side of the pictures that are looked at."""
    return Order(
        url=url,
        transport=options.transport,
        loop=options.loop,
        open_timeout_s=options.open_timeout_s,
        read_timeout_s=options.read_timeout_s,
        gate_share=options.gate_share,
        gate_look_s=options.gate_look_s,
        frozen_s=options.frozen_s,
        blind_s=options.blind_s,
        view_shift=options.view_shift,
        clip_s=options.clip_before_s + _JUDGED_S,
        clip_bytes=options.clip_mb * 1_000_000 if options.clip_before_s + options.clip_after_s else 0,
        look_px=look_px,
        pace=pace,
    )
