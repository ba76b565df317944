"""`python -m benchmarks.live [--json] [--quick] [--parts push,wall,paint,api]`: each part on the same city."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from benchmarks.live.stage import CAMERA_ROWS, CAMERAS, SITES, Api, Stage, share
from benchmarks.report import conclude, machine, median, target
from benchmarks.vision.usage import cpu_s

PARTS = ("push", "wall", "paint", "api")
PAUSE_S = 2.0
"""For how long a person looks at a view, on average."""
_SETTLE_S = 8.0


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class Bench:
    """The parts; each gives figures and targets."""

    def __init__(self, stage: Stage, *, quick: bool) -> None:
        self._stage = stage
        self._quick = quick
        self._rounds = 1 if quick else 3
        self._seconds = 5.0 if quick else 12.0

    async def push(self) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """The live push in turns with its peers."""
        taken: dict[str, list[dict[str, Any]]] = {"ours": [], "broadcast": [], "dumps": [], "single": []}
        for _ in range(self._rounds):
            for way, runs in taken.items():
                if way == "ours":
                    async with self._stage.api() as api:
                        runs.append(await self._crowd(api.pid, api.address, self._stage.url))
                else:
                    async with self._stage.process("-m", "benchmarks.live.peers", way) as peer:
                        assert peer.stdout is not None
                        port = int(await peer.stdout.readline())
                        runs.append(await self._crowd(peer.pid, f"127.0.0.1:{port}", "-"))
                say(f"push {way} {runs[-1]}")
        figures = {
            way: {name: median((one[name] for one in runs), 2) for name in runs[0]} for way, runs in taken.items()
        }
        return figures, [target("live push, % of a core of the API process", figures["ours"]["cpu_percent"], "<=", 2)]

    async def _crowd(self, pid: int, address: str, url: str) -> dict[str, Any]:
        arguments = ["-m", "benchmarks.live.crowd", address, url, str(self._seconds)]
        async with self._watched({"": pid}, arguments) as found:
            return found

    async def wall(self) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Sixteen cameras; what the vision room does anyway is measured before, and taken off."""
        arguments = ["-m", "benchmarks.vision.cameras", "0", "--few", str(CAMERAS), "sub"]
        async with self._stage.process(*arguments) as cameras:
            assert cameras.stdout is not None
            port = json.loads(await cameras.stdout.readline())["port"]
            self._stage.run(CAMERA_ROWS, [f"rtsp://127.0.0.1:{port}/sub/{number}" for number in range(CAMERAS)])
            numbers = [str(number) for (number,) in self._stage.rows("SELECT id FROM camera ORDER BY id")]
            # The detector is not what is measured: a picture in which nothing changes is not looked at.
            calm = {f"SMARTSITE_VISION__CAMERA__{name}": value for name, value in _CALM.items()}
            async with (
                self._stage.room("vision", SMARTSITE_VISION__LIVE_PORT="0", **calm) as vision,
                self._stage.api() as api,
            ):
                await self._stage.until(
                    lambda: (
                        self._stage.rows("SELECT count(*) FROM camera_state WHERE state = 'online'") == [(CAMERAS,)]
                    ),
                    vision,
                )
                await asyncio.sleep(_SETTLE_S)
                before, began = cpu_s(vision.pid), time.monotonic()
                await asyncio.sleep(self._seconds)
                idle = share(before, cpu_s(vision.pid), time.monotonic() - began)
                command = ["-m", "benchmarks.live.wall", api.address, str(self._seconds), *numbers]
                pids = {"api": api.pid, "vision": vision.pid}
                runs = []
                for _ in range(self._rounds):
                    async with self._watched(pids, command) as found:
                        runs.append(found)
                        say(f"wall {found}, vision without a viewer {idle} %")
        figures = {name: median((one[name] for one in runs), 2) for name in runs[0]}
        figures["vision_idle_percent"] = idle
        figures["relay_percent"] = round(figures.pop("vision_cpu_percent") - idle, 2)
        figures["api_percent"] = figures.pop("api_cpu_percent")
        total = round(figures["relay_percent"] + figures["api_percent"], 2)
        return figures, [target("wall of 16 at 640x360, % of a core of API and relay", total, "<=", 20)]

    async def paint(self) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """First useful paint of the big picture."""
        async with self._stage.api() as api:
            figures = await self._told(
                ["-m", "benchmarks.live.paint", api.address, str(SITES), str(4 * self._rounds + 1)]
            )
        say(f"paint {figures}")
        return figures, [target("first useful paint, ms", figures["useful_ms"], "<=", 1500)]

    async def api(self) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """The mix of requests, as people use it and as fast as it goes."""
        figures: dict[str, Any] = {}
        async with self._stage.api() as api:
            for name, pause in (("in_use", PAUSE_S), ("flat_out", 0.0)):
                figures[name] = await self._visits(api, pause)
                say(f"api {name} {figures[name]}")
        return figures, [target("API p99 of 50 people, ms", figures["in_use"]["p99_ms"], "<=", 150)]

    async def _visits(self, api: Api, pause: float) -> dict[str, Any]:
        pids = {"api": api.pid, "postgres": self._stage.postgres_pid}
        command = ["-m", "benchmarks.live.visits", api.address, str(2 * self._seconds), str(pause)]
        async with self._watched(pids, command) as found:
            return found

    @contextlib.asynccontextmanager
    async def _watched(self, pids: dict[str, int], command: list[str]) -> AsyncIterator[dict[str, Any]]:
        """Run a command that says when it is ready and, at the end, what it found; with the processor time between."""
        async with self._stage.process(*command) as process:
            assert process.stdout is not None
            if not await process.stdout.readline():
                raise RuntimeError(f"{command[1]} did not become ready")
            before, began = {name: cpu_s(pid) for name, pid in pids.items()}, time.monotonic()
            line = await process.stdout.readline()
            took = time.monotonic() - began
            spent = {
                f"{name}_cpu_percent".lstrip("_"): share(before[name], cpu_s(pid), took) for name, pid in pids.items()
            }
            if not line:
                raise RuntimeError(f"{command[1]} ended early")
            yield {**spent, **json.loads(line)}

    async def _told(self, command: list[str]) -> dict[str, Any]:
        async with self._stage.process(*command) as process:
            assert process.stdout is not None
            line = await process.stdout.readline()
            if not line:
                raise RuntimeError(f"{command[1]} ended early")
            return dict(json.loads(line))


