"""What charts and tables cost as the history grows: 100 stations, a message of nine values each five seconds.

Two databases on one server, one with three days and one with thirty, are asked in turns; the growth ratio is the second
over the first. Then a minute of 15,000 messages/s is rolled up once, for its share of a core. Runs on the embedded
PostgreSQL, or on the server that --url names (with TimescaleDB: again after all chunks of the long one have become
columns). All that it writes it throws away.

Loading takes most of the time and needs no quiet machine: `--only load` does just that and leaves the databases
bench_history_short and bench_history_long, on the server of --url or on an embedded one in --folder; `--only measure`
measures them, as often as you like; remove them yourself.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from benchmarks.report import conclude, machine, median, target
from core import log
from core.clock import SystemClock, from_micros, micros
from core.database import connect
from core.log import Kind, NewEntry
from core.settings import DatabaseSettings, Settings
from sensors import batch, history, storage
from sensors.profiles import Profile, load_profiles
from sensors.rollup_work import Rollups, order_rebuild
from smartsite.postgres import EmbeddedPostgres
from smartsite.schema import bring_up_to_date

INTERVAL_S = 5
POINTS = 600
DAY = timedelta(days=1)
LOG_KEPT_S = 180  # what the log holds while all readers keep up: two minutes, and the turn of the roll-ups
PEAK_RATE = 15_000

STATIONS = """
WITH s AS (INSERT INTO site (code, name) VALUES ('bench', 'bench') RETURNING id)
INSERT INTO device (site_id, code, kind, name, interval_s)
SELECT s.id, 'd' || n, 'dust', 'd', %s FROM s, generate_series(1, %s) AS n RETURNING id
"""
# As ingest writes: all stations of a moment, then the next moment.
FILL = """
INSERT INTO reading_dust (device_id, time, flags, {columns})
SELECT device, moment, 0, {values}
FROM generate_series(%s::timestamptz, %s::timestamptz - interval '1 ms', %s::interval) AS moment,
     unnest(%s::integer[]) AS device
"""
# A slow wave and noise, in tenths as instruments report.
WAVE = "round(10 * ({} + 10 * sin(extract(epoch FROM moment)::float8 / 9000 + device) + random())) / 10"
LAST = "SELECT time FROM reading_dust WHERE device_id = %s ORDER BY time DESC LIMIT 1"
QUARTERS = "SELECT device, time, pm10, laeq FROM report.dust_15m WHERE time >= %s AND time < %s"
QUARTERS_RAW = """
SELECT device_id, date_bin('15 min', time, timestamptz '2000-01-01 00:00+00'), avg(pm10) FILTER (WHERE pm10_q IS NULL),
       10 * log(avg(power(10, laeq::float8 / 10)) FILTER (WHERE laeq_q IS NULL))
