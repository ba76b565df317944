"""A running ingest with a registry of two sites: what most tests here stand on."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import psycopg

from core.clock import SystemClock
from core.database import connect
from core.settings import IngestSettings, Settings
from ingest.service import serve
from sensors.credentials import hash_secret
from tests.support.wait import eventually

SECRET = "s3cret-of-the-device"
# The cheapest hash would do, but devices come with these: made once, it costs the tests one hash.
HASH = hash_secret(SECRET)


def with_ingest(settings: Settings, **fields: Any) -> Settings:
    """Settings whose endpoint listens on a free local port."""
    chosen = {"mqtt_host": "127.0.0.1", "mqtt_port": 0, **fields}
    return settings.model_copy(update={"ingest": IngestSettings(**chosen)})


async def furnish(url: str, *, devices: int = 3) -> None:
    """Sites A and B; on A devices d1.. of kind dust and the hoist h1, on B one dust station b1."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute("INSERT INTO site (code, name) VALUES ('A', '一号工地'), ('B', '二号工地')")
        rows = [("A", f"d{number}", "dust") for number in range(1, devices + 1)]
        for site, code, kind in [*rows, ("A", "h1", "hoist"), ("B", "b1", "dust")]:
            await connection.execute(
                "INSERT INTO device (site_id, code, kind, name, secret_hash)"
                " SELECT id, %s, %s, %s, %s FROM site WHERE code = %s",
                [code, kind, code, HASH, site],
            )


class Plant:
    """A running service and a look into its database."""

    def __init__(self, settings: Settings, connection: psycopg.AsyncConnection) -> None:
        self.settings = settings
        self.connection = connection
        self.port = 0

    async def rows(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        return await (await self.connection.execute(query, parameters)).fetchall()  # type: ignore[arg-type]

    async def value(self, query: str, *parameters: Any) -> Any:
        """The first column of the first row, None without rows."""
        found = await self.rows(query, *parameters)
        return found[0][0] if found else None

    async def counts(self) -> dict[str, int]:
        """The row of ingest_count."""
        names = ("messages", "stored", "filled", "duplicates", "quarantined")
        found = await self.rows(f"SELECT {', '.join(names)} FROM ingest_count")
        return dict(zip(names, found[0], strict=True)) if found else dict.fromkeys(names, 0)

    async def reasons(self) -> list[str]:
        """Reasons of the quarantine, oldest first."""
        return [reason for (reason,) in await self.rows("SELECT reason FROM quarantine ORDER BY id")]


@contextlib.asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Plant]:
    """The service in this loop, until the end of the block."""
    stop = asyncio.Event()
    # The row of one before stays where the database was too slow for its good-bye.
    began = SystemClock().now()
    service = asyncio.create_task(serve(settings, stop))
    async with await connect(settings.database, application="test") as connection:
        plant = Plant(settings, connection)

        async def ready() -> Any:
            if service.done():
                service.result()
            return await plant.value(
                "SELECT detail FROM worker WHERE name = %s AND started_at >= %s",
                f"ingest-{settings.ingest.worker}",
                began,
            )

        detail = await eventually(ready, timeout=60)
        plant.port = detail.get("mqtt_port", 0)
        try:
            yield plant
        finally:
            stop.set()
            await asyncio.wait_for(service, 20)
