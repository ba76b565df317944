"""``smartsite deliveries``: what did not reach a regulator, and sending it again."""

from __future__ import annotations

import argparse
import asyncio
import getpass

from core.settings import Settings

HELP = "show and send again what did not reach a regulator"
DESCRIPTION = """\
Shows the deliveries that stopped: refused by the regulator, of a site without registration data, given up, or uncertain
because a regulator without idempotency keys lost its reply. With --resend they are sent again under the same key, once
the cause is mended: an uncertain one only after asking the regulator whether it has it. If it has, --confirm settles it
(`smartsite reconcile` tells where the regulator can be asked).
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--target", metavar="NAME", help="only those of one target")
    parser.add_argument("--state", choices=("config_error", "uncertain", "dead"), help="only those in one state")
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--resend", nargs="*", type=int, metavar="ID", help="send these again; without ID all shown")
    choice.add_argument(
        "--confirm", nargs="+", type=int, metavar="ID", help="the regulator has these uncertain ones: not to be sent"
    )


def run(options: argparse.Namespace, settings: Settings) -> int:
    from core import logs
    from smartsite.database_part import database_at_hand

    logs.setup(settings.log, process="deliveries")
    with database_at_hand(settings) as reachable:
        return asyncio.run(_deliveries(reachable, options))


async def _deliveries(settings: Settings, options: argparse.Namespace) -> int:
    from alerts import outbox
    from core.clock import SystemClock
    from core.database import connect
    from core.errors import NotFound
    from sensors.registry import load_registry
    from smartsite.console import say

    async with await connect(settings.database, application="deliveries") as connection:
        shown = [
            delivery
            for delivery in await outbox.stopped(connection)
            if options.target in (None, delivery.target) and options.state in (None, delivery.state)
        ]
        if options.resend is None and options.confirm is None:
            for item in shown:
                say(
                    f"{item.id}  alert {item.alert_id} {item.phase} to {item.target}  {item.created_at:%Y-%m-%d %H:%M}Z"
                    f"  {item.state}: {item.reason}"
                )
            say(f"{len(shown)} stopped")
            return 0
        known = {delivery.id for delivery in shown}
        unknown = sorted(set(options.resend or options.confirm or []) - known)
        if unknown:
            raise NotFound(f"not among the stopped deliveries: {', '.join(map(str, unknown))}")
        for number in options.confirm or []:
            await outbox.confirm(connection, number, getpass.getuser(), "smartsite deliveries --confirm", SystemClock())
            say(f"{number}: accepted")
        if options.confirm:
            return 0
        registry = await load_registry(connection)
        for number in options.resend or sorted(known):
            state = await outbox.resend(connection, number, registry, settings.alerts.targets, SystemClock())
            say(f"{number}: {state}")
    return 0
