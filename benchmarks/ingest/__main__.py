"""`python -m benchmarks.ingest [--json] [--quick]`: interleaved rounds of all ways, medians, targets."""

from __future__ import annotations

import argparse
import asyncio
import shutil
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.ingest.stage import Stage
from benchmarks.ingest.ways import Ways
from benchmarks.report import conclude, machine, target

FEW, MANY = 500, 5000
PACED = 4000.0
Runs = dict[str, list[dict[str, Any]]]


async def rounds(ways: Ways, only: list[str], *, count: int, messages: int, queued: int, slow: int, paced: int) -> Runs:
    """Run every way in turn, `count` times; the order turns by one each round."""
    todo = {
        "own_endpoint": lambda: ways.own(messages, connections=FEW),
        "broker": lambda: ways.through_broker(messages, connections=FEW),
        "obvious": lambda: ways.obvious(slow, connections=FEW),
        "ceiling_endpoint": lambda: ways.endpoint_ceiling(messages, connections=FEW),
        "ceiling_subscriber": lambda: ways.subscriber_ceiling(messages, connections=FEW),
        "rabbitmq": lambda: ways.through_rabbitmq(queued, connections=FEW, workers=1),
        "rabbitmq_two_workers": lambda: ways.through_rabbitmq(queued, connections=FEW, workers=2),
        "ceiling_queue": lambda: ways.queue_ceiling(queued, connections=FEW),
        "ceiling_copy": lambda: ways.copy_ceiling(messages),
        "paced_500": lambda: ways.own(paced, connections=FEW, rate=PACED),
        "paced_5000": lambda: ways.own(paced, connections=MANY, rate=PACED),
    }
    names = only or list(todo)
    runs: Runs = {name: [] for name in names}
    for turn in range(count):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            figures = await todo[name]()
            runs[name].append(figures)
            print(f"round {turn + 1} {name}: {figures['messages_s']:,.0f} messages/s", file=sys.stderr, flush=True)
    return runs


def middle(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians of every figure; `lost` is the sum, peak memory the largest."""
    merged: dict[str, Any] = {}
    for name, first in runs[0].items():
        values = [run[name] for run in runs]
        if name == "lost":
            merged[name] = sum(values)
        elif isinstance(first, dict):
            pick = max if name == "peak_mb" else statistics.median
            merged[name] = {key: round(pick([value[key] for value in values]), 3) for key in first}
        else:
            merged[name] = round(statistics.median(values), 3)
    return merged


def targets(figures: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """What was promised of ingest."""
    own, broker = figures["own_endpoint"], figures["broker"]
    ceiling = min(figures["ceiling_subscriber"]["messages_s"], figures["ceiling_copy"]["messages_s"])
    few, many = (figures[name]["cpu_s_per_million_readings"]["ingest"] for name in ("paced_500", "paced_5000"))
    return [
        target("own endpoint, messages/s", own["messages_s"], ">=", 15_000),
        target("own endpoint, readings/s", own["readings_s"], ">=", 120_000),
        target("own endpoint / obvious way", round(own["messages_s"] / figures["obvious"]["messages_s"], 2), ">=", 5),
        target("broker source / lower ceiling", round(broker["messages_s"] / ceiling, 2), ">=", 0.6),
        target("ingest CPU a message, 5000 / 500 connections", round(many / few, 2), "<=", 1.5),
        target("acknowledged messages lost", own["lost"] + broker["lost"], "==", 0),
    ]


async def run(options: argparse.Namespace) -> None:
    """The whole benchmark in a temporary folder."""
    about = machine()
    folder = Path(tempfile.mkdtemp(prefix="smartsite-bench-", dir=options.folder))
    folder.chmod(0o755)
    stage = Stage(folder, MANY)
    scale = 0.1 if options.quick else 1.0
    try:
        await stage.open()
        runs = await rounds(
            Ways(stage, window=options.window),
            options.only,
            count=1 if options.quick else options.rounds,
            messages=int(options.messages * scale),
            queued=int(options.messages * scale) // 4,
            slow=int(20_000 * scale),
            paced=int(60_000 * scale),
        )
    except BaseException:
        log = folder / "processes.log"
        if log.exists():
            print(log.read_text(errors="replace")[-4000:], file=sys.stderr)
        raise
    finally:
        stage.close()
        shutil.rmtree(folder, ignore_errors=True)
    figures = {name: middle(found) for name, found in runs.items()}
    if not options.json:
        for name, found in figures.items():
            print(name, found)
    conclude(figures, about, [] if options.only else targets(figures))


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ingest", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print nothing but the JSON object")
    parser.add_argument("--quick", action="store_true", help="one round with a tenth of the messages")
    parser.add_argument("--only", action="append", default=[], help="run this way alone; no targets are judged")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--messages", type=int, default=200_000, help="messages of a run (RabbitMQ: a quarter; the slow way: 20,000)"
    )
    parser.add_argument("--window", type=int, default=10, help="unacknowledged messages of a device")
    parser.add_argument("--folder", help="where to keep databases meanwhile; the disk whose fsync counts")
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
