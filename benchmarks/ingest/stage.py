"""The set: a PostgreSQL of the benchmark's own, a fresh database a run, devices, rules, processes as in production."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from benchmarks.ingest.mosquitto import Mosquitto
from benchmarks.ingest.peers import CHANNELS
from benchmarks.processes import Processes
from core.clock import SystemClock
from core.settings import DatabaseSettings, Settings
from sensors.credentials import generate_secret, hash_secret
from sensors.profiles import load_profiles
from smartsite.postgres import EmbeddedPostgres
from smartsite.schema import bring_up_to_date

KIND = "dust"
SITES = 50
_TEMPLATE = "bench_template"
_READY_S = 30.0


def rules_text() -> str:
    """Three rules a channel, none of which these readings break: a threshold, a duration, a window's mean."""
    parts = []
    for channel in load_profiles(None)[KIND].channels:
        if channel.name not in CHANNELS:
            continue
        assert channel.minimum is not None
        assert channel.maximum is not None
        level = channel.minimum + 0.98 * (channel.maximum - channel.minimum)
        common = (
            f'severity = "major"\nscope = {{ device_kind = "{KIND}" }}\nmetric = "{channel.name}"\n'
            f'unit = "{channel.unit}"\nraise_above = {level}\n'
        )
        aggregate = "energy_mean" if channel.noise else "mean"
        for kind, more in (
            ("threshold", ""),
            ("threshold", 'duration = "1 min"\n'),
            ("window", f'window = "1 min"\naggregate = "{aggregate}"\nlateness = "10 s"\n'),
        ):
            name = f"{channel.name}-{len(parts) % 3}"
            parts.append(
                f'[[rules]]\nid = "{name}"\nname = "{name}"\nname_en = "{name}"\nkind = "{kind}"\n{common}{more}'
            )
    return "\n".join(parts)


class Stage(Processes):
    """Holds the server and the template database with `devices` dust stations on fifty sites."""

    def __init__(self, folder: Path, devices: int) -> None:
        super().__init__(folder)
        self.secret = generate_secret()
        self.names = [f"s{number % SITES}/d{number}" for number in range(devices)]
        self.rules = folder / "rules.toml"
        self.postgres = EmbeddedPostgres(folder)
        self._admin = ""
        self._number = 0

    @property
    def postgres_pid(self) -> int:
        """The server's process."""
        assert self.postgres.pid is not None
        return self.postgres.pid

    async def open(self) -> None:
        """Start the server and furnish the template."""
        self.rules.write_text(rules_text())
        self._admin = self.postgres.start()
        with psycopg.connect(self._admin, autocommit=True) as admin:
            admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(_TEMPLATE)))
        url = self._url(_TEMPLATE)
        await bring_up_to_date(Settings(database=DatabaseSettings(url=url)), clock=SystemClock())  # type: ignore[arg-type]
        with psycopg.connect(url) as connection:
            connection.execute(
                "INSERT INTO site (code, name) SELECT 's' || n, 's' || n FROM generate_series(0, %s) n", [SITES - 1]
            )
            connection.execute(
                "INSERT INTO device (site_id, code, kind, name, secret_hash)"
                " SELECT s.id, split_part(u.name, '/', 2), %s, u.name, %s"
                " FROM unnest(%s::text[]) u (name) JOIN site s ON s.code = split_part(u.name, '/', 1)",
                [KIND, hash_secret(self.secret), self.names],
            )

    def close(self) -> None:
        """Stop the server."""
        self.postgres.stop()

    def _url(self, name: str) -> str:
        return self._admin.rpartition("/")[0] + f"/{name}"

    @contextlib.contextmanager
    def database(self) -> Iterator[str]:
        """Address of a fresh copy of the template."""
        self._number += 1
        name = f"bench_{self._number}"
        with psycopg.connect(self._admin, autocommit=True) as admin:
            admin.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(_TEMPLATE))
            )
            admin.execute("CHECKPOINT")
        yield self._url(name)
        # On a connection of its own: the server may have been killed meanwhile.
        with psycopg.connect(self._admin, autocommit=True) as admin:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    @contextlib.asynccontextmanager
    async def rooms(
        self, url: str, *, workers: int = 1, targets: Sequence[Mapping[str, Any]] = (), **ingest: str
    ) -> AsyncIterator[tuple[dict[str, int], int]]:
        """Ingest and alerts on a database: their process ids by name, and the port of ingest's endpoint."""
        environment = {
            "SMARTSITE_DATABASE__URL": url,
            "SMARTSITE_DATA_DIR": str(self.folder / "data"),
            "SMARTSITE_ALERTS__RULES": json.dumps([str(self.rules)]),
            "SMARTSITE_ALERTS__TARGETS": json.dumps(targets),
            "SMARTSITE_INGEST__MQTT_HOST": "127.0.0.1",
            "SMARTSITE_INGEST__MQTT_PORT": "0",
            "SMARTSITE_INGEST__MAX_CONNECTIONS": "20000",
            "SMARTSITE_INGEST__ADDRESS_CONNECTIONS": "20000",
            "SMARTSITE_LOG__LEVEL": "warning",
            **{f"SMARTSITE_INGEST__{name.upper()}": value for name, value in ingest.items()},
        }
        async with contextlib.AsyncExitStack() as stack:
            pids = {}
            for number in range(1, workers + 1):
                own = environment | {"SMARTSITE_INGEST__WORKER": str(number)}
                process = await stack.enter_async_context(self.process("-m", "smartsite", "run", "ingest", **own))
                pids["ingest" if number == 1 else f"ingest_{number}"] = process.pid
            alerts = await stack.enter_async_context(self.process("-m", "smartsite", "run", "alerts", **environment))
            detail = await self._ready(url, workers)
            yield pids | {"alerts": alerts.pid}, detail.get("mqtt_port", 0)

    async def _ready(self, url: str, workers: int) -> dict[str, Any]:
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            deadline = time.monotonic() + _READY_S
            while time.monotonic() < deadline:
                rows = await (await connection.execute("SELECT room, detail FROM worker")).fetchall()
                reading = [
                    detail
                    for room, detail in rows
                    if room == "ingest" and detail.get("broker_connected", detail.get("amqp_connected", True))
                ]
                if len(reading) == workers and any(room == "alerts" for room, _ in rows):
                    return dict(reading[0])
                await asyncio.sleep(0.1)
        raise TimeoutError(f"ingest and alerts did not start; see {self.log}")

    @contextlib.asynccontextmanager
    async def broker(self, access: str = "allow_anonymous true") -> AsyncIterator[tuple[int, int]]:
        """A fresh Mosquitto, set up as docs/protocol-mqtt.md says: process id and port."""
        folder = self.folder / "mosquitto"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        broker = Mosquitto(folder, access)
        try:
            await broker.start()
            yield broker.pid, broker.port
        finally:
            await broker.end()
