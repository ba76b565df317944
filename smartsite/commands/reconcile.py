"""``smartsite reconcile``: what we say we reported against what the regulator says it has."""

from __future__ import annotations

import argparse
import asyncio
import json
from datetime import UTC, datetime, timedelta

from core.settings import Settings, TargetSettings

HELP = "compare what was reported with what a regulator has"
DESCRIPTION = """\
Asks a regulator for what it has of us and lists where that differs from our own record: reports that we say it
accepted and it does not have (missing), that it has and we say are not there (unsaid) or know nothing of (unknown),
that it has more than once (doubled), and results that differ (result). Exit status 1 where anything differs. Only a
regulator whose API tells what it has can be asked; the reference API does.
"""
_DAYS = 1


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment.astimezone() if moment.tzinfo is None else moment


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", metavar="TARGET", help="name of the target (alerts.targets)")
    parser.add_argument(
        "--from", dest="since", type=_moment, metavar="TIME", help="start, ISO 8601, local time (a day before the end)"
    )
    parser.add_argument("--to", dest="until", type=_moment, metavar="TIME", help="end (now)")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(options: argparse.Namespace, settings: Settings) -> int:
    from core import logs
    from core.errors import NotFound
    from smartsite.database_part import database_at_hand

    logs.setup(settings.log, process="reconcile")
    target = next((target for target in settings.alerts.targets if target.name == options.target), None)
    if target is None:
        names = ", ".join(target.name for target in settings.alerts.targets) or "none is configured"
        raise NotFound(f"there is no target {options.target}", hint=f"alerts.targets: {names}")
    with database_at_hand(settings) as reachable:
        return asyncio.run(_reconcile(reachable, target, options))


async def _reconcile(settings: Settings, target: TargetSettings, options: argparse.Namespace) -> int:
    import httpx

    from alerts import adapters
    from alerts.adapters.base import ListingAdapter
    from alerts.reconcile import reconcile
    from core.clock import SystemClock
    from core.database import connect
    from core.errors import InvalidInput
    from core.evidence import EvidenceStore
    from smartsite.console import say

    clock = SystemClock()
    adapter = adapters.create(target, evidence=EvidenceStore(settings.evidence_dir), clock=clock)
    if not isinstance(adapter, ListingAdapter):
        raise InvalidInput(f"the adapter {target.adapter} of target {target.name} cannot ask what the regulator has")
    until = options.until or clock.now()
    since = options.since or until - timedelta(days=_DAYS)
    if since >= until:
        raise InvalidInput("--from is not before --to")
    async with (
        await connect(settings.database, application="reconcile") as connection,
        httpx.AsyncClient(trust_env=False) as client,
    ):
        report = await reconcile(connection, client, adapter, target=target.name, since=since, until=until, clock=clock)
    if options.json:
        say(json.dumps(report.as_json(), ensure_ascii=False, indent=2))
        return 1 if report.differences else 0
    for item in report.differences:
        about = f"delivery {item.delivery}, alert {item.alert} {item.phase}" if item.delivery else item.key
        say(f"{item.kind}  {about}: {item.detail}")
    span = " to ".join(f"{moment.astimezone(UTC):%Y-%m-%d %H:%M}Z" for moment in (report.since, report.until))
    say(
        f"{report.target}, {span}: {report.ours} reported, {report.theirs} held, {report.agreed} agree, "
        f"{len(report.differences)} differ"
    )
    return 1 if report.differences else 0