FROM reading_dust WHERE time >= %s AND time < %s GROUP BY 1, 2
"""


@dataclass(frozen=True)
class Size:
    """How much is loaded."""

    stations: int
    short: timedelta
    long: timedelta
    rounds: int


FULL = Size(100, 3 * DAY, 30 * DAY, 41)
QUICK = Size(10, DAY / 2, 5 * DAY, 15)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


@contextlib.contextmanager
def server(url: str | None, kept: Path | None) -> Iterator[str]:
    """Address of a server: the given one, or an embedded one that is gone afterwards where it is not `kept`."""
    if url is not None:
        yield url
        return
    folder = kept or Path(tempfile.mkdtemp(prefix="smartsite-history-"))
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755)
    postgres = EmbeddedPostgres(folder)
    try:
        yield postgres.start()
    finally:
        postgres.stop()
        if kept is None:
            shutil.rmtree(folder)


@contextlib.contextmanager
def database(url: str, part: str, only: str | None) -> Iterator[str]:
    """Address of a database on the server, with TimescaleDB where the server has it: a fresh one that is gone
    afterwards, or with `only` one that stays."""
    name = f"bench_history_{part}" if only else f"bench_history_{os.getpid()}_{part}"
    own = make_conninfo(url, dbname=name)
    if only == "measure":
        yield own
        return
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    try:
        with psycopg.connect(own, autocommit=True) as connection:
            known = connection.execute("SELECT FROM pg_available_extensions WHERE name = 'timescaledb'").fetchone()
            if known is not None:
                connection.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
        yield own
    finally:
        if only is None:
            with psycopg.connect(url, autocommit=True) as admin:
                admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


class Bench:
    """One database, loaded step by step."""

    def __init__(self, connection: psycopg.AsyncConnection, profile: Profile, size: Size) -> None:
        self._connection = connection
        self._profile = profile
        self._profiles = {profile.kind: profile}
        self._size = size
        self._now = datetime.min.replace(tzinfo=UTC)
        self._ids: list[int] = []

    async def add_stations(self) -> None:
        await self._connection.execute(STATIONS, [INTERVAL_S, self._size.stations])

    async def begin(self) -> None:
        """Find the stations, and when the history that is loaded ends."""
        cursor = await self._connection.execute("SELECT id FROM device ORDER BY id")
        self._ids = [number for (number,) in await cursor.fetchall()]
        row = await (await self._connection.execute(LAST, [self._ids[-1]])).fetchone()
        assert row is not None, "nothing is loaded"
        self._now = row[0] + timedelta(seconds=INTERVAL_S)

    async def load(self, start: datetime, end: datetime) -> dict[str, float]:
        """Readings of all stations in [start, end), a day a transaction, and their roll-ups."""
        begun = time.monotonic()
        cursor = await self._connection.execute("SELECT id FROM device ORDER BY id")
        ids = [number for (number,) in await cursor.fetchall()]
        values = [sql.SQL(WAVE).format(sql.Literal((channel.minimum or 0) + 30)) for channel in self._profile.channels]
        fill = sql.SQL(FILL).format(
            columns=sql.SQL(", ").join(sql.Identifier(channel.name) for channel in self._profile.channels),
            values=sql.SQL(", ").join(values),
        )
        moment = start
        while moment < end:
            until = min(moment + DAY, end)
            step = timedelta(seconds=INTERVAL_S)
            await self._connection.execute(fill, [moment, until, step, ids])
            moment = until
            say(f"loaded up to {moment:%m-%d %H:%M}, {time.monotonic() - begun:.0f} s")
        await self._connection.execute("VACUUM ANALYZE reading_dust")
        loaded = time.monotonic()
        await order_rebuild(self._connection, "dust", start, end)
        rollups = Rollups(self._profiles, SystemClock())
        while (await rollups.run(self._connection)).pieces:
            say(f"rolling up, {time.monotonic() - loaded:.0f} s")
        for name in ("1m", "15m", "1h", "1d"):
            await self._connection.execute(f"VACUUM ANALYZE rollup_dust_{name}")
        rows = self._size.stations * (end - start).total_seconds() / INTERVAL_S
        return {"rows": rows, "rows_rolled_up_per_s": round(rows / (time.monotonic() - loaded))}

    def queries(self, span: timedelta) -> dict[str, Callable[[], Awaitable[None]]]:
        """What is timed, with a history of `span`."""
        device, now = self._ids[len(self._ids) // 2], self._now

        async def chart(length: timedelta) -> None:
            found = await history.series(
                self._connection, self._profile, device, ["pm10", "laeq"],
                start=now - length, end=now, points=POINTS, interval_s=INTERVAL_S,
            )  # fmt: skip
            assert found.source != "raw"

        async def latest() -> None:
            found = await history.latest(self._connection, self._profiles, [(number, "dust") for number in self._ids])
            assert len(found) == len(self._ids)

        async def quarters(statement: str) -> None:
            rows = await (await self._connection.execute(statement, [now - DAY / 2, now])).fetchall()
            assert len(rows) >= 40 * len(self._ids)

        return {
            "day_chart_ms": lambda: chart(min(DAY, self._size.short)),
            "span_chart_ms": lambda: chart(span),
            "latest_of_all_ms": latest,
            "quarter_means_of_all_12h_ms": lambda: quarters(QUARTERS),
            "quarter_means_of_all_12h_from_readings_ms": lambda: quarters(QUARTERS_RAW),
        }

    async def bytes_per_reading(self, rows: float) -> dict[str, float]:
        """Sizes on disk over the number of values."""
        readings = rows * len(self._profile.channels)
        stored = {one.resolution: one for one in await storage.stored(self._connection, self._profiles)}
        kept = self._batch(LOG_KEPT_S * self._size.stations // INTERVAL_S)
        rollups = sum(one.bytes for name, one in stored.items() if name != "raw")
        return {
            "readings_and_keys": round(stored["raw"].bytes / readings, 2),
            "roll_ups": round(rollups / readings, 2),
            "log_while_kept": round(len(kept) / readings, 4),
        }

    def _batch(self, rows: int, *, start: datetime | None = None, rate: int = 100) -> bytes:
        """An entry of the log as ingest writes it."""
        chance = np.random.default_rng(1)
        begin = micros(start or self._now)
        return batch.encode(
            [
                batch.ReadingBatch(
                    kind="dust",
                    device=chance.choice(np.array(self._ids, np.int32), rows),
                    site=np.ones(rows, np.int32),
                    time=begin + np.arange(rows, dtype=np.int64) * (1_000_000 // rate),
                    values={c.name: chance.random(rows) * 100 for c in self._profile.channels},
                    quality={c.name: np.full(rows, batch.NORMAL, np.uint8) for c in self._profile.channels},
                    flags=np.zeros(rows, np.uint8),
                    arrived=begin,
                )
            ]
        )

    async def busy_minute(self) -> dict[str, float]:
        """CPU of rolling up a minute of 15,000 messages/s, of this process and of the database's."""
        begin = from_micros(micros(self._now) // 60_000_000 * 60_000_000) + timedelta(hours=1)
        values = sql.SQL(", ").join(sql.SQL("30 + 20 * random()") for _ in self._profile.channels)
        columns = sql.SQL(", ").join(sql.Identifier(channel.name) for channel in self._profile.channels)
        step = timedelta(seconds=self._size.stations / PEAK_RATE)
        fill = sql.SQL(FILL).format(columns=columns, values=values)
        await self._connection.execute(fill, [begin, begin + timedelta(minutes=1), step, self._ids])
        # 250 ms a batch.
        rows = PEAK_RATE // 4
        for number in range(240):
            payload = self._batch(rows, start=begin + timedelta(milliseconds=250 * number), rate=PEAK_RATE)
            await log.append(self._connection, "bench", [NewEntry(number % 16, Kind.READINGS, payload)])
        backend = self._connection.info.backend_pid
        ours, theirs, begun = time.process_time(), backend_seconds(backend), time.monotonic()
        work = await Rollups(self._profiles, SystemClock()).run(self._connection)
        assert work.readings == PEAK_RATE * 60
        summed = await self._connection.execute("SELECT sum(messages) FROM rollup_dust_1m WHERE time = %s", [begin])
        row = await summed.fetchone()
        assert row is not None
        assert row[0] >= PEAK_RATE * 60 * 0.99, row  # a step is a whole number of microseconds
        found = {
            "wall_s": round(time.monotonic() - begun, 2),
            "keeper_cpu_s": round(time.process_time() - ours, 2),
            "database_cpu_s": round(backend_seconds(backend) - theirs, 2),
        }
        # Not part of the history whose size is told.
        await self._connection.execute("DELETE FROM reading_dust WHERE time >= %s", [begin])
        return found

    async def to_columns(self) -> bool:
        """Turn all chunks into columns; False where there is no TimescaleDB."""
        cursor = await self._connection.execute("SELECT FROM pg_extension WHERE extname = 'timescaledb'")
        if await cursor.fetchone() is None:
            return False
        for table in ("reading_dust", "rollup_dust_1m"):
            for (chunk,) in await (await self._connection.execute("SELECT show_chunks(%s)::text", [table])).fetchall():
                await self._connection.execute("CALL convert_to_columnstore(%s::regclass)", [chunk])
        return True


async def timed(
    short: Mapping[str, Callable[[], Awaitable[None]]], long: Mapping[str, Callable[[], Awaitable[None]]], rounds: int
) -> dict[str, dict[str, float]]:
    """Median milliseconds on either history, taken in turns, and the ratio of the two."""
    found: dict[str, dict[str, float]] = {"short": {}, "long": {}, "growth": {}}
    for name in short:
        taken: tuple[list[float], list[float]] = ([], [])
        for number in range(rounds + 1):
            for work, times in zip((short[name], long[name]), taken, strict=True):
                begun = time.perf_counter()
                await work()
                if number:  # the first round warms up
                    times.append((time.perf_counter() - begun) * 1000)
        found["short"][name], found["long"][name] = (median(times, 2) for times in taken)
        found["growth"][name] = round(found["long"][name] / found["short"][name], 2)
    return found


def backend_seconds(pid: int) -> float:
    """CPU seconds of a server process on this machine; 0 where it runs on another."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.asynccontextmanager
async def opened(url: str, size: Size) -> AsyncIterator[Bench]:
    """A database with its stations."""
    async with await connect(DatabaseSettings(url=url), application="bench") as connection:
        yield Bench(connection, load_profiles()["dust"], size)


async def load(urls: Mapping[str, str], size: Size) -> dict[str, Any]:
    """Fill both databases up to one moment."""
    now = SystemClock().now()
    loaded: dict[str, Any] = {}
    for part, span in (("short", size.short), ("long", size.long)):
        await bring_up_to_date(Settings(database=DatabaseSettings(url=urls[part])), clock=SystemClock())
        async with opened(urls[part], size) as bench:
            await bench.add_stations()
            loaded = await bench.load(now - span, now)
    return loaded


async def measure(urls: Mapping[str, str], size: Size) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    async with opened(urls["short"], size) as short, opened(urls["long"], size) as long:
        await short.begin()
        await long.begin()
        rows = size.stations * size.long.total_seconds() / INTERVAL_S
        figures: dict[str, Any] = {"stations": size.stations, "days": [size.short / DAY, size.long / DAY], "rows": rows}
        figures |= await timed(short.queries(size.short), long.queries(size.long), size.rounds)
        taken = figures["bytes_per_reading"] = await long.bytes_per_reading(rows)
        figures["minute_at_15000_per_s"] = await long.busy_minute()
        targets = [
            target("growth of a day's chart", figures["growth"]["day_chart_ms"], "<=", 1.2),
            target("growth of the latest of all", figures["growth"]["latest_of_all_ms"], "<=", 1.2),
            target(
                "bytes per reading with keys and log",
                round(taken["readings_and_keys"] + taken["log_while_kept"], 2),
                "<=",
                20,
            ),
        ]
        if await long.to_columns():
            figures["columns"] = await timed(short.queries(size.short), long.queries(size.long), size.rounds)
            taken = figures["bytes_per_reading_in_columns"] = await long.bytes_per_reading(rows)
            targets.append(target("bytes per reading in columns", taken["readings_and_keys"], "<=", 3))
    return figures, targets


async def run(urls: Mapping[str, str], size: Size, only: str | None) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    loaded = {} if only == "measure" else await load(urls, size)
    if only == "load":
        return loaded, []
    figures, targets = await measure(urls, size)
    return figures | loaded, targets


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="end with one JSON object (always so)")
    parser.add_argument("--quick", action="store_true", help="ten stations, half a day and five days")
    parser.add_argument("--stations", type=int, help="another number of stations")
    parser.add_argument("--url", help="postgresql:// of a server, by a user who may create databases")
    parser.add_argument("--only", choices=("load", "measure"), help="one of the two steps")
    parser.add_argument("--folder", type=Path, help="with --only: where the embedded server keeps its data")
    options = parser.parse_args()
    if options.only and not (options.url or options.folder):
        parser.error("--only needs --url or --folder")
    size = QUICK if options.quick else FULL
    if options.stations:
        size = Size(options.stations, size.short, size.long, size.rounds)
    about = machine()
    with (
        server(options.url, options.folder) as url,
        database(url, "short", options.only) as short,
        database(url, "long", options.only) as long,
    ):
        figures, targets = asyncio.run(run({"short": short, "long": long}, size, options.only))
    conclude(figures, about, targets)


if __name__ == "__main__":
    main()
