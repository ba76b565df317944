"""`python -m benchmarks.alerts [--json] [--quick]`: interleaved rounds of all ways, medians, targets."""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import tempfile
import time
import tracemalloc
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from alerts.engine import Engine
from benchmarks.alerts import setting
from benchmarks.alerts.chain import latency
from benchmarks.alerts.loop import Loop, Message
from benchmarks.alerts.setting import CHANNELS, COMMIT, Alert, Rule
from benchmarks.alerts.sql import Queries
from benchmarks.report import conclude, machine, median, target
from sensors.batch import decode

RATE = 1000.0


def ours(rules: Sequence[Rule], stations: int, reads: Sequence[Sequence[bytes]]) -> tuple[list[Alert], float]:
    """From the log's bytes to transitions; the alerts and CPU seconds."""
    engine = Engine(rules, setting.registry(stations), {})
    told = []
    started = time.process_time()
    for entries in reads:
        told += engine.feed(*(batch for payload in entries for batch in decode(payload)))
    seconds = time.process_time() - started
    return [Alert(item.phase, item.rule.id, item.device or 0, item.started_at) for item in told], seconds


def obvious(rules: Sequence[Rule], messages: Sequence[Message]) -> tuple[list[Alert], float]:
    """The per-reading loop; the alerts and CPU seconds."""
    loop = Loop(rules)
    started = time.process_time()
    for message in messages:
        loop.take(message)
    return loop.alerts, time.process_time() - started


def messages(values: npt.NDArray[np.float64]) -> list[Message]:
    """What the loop is given: device, time and a dictionary of floats."""
    return [
        (device, setting.moment(tick), dict(zip(CHANNELS, row, strict=True)))
        for tick, by_channel in enumerate(values)
        for device, row in enumerate(by_channel.T.tolist(), start=1)
    ]


def agree(name: str, found: Sequence[Alert], expected: Sequence[Alert]) -> None:
    """The same alerts, or the benchmark is void."""
    if Counter(found) != Counter(expected):
        differing = list((Counter(found) - Counter(expected)) + (Counter(expected) - Counter(found)))
        raise SystemExit(f"{name} and the engine differ in {len(differing)} alerts, such as {differing[:3]}")


def state(rules: Sequence[Rule], stations: int, reads: Sequence[Sequence[bytes]]) -> dict[str, float]:
    """Memory of the engine and the cost of its snapshot, after all readings."""
    registry = setting.registry(stations)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    engine = Engine(rules, registry, {})
    held = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    for entries in reads:
        engine.feed(*(batch for payload in entries for batch in decode(payload)))
    started = time.process_time()
    payload = engine.dump()
    dumped = time.process_time()
    Engine(rules, registry, {}).load(payload)
    cells = stations * len(rules)
    return {
        "memory_bytes_per_sensor_rule": round(held / cells, 1),
        "snapshot_bytes_per_sensor_rule": round(len(payload) / cells, 1),
        "snapshot_ms": round((dumped - started) * 1e3, 2),
        "restore_ms": round((time.process_time() - dumped) * 1e3, 2),
    }


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """All rounds."""
    stations, ticks = (1000, 40) if options.quick else (options.stations, options.ticks)
    few = min(stations, options.sql_stations)
    rules = setting.rules()
    values = setting.readings(stations, ticks)
    full, commits = setting.reads(values, stations), setting.reads(values, COMMIT)
    spoken = messages(values)
    count = ticks * stations
    expected, _ = ours(rules, stations, full)
    rates: dict[str, list[float]] = {"full_ticks": [], "log_batches": [], "loop": [], "sql": []}
    queries = Queries(folder, rules)
    try:
        for turn in range(1 if options.quick else options.rounds):
            for name, reads in (("full_ticks", full), ("log_batches", commits)):
                found, seconds = ours(rules, stations, reads)
                agree(name, found, expected)
                rates[name].append(count / seconds)
            found, seconds = obvious(rules, spoken)
            agree("the loop", found, expected)
            rates["loop"].append(count / seconds)
            found, seconds = queries.run(values[:, :, :few])
            agree("SQL", found, [alert for alert in expected if alert.device <= few])
            rates["sql"].append(few * ticks / seconds)
            newest = ", ".join(f"{name} {rate[-1]:,.0f}" for name, rate in rates.items())
            print(f"round {turn + 1}, messages/s: {newest}", file=sys.stderr, flush=True)
    finally:
        queries.close()
    figures: dict[str, Any] = {
        name: {
            "messages_s": median(found, 0),
            "readings_s": median((rate * len(CHANNELS) for rate in found), 0),
            "evaluations_s": median((rate * len(rules) for rate in found), 0),
        }
        for name, found in rates.items()
    }
    for name, base in (("full_ticks", "loop"), ("log_batches", "loop"), ("full_ticks", "sql")):
        pairs = zip(rates[name], rates[base], strict=True)
        figures[f"{name}_to_{base}"] = median((mine / theirs for mine, theirs in pairs), 1)
    sizes = {"stations": stations, "rules": len(rules), "ticks": ticks, "sql_stations": few}
    return figures | state(rules, stations, full) | sizes | {"transitions": len(expected)}


def engine_targets(figures: dict[str, Any]) -> list[dict[str, Any]]:
    """What was promised of the engine."""
    return [
        target("rule evaluations/s, full ticks", figures["full_ticks"]["evaluations_s"], ">=", 10_000_000),
        target("rule evaluations/s, log batches of <= 500", figures["log_batches"]["evaluations_s"], ">=", 3_000_000),
        target("full ticks / per-reading loop", figures["full_ticks_to_loop"], ">=", 20),
    ]


def chain_targets(chain: dict[str, Any]) -> list[dict[str, Any]]:
    """What was promised of the way from a device to the regulator and the officer."""
    missing = sum(chain["breaches"] - chain[name]["count"] for name in ("accepted", "notified"))
    return [
        target("publish to accepted, p99 ms", chain["accepted"]["p99_ms"], "<=", 1000),
        target("publish to notified, p99 ms", chain["notified"]["p99_ms"], "<=", 2000),
        target("violations that never arrived", missing, "==", 0),
    ]


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.alerts", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print nothing but the JSON object")
    parser.add_argument(
        "--quick", action="store_true", help="one round, a tenth of the stations, eight seconds of chain"
    )
    parser.add_argument("--only", choices=("engine", "chain"), help="measure this part alone")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--stations", type=int, default=10_000)
    parser.add_argument("--ticks", type=int, default=45)
    parser.add_argument("--sql-stations", type=int, default=1000, help="stations that the queries look at")
    parser.add_argument("--folder", help="where to keep databases meanwhile; the disk whose fsync counts")
    options = parser.parse_args()
    about = machine()
    folder = Path(tempfile.mkdtemp(prefix="smartsite-bench-", dir=options.folder))
    figures: dict[str, Any] = {}
    targets: list[dict[str, Any]] = []
    try:
        for part in ("sql", "chain"):
            (folder / part).mkdir()
        for path in (folder, *folder.iterdir()):
            path.chmod(0o755)  # PostgreSQL does not run as root
        if options.only != "chain":
            figures |= measure(options, folder / "sql")
            targets += engine_targets(figures)
        if options.only != "engine":
            seconds, breaches = (8, 40) if options.quick else (30, 300)
            figures["chain"] = asyncio.run(latency(folder / "chain", seconds=seconds, rate=RATE, breaches=breaches))
            targets += chain_targets(figures["chain"])
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if not options.json:
        for name, found in figures.items():
            print(name, found)
    conclude(figures, about, targets)


if __name__ == "__main__":
    main()
