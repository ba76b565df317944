"""The set: a PostgreSQL of the benchmark's own with a city in it, and the rooms as processes."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from benchmarks.history import FILL, WAVE
from benchmarks.processes import Processes
from core.clock import SystemClock
from core.database import connect
from core.settings import DatabaseSettings, Settings
from sensors.profiles import load_profiles
from sensors.rollup_work import Rollups, order_rebuild
from smartsite.postgres import EmbeddedPostgres
from smartsite.schema import bring_up_to_date

SITES = 200
STATIONS = 100
CLIENTS = 50
CAMERAS = 16
ALERTS = 5000
OPEN = 60
INTERVAL_S = 60

CITY = f"""
INSERT INTO site (code, name, name_en, latitude, longitude)
SELECT 's' || n, '工地 ' || n, 'Site ' || n, 29.8 + 0.9 * (n * 37 % 200) / 200, 119.6 + 0.9 * (n * 61 % 200) / 200
FROM generate_series(1, {SITES}) AS n;
INSERT INTO device (site_id, code, kind, name, interval_s)
SELECT id, 'dust', 'dust', '扬尘站', {INTERVAL_S} FROM site;
INSERT INTO device_seen (device_id, last_time, last_seen_at)
SELECT id, now(), now() + interval '1 hour' FROM device;
INSERT INTO person (code, login, name, role, all_sites) VALUES ('op', 'op', '操作员', 'operator', true);
INSERT INTO alert (rule, rule_version, rule_kind, severity, subject, site_id, device_id, metric, started_at, raised_at,
                   first_value, limit_value, cleared_at, cleared_by)
SELECT 'pm10-high', 1, 'threshold', (ARRAY['info', 'warning', 'major', 'critical'])[1 + n % 4],
       'device:' || d.id || '/' || n, d.site_id, d.id, 'pm10', at, at, 170.5, 150,
       CASE WHEN n > {OPEN} THEN at + interval '5 min' END, CASE WHEN n > {OPEN} THEN 'auto' END
FROM generate_series(1, {ALERTS}) AS n, LATERAL (SELECT now() - n * interval '8 min' AS at) t,
     LATERAL (SELECT id, site_id FROM device ORDER BY id OFFSET n % {SITES} LIMIT 1) d;
"""
CAMERA_ROWS = """
INSERT INTO camera (site_id, code, name, url)
SELECT (SELECT min(id) FROM site), 'c' || n, '摄像机 ' || n, u.url FROM unnest(%s::text[]) WITH ORDINALITY u (url, n)
"""
SESSIONS = """
INSERT INTO session (token_sha256, person_id, csrf, created_at, expires_at)
SELECT digest, (SELECT min(id) FROM person), 'x', now(), now() + interval '1 day' FROM unnest(%s::text[]) AS digest
"""


def cookie(number: int) -> str:
    """The cookie of client `number`, who is logged in."""
    return f"smartsite_session=bench-{number}"


@dataclass(frozen=True, slots=True)
class Api:
    """The running API."""

    pid: int
    address: str
    """host:port"""


class Stage(Processes):
    """Holds the database; everything else comes and goes."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._postgres = EmbeddedPostgres(folder)
        self.url = ""

    async def open(self, days: float) -> dict[str, float]:
        """Start the server and build the city; how much was loaded and how long that took."""
        self.url = self._postgres.start()
        settings = Settings(database=DatabaseSettings(url=self.url))  # type: ignore[arg-type]
        await bring_up_to_date(settings, clock=SystemClock())
        with psycopg.connect(self.url) as connection:
            connection.execute(CITY.encode())
            digests = [hashlib.sha256(cookie(n).partition("=")[2].encode()).hexdigest() for n in range(CLIENTS)]
            connection.execute(SESSIONS, [digests])
        began = time.monotonic()
        rows = await self._fill(settings.database, days)
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")
        return {"days": days, "stations": STATIONS, "rows": rows, "load_s": round(time.monotonic() - began, 1)}

    async def _fill(self, database: DatabaseSettings, days: float) -> int:
        """Readings up to now, made by the server itself a day at a time, and their roll-ups."""
        profile, end = load_profiles()["dust"], SystemClock().now()
        start, step = end - timedelta(days=days), timedelta(seconds=INTERVAL_S)
        values = [sql.SQL(WAVE).format(sql.Literal((channel.minimum or 0) + 30)) for channel in profile.channels]
        fill = sql.SQL(FILL).format(
            columns=sql.SQL(", ").join(sql.Identifier(channel.name) for channel in profile.channels),
            values=sql.SQL(", ").join(values),
        )
        async with await connect(database, application="bench") as connection:
            found = await connection.execute("SELECT id FROM device ORDER BY id LIMIT %s", [STATIONS])
            ids = [number for (number,) in await found.fetchall()]
            moment, rows = start, 0
            while moment < end:
                until = min(moment + timedelta(days=1), end)
                rows += (await connection.execute(fill, [moment, until, step, ids])).rowcount
                moment = until
            await order_rebuild(connection, "dust", start, end)
            rollups = Rollups({"dust": profile}, SystemClock())
            while (await rollups.run(connection)).pieces:
                pass
        return rows

    def close(self) -> None:
        """Stop the server."""
        self._postgres.stop()

    @property
    def postgres_pid(self) -> int:
        """Whose CPU is told apart."""
        assert self._postgres.pid is not None
        return self._postgres.pid

    def rows(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """What the database says."""
        with psycopg.connect(self.url) as connection:
            return connection.execute(statement.encode(), values or None).fetchall()

    def run(self, statement: str, *values: Any) -> None:
        """Change something."""
        with psycopg.connect(self.url) as connection:
            connection.execute(statement.encode(), values or None)

    @contextlib.asynccontextmanager
    async def room(self, name: str, **environment: str) -> AsyncIterator[asyncio.subprocess.Process]:
        """`smartsite run NAME` on the database."""
        own = {
            "SMARTSITE_DATABASE__URL": self.url,
            "SMARTSITE_DATA_DIR": str(self.folder / "data"),
            "SMARTSITE_LOG__LEVEL": "warning",
        }
        async with self.process("-m", "smartsite", "run", name, **own, **environment) as process:
            yield process

    @contextlib.asynccontextmanager
    async def api(self) -> AsyncIterator[Api]:
        """The API, ready."""
        self.run("DELETE FROM worker WHERE room = 'api'")
        async with self.room("api", SMARTSITE_API__PORT="0") as process:
            await self.until(lambda: bool(self.rows("SELECT FROM worker WHERE room = 'api'")), process)
            ((detail,),) = self.rows("SELECT detail FROM worker WHERE room = 'api'")
            yield Api(process.pid, f"{detail['host']}:{detail['port']}")


def share(pid_before: float, pid_after: float, seconds: float) -> float:
    """Percent of one core."""
    return round(100 * (pid_after - pid_before) / seconds, 2)
