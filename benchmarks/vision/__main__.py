"""`python -m benchmarks.vision [--json] [--quick]`: CPU of a camera, cameras held, and how right the episodes are.

The same RTSP streams and the same weights, in turns: the vision room as it runs in production with and without its
motion gate, without it on the very file that stock ultralytics runs, and ultralytics' `predict(stream=True)` with
PyTorch and with OpenVINO, one look a second. CPU is that of the whole process family, read from /proc; the cameras' and
PostgreSQL's are told apart. Then a fleet at default settings (but without cool-down, so that every visit counts) is
watched for minutes: what is skipped, what it takes, and its episodes against what the cameras showed.

`--reconnects N` and `--soak S` do only that: cut every stream N times, or let the fleet run for S seconds, and tell
what grew.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from benchmarks.report import conclude, machine, median, target
from benchmarks.vision import endurance, fleet, ways
from benchmarks.vision.sequences import ROUND_S
from benchmarks.vision.stage import Stage

_GOALS = (
    ("ours", "stock, PyTorch", 3.0),
    ("ours", "stock, OpenVINO", 2.5),
    ("ours, stock's file", "stock, OpenVINO", 2.5),
    ("ours, gate", "stock, PyTorch", 5.0),
    ("ours, gate", "stock, OpenVINO", 4.0),
)


@contextlib.asynccontextmanager
async def staged(folder: str | None) -> AsyncIterator[tuple[Stage, Path]]:
    """The set in a temporary folder."""
    place = Path(tempfile.mkdtemp(prefix="smartsite-vision-", dir=folder))
    place.chmod(0o755)
    stage = Stage(place)
    try:
        await stage.open()
        yield stage, place
    except BaseException:
        log = place / "processes.log"
        if log.exists():
            print(log.read_text(errors="replace")[-4000:], file=sys.stderr)
        raise
    finally:
        stage.close()
        shutil.rmtree(place, ignore_errors=True)


async def compare(options: argparse.Namespace) -> None:
    """The whole comparison."""
    about = machine()
    kinds = ["main"] if options.quick else ["main", "seldom", "sub"]
    async with staged(options.folder) as (stage, place):
        models = await ways.stock_models(stage, place)
        async with stage.cameras(options.cameras, ways.CAMERAS, kinds) as cameras:
            turns: dict[str, dict[str, list[dict[str, float]]]] = {kind: {} for kind in kinds}
            for _ in range(1 if options.quick else options.rounds):
                for kind in kinds:
                    for name, way in ways.WAYS.items():
                        figures = await way(stage, cameras, kind, models, options.seconds)
                        turns[kind].setdefault(name, []).append(figures)
                        print(kind, name, figures, file=sys.stderr, flush=True)
            cpu = {
                kind: {name: median((turn["cpu_ms"] for turn in turn_list), 1) for name, turn_list in by_name.items()}
                for kind, by_name in turns.items()
            }
            held = await fleet.watch(stage, cameras, options.cameras, 60 * options.minutes)
            print("fleet", held, file=sys.stderr, flush=True)
    shares = {
        kind: {f"{peer} / {own}": round(by_name[peer] / by_name[own], 2) for own, peer, _ in _GOALS}
        for kind, by_name in cpu.items()
    }
    figures: dict[str, Any] = {"cpu_ms_per_camera_second": cpu, "shares": shares, "turns": turns, "fleet": held}
    goals = [
        target(f"{peer} / {own}, CPU, key frame a second", shares["main"][f"{peer} / {own}"], ">=", goal)
        for own, peer, goal in _GOALS
    ]
    goals += [
        target(f"cameras held of {options.cameras}, none skipped", held["held"], "==", options.cameras),
        target("peak memory in all, MB", held["peak_pss_mb"], "<=", 2000),
    ]
    conclude(figures, about, goals)


async def endure(options: argparse.Namespace) -> None:
    """Reconnects or a soak."""
    about = machine()
    async with staged(options.folder) as (stage, _), stage.cameras(options.cameras, 0, ["main"]) as cameras:
        if options.reconnects:
            figures, goals = await endurance.reconnects(stage, cameras, options.cameras, options.reconnects)
        else:
            figures, goals = await endurance.soak(stage, cameras, options.cameras, options.soak)
    conclude(figures, about, goals)


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.vision", description=__doc__)
    parser.add_argument("--json", action="store_true", help="the JSON object is all that is printed in any case")
    parser.add_argument("--quick", action="store_true", help="one round with a key frame a second, one minute of fleet")
    parser.add_argument("--cameras", type=int, default=24, help="of the fleet")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument(
        "--seconds", type=float, default=ROUND_S, help="of each way in each round; whole minutes show every movement"
    )
    parser.add_argument("--minutes", type=float, default=5, help="of the fleet")
    parser.add_argument("--reconnects", type=int, default=0, metavar="N", help="only cut every stream N times")
    parser.add_argument("--soak", type=float, default=0, metavar="S", help="only let the fleet run for S seconds")
    parser.add_argument("--folder", help="where to keep the database meanwhile")
    options = parser.parse_args()
    if options.quick:
        options.minutes = min(options.minutes, 1.2)
    asyncio.run(endure(options) if options.reconnects or options.soak else compare(options))


if __name__ == "__main__":
    main()
