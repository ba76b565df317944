"""``smartsite verify``: is a signed report as the platform signed it?"""

from __future__ import annotations

import argparse
from pathlib import Path

from core.settings import Settings

HELP = "tell whether a signed report was changed"
DESCRIPTION = """\
Checks the seal of an inspection's report as it was downloaded, without database or server: that no byte was changed
since it was signed, and by whose key. With --key it must be that one: the public key in hex, from GET
/api/v1/inspections/signing-key; without, the key of this platform where it has one. Exit status 1 where the report was
changed, carries no seal or is signed by another key.
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="the report (HTML)")
    parser.add_argument("--key", metavar="HEX", help="public key that must have signed it")


def run(options: argparse.Namespace, settings: Settings) -> int:
    from alerts.inspection.report import check
    from core.errors import InvalidInput
    from core.signing import SigningKey
    from smartsite.console import say

    try:
        seal = check(options.file.read_bytes())
    except OSError as error:
        raise InvalidInput(f"{options.file} cannot be read: {error.strerror}") from error
    if not seal.intact:
        say(f"CHANGED since it was signed by {seal.key_id}")
        return 1
    expected = options.key
    if expected is None and settings.signing_key_file.exists():
        expected = SigningKey.load(settings.signing_key_file).public
    if expected is None:
        say(f"unchanged since it was signed by {seal.key_id}; whose key that is must be known otherwise (--key)")
        return 0
    if expected.lower() != seal.key:
        say(f"unchanged since it was signed, but by another key: {seal.key_id}")
        return 1
    say(f"unchanged since it was signed by {seal.key_id}")
    return 0