_CALM = {"GATE_SHARE": "1", "GATE_LOOK_S": "3600", "CLIP_MB": "0"}


async def run(options: argparse.Namespace) -> None:
    """Build the city, then each part."""
    about = machine()
    folder = Path(tempfile.mkdtemp(prefix="smartsite-live-", dir=options.folder))
    folder.chmod(0o755)
    stage = Stage(folder)
    figures: dict[str, Any] = {}
    targets: list[dict[str, Any]] = []
    try:
        # Only the API is asked for more than the newest readings.
        days = (2 if options.quick else 30) if "api" in options.parts else 1
        figures["history"] = await stage.open(days)
        say(f"loaded {figures['history']}")
        bench = Bench(stage, quick=options.quick)
        for name in options.parts:
            part: Callable[[], Awaitable[tuple[dict[str, Any], list[dict[str, Any]]]]] = getattr(bench, name)
            figures[name], met = await part()
            targets += met
    except BaseException:
        log = folder / "processes.log"
        if log.exists():
            say(log.read_text(errors="replace")[-4000:])
        raise
    finally:
        stage.close()
        shutil.rmtree(folder, ignore_errors=True)
    conclude(figures, about, targets)


def _parts(text: str) -> list[str]:
    names = text.split(",")
    if unknown := set(names) - set(PARTS):
        raise argparse.ArgumentTypeError(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    return names


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.live", description=__doc__)
    parser.add_argument("--json", action="store_true", help="the JSON object is all that is printed in any case")
    parser.add_argument("--quick", action="store_true", help="two days of history, one short round")
    parser.add_argument("--parts", type=_parts, default=list(PARTS), help=f"some of {','.join(PARTS)}")
    parser.add_argument("--folder", help="where to keep the database meanwhile")
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
