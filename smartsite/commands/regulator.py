"""``smartsite regulator``: the sandbox that stands for a regulator's system."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from core.settings import Settings

HELP = "run a sandbox regulator to deliver to"
DESCRIPTION = """\
A small server that receives violations as the reference API of regulators describes: it checks signature, clock skew
and schema, gives receipts and asynchronous results, and shows what it received on its page. It can be told to be slow,
to refuse, to fail, to drop its replies or to know no idempotency key (PUT
/sandbox/behaviour; /openapi.json describes it).
"""
SECRET_VARIABLE = "SMARTSITE_REGULATOR_SECRET"  # noqa: S105 - a name, not a value


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=8900, help="port to listen on (%(default)s)")
    parser.add_argument("--state", type=Path, metavar="DIR", help="folder of what it received (DATA_DIR/regulator)")
    parser.add_argument(
        "--client",
        default="smartsite",
        metavar="ID",
        help=f"sender it knows; its secret (whsec_...) is {SECRET_VARIABLE}",
    )


def run(options: argparse.Namespace, settings: Settings) -> int:
    from core import logs
    from core.errors import ConfigurationError
    from smartsite.regulator.server import run as serve

    secret = os.environ.get(SECRET_VARIABLE)
    if not secret:
        # On the command line every user of the machine could read it.
        raise ConfigurationError(
            "the sandbox has no secret to check signatures with",
            hint=f"set {SECRET_VARIABLE} to the whsec_... secret of the target that delivers to it",
        )
    logs.setup(settings.log, process="regulator")
    serve(
        host=options.host,
        port=options.port,
        state_dir=options.state or settings.data_dir / "regulator",
        clients={options.client: secret},
    )
    return 0
