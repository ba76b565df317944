"""Ports that a test keeps while nobody listens on them: a server of its own is to come, or to come back.

One that the kernel chose (port 0) is the kernel's again as soon as it is closed, and may be the near end of somebody's
connection a moment later. These lie below what it gives away, and each test process keeps its own.
"""

from __future__ import annotations

import random
from pathlib import Path

from smartsite.demo.layout import PortBook

_LOWEST = 12_000
_book = PortBook()


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on and that no other test is given."""
    given_away = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = random.randrange(_LOWEST, given_away)
        if _book.take(port):
            return port
