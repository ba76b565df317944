"""Where a demo keeps its things, and the ports it uses: the same ones in every run, as far as they are free."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import socket
import tempfile
from base64 import b64encode
from dataclasses import asdict, dataclass
from pathlib import Path

from core.errors import Unavailable

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


class PortBook:
    """Ports that this process has set apart for its children, known to every other demo of this user.

    A port whose server was killed is free for a moment. Without the book another demo that starts just then would take
    it, and simulated devices would talk to the wrong platform. The entries are kernel locks: they go with us.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or Path(tempfile.gettempdir()) / f"smartsite-ports-{os.getuid()}"
        self._folder.mkdir(mode=0o700, exist_ok=True)
        self._entries: list[int] = []

    def take(self, port: int) -> bool:
        """Sets a port apart; False when somebody listens on it or another demo has it."""
        entry = os.open(self._folder / str(port), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(entry, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(entry)
            return False
        self._entries.append(entry)
        return is_free(port)

    def close(self) -> None:
        """Gives all ports back."""
        while self._entries:
            os.close(self._entries.pop())


def is_free(port: int) -> bool:
    """Whether one can listen on the port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_LOOPBACK, port))
        except OSError:
            return False
    return True


def choose_ports(memory: Path, *, http: int | None, book: PortBook) -> Ports:
    """The ports of the last run (kept in the file ``memory``) where they can still be had, else the next ones.

    ``http`` is the wish of the command line for the page's port. Raises Unavailable when there is no port near one.
    """
    wanted = {**_USUAL, **(json.loads(memory.read_text()) if memory.exists() else {})}
    if http is not None:
        wanted["http"] = http
    ports = Ports(**{name: _next(name, first, book) for name, first in wanted.items()})
    memory.write_text(json.dumps(asdict(ports)) + "\n")
    return ports


def _next(name: str, first: int, book: PortBook) -> int:
    for port in range(first, min(first + _TRIES, 65536)):
        if book.take(port):
            return port
    raise Unavailable(f"no free port for {name} from {first} on", hint="stop what listens there")


def secret(path: Path) -> str:
    """A secret in the form of Standard Webhooks, made at the first call and kept in the file ``path``."""
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(f"whsec_{b64encode(secrets.token_bytes(32)).decode()}\n")
    return path.read_text().strip()
