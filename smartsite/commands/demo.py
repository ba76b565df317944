"""``smartsite demo``: the whole platform with simulated sites."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from core.settings import Settings

HELP = "run the whole platform with simulated sites, and account for it"
DESCRIPTION = """\
Runs what `smartsite up` runs, and around it simulated devices and cameras, a sandbox regulator and a scripted reviewer.
Everything is kept in the data directory, and the next start goes on with it.

With --for it ends by itself and gives an account: counts a stage, latencies, and what was lost or doubled, found by
comparing what the devices know they had acknowledged with what database and regulator hold. Exit status 0 only when
every stage did its work and nothing was lost or doubled.
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--for", dest="seconds", type=_positive, metavar="SECONDS", help="end after this time")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write the account as JSON (with --for)")
    parser.add_argument(
        "--data", type=Path, default=Path("var/demo"), metavar="DIR", help="data directory (%(default)s)"
    )
    parser.add_argument(
        "--port", type=int, metavar="PORT", help="port of the page (8000, or the next one that is free)"
    )
    parser.add_argument(
        "--broker", action="store_true", help="let the devices publish to a Mosquitto of the demo's own"
    )
    parser.add_argument("--chaos", action="store_true", help="kill -9 each process in turn meanwhile (with --for)")
    parser.add_argument("--verbose", action="store_true", help="print what the processes log, not only their warnings")


def run(options: argparse.Namespace, settings: Settings) -> int:  # noqa: ARG001 - it writes settings of its own
    from core import logs
    from core.clock import SystemClock
    from core.errors import InvalidInput
    from core.settings import LogSettings
    from smartsite.console import say
    from smartsite.demo.director import Plan, perform
    from smartsite.demo.stage import prepare
    from smartsite.running import run_until_signal

    if options.seconds is None and (options.report or options.chaos):
        raise InvalidInput("--report and --chaos need a bounded run", hint="add --for SECONDS")
    level = "info" if options.verbose else "warning"
    logs.setup(LogSettings(level=level), process="demo")
    scene = prepare(options.data, with_broker=options.broker, http_port=options.port, log_level=level)
    wanted = options.port or 8000
    if scene.ports.http != wanted:
        say(f"the page is at port {scene.ports.http}: {wanted} is taken, or the last run had this one")
    verdict: list[bool] = []

    async def serve(stop: asyncio.Event) -> None:
        plan = Plan(seconds=options.seconds, report=options.report, chaos=options.chaos)
        verdict.append(await perform(scene, plan, stop=stop, clock=SystemClock()))

    run_until_signal(serve)
    return 0 if verdict == [True] else 1


def _positive(text: str) -> float:
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError(f"{text} is no time to run")
    return value
