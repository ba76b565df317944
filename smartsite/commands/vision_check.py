"""``smartsite vision check``: try one camera and say what to change on it."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from core.settings import Settings

if TYPE_CHECKING:
    from vision.check import CameraReport

HELP = "try a camera: what it sends, what the detector sees, and what to change on it"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "url", help="address as in the registry; - reads it from standard input, where no other user sees its password"
    )
    parser.add_argument("--seconds", type=float, default=8, help="how long to watch (%(default)s)")
    parser.add_argument(
        "--transport", choices=["tcp", "udp"], help="how RTSP carries the video, instead of the settings'"
    )
    parser.add_argument("--picture", type=Path, metavar="FILE", help="write the newest picture with boxes (JPEG)")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(options: argparse.Namespace, settings: Settings) -> int:
    from smartsite.console import complain, say
    from vision.check import check_source
    from vision.detectors import load_detector

    url = sys.stdin.readline().strip() if options.url == "-" else options.url
    wishes = settings.vision.camera
    if options.transport:
        wishes = wishes.model_copy(update={"transport": options.transport})
    detector = load_detector(settings.vision)
    report = check_source(url, wishes, detector=detector, watch_s=options.seconds)
    if options.picture and report.picture:
        options.picture.write_bytes(report.picture)
    if options.json:
        say(json.dumps(report.plain(), indent=2))
    else:
        for line in _lines(report):
            say(line)
        if options.picture and report.picture:
            complain(f"picture: {options.picture}")
    return 0 if report.usable else 1


def _lines(report: CameraReport) -> list[str]:
    if not report.usable:
        return [f"{report.url}: {report.state} ({report.reason}) {report.message}", f"-> {report.remedy}"]
    interval = f"{report.key_interval_s:g} s" if report.key_interval_s else "longer than it was watched"
    lines = [
        report.url,
        f"  {report.codec}, {report.width}x{report.height}, {report.fps:g} frames a second, "
        f"{report.bit_rate_mbit:g} Mbit/s, a key frame every {interval}",
        f"  open after {report.open_s:g} s, first picture after {report.first_picture_s:g} s, pictures up to "
        f"{report.jitter_s:g} s late, {report.corrupt} broken",
        "  time-outs: "
        + ", ".join(f"{name.removesuffix('_s')} {value:g} s" for name, value in report.time_outs.items()),
    ]
    heads = [f"{box.label} {box.score:.2f} ({box.height_px:.0f} px)" for box in report.boxes]
    lines.append(f"  seen: {', '.join(heads) or 'nobody; try again while somebody stands where people will be'}")
    lines += [f"  -> {text}" for text in report.advice] or ["  nothing to change"]
    return lines
