"""The ``smartsite`` command: reads options and settings, runs a subcommand, turns errors into text and exit status."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module, metadata
from pathlib import Path
from typing import Protocol, cast

from core.errors import ConfigurationError, SmartsiteError
from core.settings import Settings, load_settings
from smartsite.console import complain
from smartsite.process import EXIT_CONFIGURATION

#: In the order of the help text.
COMMANDS = (
    "demo",
    "up",
    "run",
    "migrate",
    "provision",
    "doctor",
    "db",
    "export",
    "config",
    "rules",
    "audit",
    "deliveries",
    "notices",
    "reconcile",
    "verify",
    "regulator",
    "simulate",
    "cameras",
    "vision",
)

EPILOG = """\
Settings come from smartsite.toml (or --config FILE, or SMARTSITE_CONFIG) and from SMARTSITE_SECTION__FIELD variables,
which win. `smartsite config` shows what is in force. Exit status: 0 all well, 1 it failed, 2 the command line is wrong,
78 the settings are wrong.
"""


class Command(Protocol):
    """What a module of smartsite.commands offers."""

    HELP: str
    DESCRIPTION: str

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        """Adds the command's own arguments."""

    def run(self, options: argparse.Namespace, settings: Settings) -> int:
        """Does it; returns the exit status."""


def command(name: str) -> Command:
    """The module of a subcommand."""
    return cast("Command", import_module(f"smartsite.commands.{name}"))


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = argparse.ArgumentParser(
        prog="smartsite",
        description="Smart construction sites: readings and video in, violations out to the regulator, seen live.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"smartsite {metadata.version('smartsite')}")
    top.add_argument("--config", type=Path, metavar="FILE", help="settings file (TOML) instead of smartsite.toml")
    subparsers = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name in COMMANDS:
        module = command(name)
        sub = subparsers.add_parser(
            name,
            help=module.HELP,
            description=module.DESCRIPTION,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.arguments(sub)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the command; returns the exit status."""
    options = parser().parse_args(arguments)
    if options.config is not None:
        # Processes that we start read the same file.
        os.environ["SMARTSITE_CONFIG"] = str(options.config.resolve())
    try:
        settings = load_settings(options.config)
        return command(options.command).run(options, settings)
    except ConfigurationError as error:
        _explain(error)
        return EXIT_CONFIGURATION
    except SmartsiteError as error:
        _explain(error)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of our output (`| head`) is gone: nothing is wrong, but the interpreter must not flush again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _explain(error: SmartsiteError) -> None:
    complain(f"smartsite: error: {error.message}")
    if error.hint:
        complain(f"  hint: {error.hint}")
