"""`python -m benchmarks.outage [--json] [--quick] [--minutes N]`: the database away under devices of all kinds.

With --kill, instead: so many messages while PostgreSQL, ingest and the broker are killed at random moments.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.ingest.stage import Stage
from benchmarks.outage.scenes import Kills, Outage, Targets, kills, outage
from benchmarks.report import conclude, machine


async def run(options: argparse.Namespace) -> None:
    """The whole benchmark in a temporary folder."""
    about = machine()
    folder = Path(tempfile.mkdtemp(prefix="smartsite-outage-", dir=options.folder))
    folder.chmod(0o755)
    stage = Stage(folder, options.qos1 + options.qos0 + options.stations)
    try:
        await stage.open()
        figures, targets = await _story(stage, options)
    except BaseException:
        log = folder / "processes.log"
        if log.exists():
            print(log.read_text(errors="replace")[-4000:], file=sys.stderr)
        raise
    finally:
        stage.close()
        shutil.rmtree(folder, ignore_errors=True)
    if not options.json:
        for name, value in figures.items():
            print(name, value)
    conclude(figures, about, targets)


async def _story(stage: Stage, options: argparse.Namespace) -> tuple[dict[str, Any], Targets]:
    if options.kill:
        size = Kills(
            way=options.kill,
            messages=2000 if options.quick else options.messages,
            devices=options.devices,
            rate=options.rate,
            seed=options.seed,
        )
        return await kills(stage, size)
    return await outage(
        stage,
        Outage(
            qos1=options.qos1,
            qos0=options.qos0,
            hj212=options.stations,
            every_s=options.every,
            minutes=0.4 if options.quick else options.minutes,
            beside_s=8 if options.quick else 30,
        ),
    )


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.outage", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="print nothing but the JSON object")
    parser.add_argument("--quick", action="store_true", help="24 seconds of outage, or 2000 messages")
    parser.add_argument("--minutes", type=float, default=10, help="how long the database is away")
    parser.add_argument("--qos1", type=int, default=300, help="MQTT devices that publish at QoS 1")
    parser.add_argument("--qos0", type=int, default=100, help="MQTT devices that publish at QoS 0")
    parser.add_argument("--stations", type=int, default=20, help="HJ 212 stations")
    parser.add_argument("--every", type=float, default=1.0, help="seconds between two readings of a device")
    parser.add_argument("--kill", choices=("own", "broker", "hj212"), help="kills at random moments on this way")
    parser.add_argument("--messages", type=int, default=100_000, help="with --kill: messages")
    parser.add_argument("--devices", type=int, default=50, help="with --kill: devices")
    parser.add_argument("--rate", type=float, default=1000, help="with --kill: messages a second")
    parser.add_argument("--seed", type=int, default=1, help="with --kill: of the random moments")
    parser.add_argument("--folder", help="where to keep databases meanwhile")
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
