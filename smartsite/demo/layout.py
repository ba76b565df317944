"""Where a demo keeps its things, and the ports it uses: the same ones in every run, as far as they are free."""

from __future__ import annotations

import json
import secrets
import socket
from base64 import b64encode
from dataclasses import asdict, dataclass
from pathlib import Path

_LOOPBACK = "127.0.0.1"
#: Where the search for free ports begins, by name.
_USUAL = {"http": 8000, "mqtt": 1883, "regulator": 8900, "cameras": 8554, "live": 8091}
_TRIES = 200


@dataclass(frozen=True, slots=True)
class Ports:
    """TCP ports on 127.0.0.1: the page, MQTT (own endpoint or broker), sandbox regulator, cameras, live video."""

    http: int
    mqtt: int
    regulator: int
    cameras: int
    live: int


def is_free(port: int) -> bool:
    """Whether one can listen on the port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_LOOPBACK, port))
        except OSError:
            return False
    return True


def choose_ports(memory: Path, *, http: int | None) -> Ports:
    """The ports of the last run (kept in the file ``memory``) where they are still free, else the next free ones.

    ``http`` is the wish of the command line for the page's port.
    """
    wanted = {**_USUAL, **(json.loads(memory.read_text()) if memory.exists() else {})}
    if http is not None:
        wanted["http"] = http
    taken: set[int] = set()
    for name, first in wanted.items():
        wanted[name] = next_free(first, taken)
        taken.add(wanted[name])
    ports = Ports(**wanted)
    memory.write_text(json.dumps(asdict(ports)) + "\n")
    return ports


def next_free(first: int, taken: set[int]) -> int:
    """The first free port from ``first`` on that is not ``taken``; any free one when there is none near."""
    for port in range(first, min(first + _TRIES, 65536)):
        if port not in taken and is_free(port):
            return port
    with socket.socket() as probe:
        probe.bind((_LOOPBACK, 0))
        return int(probe.getsockname()[1])


def secret(path: Path) -> str:
    """A secret in the form of Standard Webhooks, made at the first call and kept in the file ``path``."""
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(f"whsec_{b64encode(secrets.token_bytes(32)).decode()}\n")
    return path.read_text().strip()
