"""Which process judges which sites: lanes of sites, each held by one process, shared out evenly by database locks.

A lane is every n-th shard of the log, n being `alerts.engines`. A process that holds a lane holds the locks of its
shards on the session that writes its transitions: whoever lost the session can write nothing, and what a dead process
held is free at once. A lock of its own for each process tells the others how many there are, so that each takes its
share.
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import Any

import psycopg

from core import log
from core.sql import queries
from sensors.registry import Registry

_SQL = queries("alerts")

SHARDS_SPACE = 0x5AFE0B1
"""First key of the locks of shards; the second is the shard."""

_PRESENCE_SPACE = 0x5AFE0B2
# Earlier releases held this one alone: they and this one never judge at the same time.
_WHOLE = 0x5317E0A1


class Team:
    """What the lanes of one process know of each other, and by locks of the other processes."""

    def __init__(self, engines: int) -> None:
        self.engines = engines
        self._number = secrets.randbelow(2**31 - 1) + 1
        self._held: set[int] = set()

    def shards(self, lane: int) -> list[int]:
        """The shards of a lane."""
        return [shard for shard in range(log.SHARDS) if shard % self.engines == lane]

    def has(self, lane: int, site: int) -> bool:
        """Whether the site is one of the lane's."""
        return log.shard_of(site) % self.engines == lane

    def part(self, registry: Registry, lane: int) -> Registry:
        """What the registry has on the sites of a lane."""
        if self.engines == 1:
            return registry
        return replace(
            registry,
            devices={key: one for key, one in registry.devices.items() if self.has(lane, one.site_id)},
            cameras={key: one for key, one in registry.cameras.items() if self.has(lane, one.site_id)},
        )

    async def take(self, connection: psycopg.AsyncConnection[Any], lane: int) -> bool:
        """Take a lane on this session, if it is free and not beyond the process's share."""
        self.release(lane)
        await connection.execute(_SQL["team_present"], {"space": _PRESENCE_SPACE, "number": self._number})
        if len(self._held) >= await self._share(connection):
            return False
        row = await (await connection.execute(_SQL["team_whole"], {"key": _WHOLE})).fetchone()
        if row is None or not row[0]:
            return False
        shards = self.shards(lane)
        cursor = await connection.execute(_SQL["team_shards"], {"space": SHARDS_SPACE, "shards": shards})
        taken = [shard for shard, held in await cursor.fetchall() if held]
        if len(taken) < len(shards):
            await connection.execute(_SQL["team_let_go"], {"space": SHARDS_SPACE, "shards": taken})
            await connection.execute(_SQL["team_let_whole_go"], {"key": _WHOLE})
            return False
        self._held.add(lane)
        return True

    async def is_too_much(self, connection: psycopg.AsyncConnection[Any]) -> bool:
        """Whether the process holds more than its share, since another one has come."""
        return len(self._held) > await self._share(connection)

    async def give(self, connection: psycopg.AsyncConnection[Any], lane: int) -> None:
        """Leave a lane to others; what was judged is stored."""
        await connection.execute(_SQL["team_let_go"], {"space": SHARDS_SPACE, "shards": self.shards(lane)})
        await connection.execute(_SQL["team_let_whole_go"], {"key": _WHOLE})
        self.release(lane)

    def release(self, lane: int) -> None:
        """The session that held a lane is gone, and its locks with it."""
        self._held.discard(lane)

    async def _share(self, connection: psycopg.AsyncConnection[Any]) -> int:
        row = await (await connection.execute(_SQL["team_count"], {"space": _PRESENCE_SPACE})).fetchone()
        present = max(1, row[0] if row else 1)
        return -(-self.engines // present)
