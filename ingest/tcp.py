"""What the listeners for devices share: connections are accepted, counted in all and by address, and watched."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import sys
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

from core.clock import Clock, micros
from core.errors import ConfigurationError
from ingest import metrics
from ingest.credentials import lane_of
from ingest.intake import Intake
from ingest.link import Link
from ingest.quiet import Quiet

logger = logging.getLogger(__name__)

SWEEP_S = 1.0
"""Seconds between looks for connections that are overdue."""
BACKLOG = 4096
"""Connections that the system holds ready; after a power cut thousands knock at once. Linux caps it at somaxconn."""
_OTHER_FILES = 256
# A peer that vanished without a word, by power cut or in a NAT box, is noticed whatever its protocol says of silence.
_KEEPALIVE = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 20, "TCP_KEEPCNT": 4}


def allow_connections(count: int) -> None:
    """Let this process hold so many sockets; the usual soft limit of 1024 is for programs that use select()."""
    if sys.platform == "win32":  # no such limit
        return
    import resource

    wanted = count + _OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))
    if hard < wanted:
        logger.warning("the system allows fewer open files than there may be connections", extra={"limit": hard})


class Server:
    """Listens, counts connections in all and by address, and sweeps; `tasks` run until it closes.

    Of one address at most `per_address` connections are taken, of all `connections`.
    """

    source: str

    def __init__(self, *, connections: int, per_address: int, intake: Intake, clock: Clock) -> None:
        self._most = connections
        self._most_of_one = per_address
        self._addresses: Counter[str] = Counter()
        self._links: dict[Link, str] = {}  # with the address that each is counted for
        self._ports: list[int] = []
        self._accepting: list[asyncio.Server | asyncio.Task[None]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._said = Quiet(clock, every_s=60)
        self.intake = intake
        self.clock = clock
        intake.on_pressure(self._press)

    @property
    def ports(self) -> list[int]:
        """The ports that are listened on, in the order in which they were opened."""
        return list(self._ports)

    async def _open_port(
        self,
        make: Callable[[], Link],
        host: str,
        port: int,
        *,
        name: str,
        hint: str,
        tls: ssl.SSLContext | None = None,
        handshake_s: float = 0,
    ) -> None:
        """Listen on an address. Raises ConfigurationError where it cannot be had."""
        loop = asyncio.get_running_loop()
        try:
            sockets = await _sockets(host, port)
        except OSError as error:
            raise ConfigurationError(
                f"the {name} cannot listen on {host}:{port}: {error.strerror}",
                hint=f"stop what listens there, or set {hint}",
            ) from error
        if not self._ports:
            self.spawn(self._sweep())
        self._ports.append(int(sockets[0].getsockname()[1]))
        for listening in sockets:
            if tls is None:
                self._accepting.append(await loop.create_server(make, sock=listening, backlog=BACKLOG))
            else:
                listening.listen(BACKLOG)
                self._accepting.append(loop.create_task(self._accept(listening, make, tls, handshake_s)))
        logger.info(f"{name} listens", extra={"host": host, "port": self._ports[-1], "tls": tls is not None})

    async def _accept(
        self, listening: socket.socket, make: Callable[[], Link], tls: ssl.SSLContext, handshake_s: float
    ) -> None:
        """Accept connections that begin with a TLS handshake: each holds a counted place before it costs anything."""
        loop = asyncio.get_running_loop()
        with listening:
            while True:
                try:
                    accepted, address = await loop.sock_accept(listening)
                except OSError as error:  # out of descriptors, or the peer is gone already
                    if self._said.may("accept"):
                        logger.warning("a connection cannot be accepted", extra={"error": str(error)})
                    await asyncio.sleep(0.1)
                    continue
                link = make()
                link.peer = str(address[0])
                if self.admit(link):
                    self.spawn(self._agree(link, accepted, tls, handshake_s))
                else:
                    accepted.close()

    async def _agree(self, link: Link, accepted: socket.socket, tls: ssl.SSLContext, handshake_s: float) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: link, accepted, ssl=tls, ssl_handshake_timeout=handshake_s
            )
        except (OSError, TimeoutError) as error:  # ssl.SSLError is an OSError
            self.tell(link, "tls_handshake", str(error) or "not agreed in time")
            self.forget(link)

    async def quiesce(self) -> None:
        """Take no more connections and read no more; what was read may still be acknowledged."""
        self._stopping = True
        for accepting in self._accepting:
            if isinstance(accepting, asyncio.Task):
                accepting.cancel()
            else:
                accepting.close()
        self._press(True)

    async def close(self) -> None:
        """End every connection."""
        for link in list(self._links):
            link.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run beside the listener, until done or until it closes."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("a task of the listener failed", extra={"source": self.source}, exc_info=error)

    async def _sweep(self) -> None:
        while True:
            await self.clock.sleep(SWEEP_S)
            self.sweep(self.clock.monotonic())

    def sweep(self, now: float) -> None:
        """Look for connections that are overdue."""
        for link in list(self._links):
            link.check(now)

    @property
    def pressure(self) -> bool:
        """Whether connections should not be read at the moment."""
        return self.intake.pressure or self._stopping

    def micros(self) -> int:
        """Wall time, microseconds since the epoch."""
        return micros(self.clock.now())

    def admit(self, link: Link) -> bool:
        """Whether there is room for a new connection, in all and from its address."""
        if link in self._links:
            return True  # since its handshake began
        lane = lane_of(link.peer)
        if self._stopping:
            return False
        if len(self._links) >= self._most:
            self.tell(link, "too_many_connections", f"at most {self._most}")
            return False
        if self._addresses[lane] >= self._most_of_one:
            self.tell(link, "too_many_from_address", f"at most {self._most_of_one} from {lane}")
            return False
        self._links[link] = lane
        self._addresses[lane] += 1
        return True

    def forget(self, link: Link) -> None:
        """The connection's socket is gone."""
        lane = self._links.pop(link, None)
        if lane is not None:
            self._addresses[lane] -= 1
            if not self._addresses[lane]:
                del self._addresses[lane]

    def tell(self, link: Link, reason: str, detail: str) -> None:
        """Count what is wrong with a connection, and log it once a minute and peer."""
        metrics.VIOLATIONS.labels(reason).inc()
        if self._said.may((link.peer, reason)):
            logger.warning(
                "trouble with a connection",
                extra={
                    "source": self.source,
                    "peer": link.peer,
                    "devices": link.describe()[:200],
                    "reason": reason,
                    "detail": detail,
                },
            )

    def _press(self, pressure: bool) -> None:
        for link in list(self._links):
            link.press(pressure=pressure or self._stopping)


async def _sockets(host: str, port: int) -> list[socket.socket]:
    """Bound sockets, one for each address of the host. Connections inherit their options."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    sockets: list[socket.socket] = []
    try:
        for family, kind, protocol, _, address in dict.fromkeys(found):
            sockets.append(listening := socket.socket(family, kind, protocol))
            listening.setblocking(False)
            if sys.platform != "win32":  # where it means something else
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for option, value in _KEEPALIVE.items():
                if hasattr(socket, option):
                    listening.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
            listening.bind(address)
    except OSError:
        for listening in sockets:
            listening.close()
        raise
    return sockets
