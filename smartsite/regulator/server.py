"""Run the sandbox regulator as a program."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from random import Random

from core.clock import SystemClock
from smartsite.regulator.app import create_app
from smartsite.regulator.connections import http_server
from smartsite.regulator.signature import secret_bytes
from smartsite.regulator.store import Store


def run(*, host: str, port: int, state_dir: Path, clients: Mapping[str, str], skew_s: float = 360) -> None:
    """Serve until SIGINT or SIGTERM; `clients` maps the ids of registered senders to their `whsec_...` secrets.

    Raises ConfigurationError where a secret is unusable, sqlite3.Error where `state_dir` cannot be written.
    """
    store = Store(state_dir)
    try:
        app = create_app(
            store,
            {client: secret_bytes(secret) for client, secret in clients.items()},
            clock=SystemClock(),
            random=Random(),
            skew_s=skew_s,
        )
        http_server(app, host=host, port=port).run()
    finally:
        store.close()
