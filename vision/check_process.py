"""One check in a process of its own: `python -m vision.check_process`. A stream that crashes or hangs the decoder takes
nothing else with it, and a worker's detector goes on with its cameras.

The order is a line of JSON on standard input, where no other user sees the password of the address; the answer is one
of JSON on standard output. The end of the input ends the process.
"""

from __future__ import annotations

import base64
import os
import threading
from typing import Any

import msgspec

from core.settings import CameraSettings, VisionSettings
from vision.check import check_source
from vision.detectors import load_detector


class Order(msgspec.Struct, frozen=True):
    """What to check and how."""

    url: str
    options: dict[str, Any]
    vision: dict[str, Any]
    watch_s: float


class Answer(msgspec.Struct, frozen=True):
    """What was found: `CameraReport.plain` with its advice taken apart, and the pictures as base64."""

    report: dict[str, Any]
    picture: str
    blurred: str


def answer(order: Order) -> Answer:
    """Carry out the order; takes as long as it says, plus the camera's time-outs."""
    detector = load_detector(VisionSettings.model_validate(order.vision))
    options = CameraSettings.model_validate(order.options)
    found = check_source(order.url, options, detector=detector, watch_s=order.watch_s)
    report = found.plain() | {"advice": [one.plain() for one in found.advice]}
    pictures = [base64.b64encode(one).decode() for one in (found.picture, found.blurred)]
    return Answer(report, *pictures)


def main() -> None:
    """Read the order, write the answer."""
    results = os.dup(1)
    os.dup2(2, 1)  # nothing but the answer may reach the owner's pipe
    with open(0, "rb", buffering=0, closefd=False) as orders:  # a descriptor, open as long as we live
        order = msgspec.json.decode(orders.readline(), type=Order)

        def follow() -> None:
            orders.read()
            os._exit(0)

        threading.Thread(target=follow, daemon=True, name="owner").start()
        with os.fdopen(results, "wb") as output:
            output.write(msgspec.json.encode(answer(order)))
            output.flush()
            os._exit(0)


if __name__ == "__main__":
    main()
