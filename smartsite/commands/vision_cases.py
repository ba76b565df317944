"""``smartsite vision cases``: reviewed alerts as photographs to train with."""

from __future__ import annotations

import argparse
import asyncio
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from core.settings import Settings

if TYPE_CHECKING:
    from smartsite.cases import Written

HELP = "write reviewed alerts as labelled photographs that `train` takes in"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder with images/ and labels/, brought in line"
    )
    parser.add_argument("--verdict", choices=["false_alarm", "confirmed", "all"], default="all", help="(%(default)s)")
    parser.add_argument("--since", type=datetime.fromisoformat, metavar="DATE", help="reviewed since then (ISO 8601)")


def run(options: argparse.Namespace, settings: Settings) -> int:
    from smartsite.console import say
    from smartsite.database_part import database_at_hand

    with database_at_hand(settings) as reachable:
        written = asyncio.run(_export(options, reachable))
    say(f"{written.cases} cases in {options.out}")
    if written.gone:
        say(f"{written.gone} more were reviewed, whose frames are not kept any more")
    if written.taken_out:
        say(f"{written.taken_out} cases of earlier exports were taken out: their frames are not kept any more")
    return 0


async def _export(options: argparse.Namespace, settings: Settings) -> Written:
    from api import audit
    from core.clock import SystemClock
    from core.database import connect
    from core.evidence import EvidenceStore
    from smartsite.cases import export

    since = None if options.since is None else options.since.astimezone()
    async with await connect(settings.database, application="cases") as connection:
        written = await export(
            connection,
            EvidenceStore(settings.evidence_dir),
            options.out,
            verdicts=("false_alarm", "confirmed") if options.verdict == "all" else (options.verdict,),
            since=since,
            score=settings.vision.camera.score,
        )
        # Originals leave the store: that is a look at each of them.
        await audit.append(
            connection,
            at=SystemClock().now(),
            actor="command-line",
            action="evidence.export",
            thing="evidence:cases",
            detail={"alerts": list(written.alerts), "folder": str(options.out.absolute())},
        )
    return written
