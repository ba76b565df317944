"""Sends hostile inputs over many connections, and sees that each connection comes to its end."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import Counter
from collections.abc import AsyncIterator

from benchmarks.fuzz.mutations import Hostile

PATIENCE_S = 30.0
"""Seconds in which an answer, or the end of a connection that was closed from here, must come."""
PAYLOADS, FRAMES = 50, 50
"""Inputs on one connection, where they do not end it."""


class Attack:
    """`found` counts inputs, connections, and what must not happen: `stalls`."""

    def __init__(self, hostile: Hostile, *, mqtt_port: int, hj212_port: int) -> None:
        self._hostile = hostile
        self._mqtt = mqtt_port
        self._hj212 = hj212_port
        self.found: Counter[str] = Counter()

    async def run(self, inputs: int, *, at_once: int = 40, rate: float = 0) -> None:
        """Send that many inputs over `at_once` connections at a time; `rate` a second at most, 0: as they go."""
        loop = asyncio.get_running_loop()
        started = loop.time()

        async def work() -> None:
            while self.found["inputs"] < inputs:
                if rate and (ahead := self.found["inputs"] / rate - (loop.time() - started)) > 0:
                    await asyncio.sleep(ahead)
                how = self._hostile.random.random()
                # By connections; each of the latter two brings many inputs.
                await (self.payloads() if how < 0.02 else self.frames() if how < 0.04 else self.session())

        await asyncio.gather(*(work() for _ in range(at_once)))

    async def session(self) -> None:
        """One bent MQTT session; whatever it is, the endpoint closes it when we do."""
        self.found["inputs"] += 1
        data = self._hostile.session()
        async with self._connection(self._mqtt) as (reader, writer):
            for piece in self._hostile.pieces(data):
                if writer.transport.is_closing():
                    break  # it has been told off already
                writer.write(piece)
                await asyncio.sleep(0)
            if not writer.transport.is_closing():
                writer.write_eof()
            while await reader.read(65_536):
                pass

    async def payloads(self) -> None:
        """Good packets around bad payloads: every one is acknowledged."""
        self.found["inputs"] += PAYLOADS
        async with self._connection(self._mqtt) as (reader, writer):
            writer.write(self._hostile.connect(4))
            packets = [self._hostile.publish(self._hostile.payload()[:200_000]) for _ in range(PAYLOADS)]
            writer.write(b"".join(packets))
            await reader.readexactly(4 + 4 * PAYLOADS)
            writer.write(b"\xe0\0")
            while await reader.read(65_536):
                pass

    async def frames(self) -> None:
        """Bad HJ 212 frames between two good ones, which are acknowledged."""
        self.found["inputs"] += FRAMES
        async with self._connection(self._hj212) as (reader, writer):
            writer.write(self._hostile.good_frame())
            await reader.readuntil(b"\r\n")
            writer.write(b"".join(self._hostile.frame() for _ in range(FRAMES)))
            # What has no end ends here; the next frame is whole again.
            writer.write(b"\r\n" + self._hostile.good_frame())
            seen = b""
            while b"CN=9014" not in seen:
                piece = await reader.read(65_536)
                if not piece:
                    break
                seen += piece
            else:
                writer.write_eof()
                while await reader.read(65_536):
                    pass

    @contextlib.asynccontextmanager
    async def _connection(self, port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        self.found["connections"] += 1
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            async with asyncio.timeout(PATIENCE_S):
                yield reader, writer
        except TimeoutError:
            self.found["stalls"] += 1
        except asyncio.IncompleteReadError:
            self.found["cut_short"] += 1
        except (ConnectionError, OSError):
            self.found["resets"] += 1
        finally:
            writer.transport.abort()
