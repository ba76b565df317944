"""``smartsite audit verify | head | key``: whether the audit log is as it was written."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from core.settings import Settings

HELP = "tell whether the audit log was changed, and sign its head"
DESCRIPTION = """\
The audit log is a hash chain: `verify` walks it and compares it with the signed heads that were written day by day, so
that a row that was changed, removed, slipped in or cut off at the end shows. Exit status 1 where one does.
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    verify = actions.add_parser("verify", help="walk the chain and compare it with the signed heads")
    verify.add_argument("--heads", type=Path, metavar="DIR", help="folder of the heads, such as a copy kept elsewhere")
    verify.add_argument(
        "--public-key", action="append", default=[], metavar="HEX", help="a key to trust, instead of this machine's"
    )
    actions.add_parser("head", help="write today's signed head now, unless it is there")
    actions.add_parser("key", help="show the public key, to be kept where the heads are checked")


def run(options: argparse.Namespace, settings: Settings) -> int:
    from core.signing import SigningKey
    from smartsite.console import say
    from smartsite.database_part import database_at_hand

    if options.action == "key":
        key = SigningKey.load(settings.signing_key_file)
        say(f"{key.public}  ({key.id})")
        return 0
    with database_at_hand(settings) as reachable:
        work = _verify if options.action == "verify" else _head
        return asyncio.run(work(options, reachable))


async def _head(_options: argparse.Namespace, settings: Settings) -> int:
    from api import heads
    from core.clock import SystemClock
    from core.database import connect
    from core.signing import SigningKey
    from smartsite.console import say

    key = SigningKey.load(settings.signing_key_file)
    async with await connect(settings.database, application="audit") as connection:
        path = await heads.write(connection, settings.audit_dir, key, SystemClock())
    say(f"wrote {path}" if path else "nothing to write: today's head is there, or the log is empty")
    return 0


async def _verify(options: argparse.Namespace, settings: Settings) -> int:
    from api import audit, heads
    from core.database import connect
    from core.signing import SigningKey
    from smartsite.console import complain, say

    folder = options.heads or settings.audit_dir
    keys = options.public_key or [SigningKey.load(settings.signing_key_file).public]
    found, faults = heads.read(folder, keys)
    async with await connect(settings.database, application="audit") as connection:
        verdict = await audit.verify(connection)
        faults += await heads.compare(connection, found)
    for fault in faults:
        complain(f"{fault.file}: {fault.reason}")
    if verdict.broken_at is not None:
        complain(f"row {verdict.broken_at} of the audit log is not as it was written, or the one before it is gone")
        return 1
    say(f"{verdict.rows} rows, the chain holds; head {verdict.head}")
    say(f"{len(found)} signed heads in {folder}" if found else f"no signed head in {folder}: the end is not proven")
    return 1 if faults else 0
