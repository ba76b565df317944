"""The other obvious way: readings in a table, and at every tick one query a rule over its last minutes.

A query asks for what must have held for the alert to begin or to end now; open alerts are a table. Queries of window
rules run only where a window has ended since the tick before.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import psycopg

from alerts.rules.model import WindowRule
from benchmarks.alerts.setting import CHANNELS, INTERVAL, Alert, Rule, moment
from smartsite.postgres import EmbeddedPostgres

_SCHEMA = f"""
CREATE TABLE reading (device integer, time bigint, {", ".join(f"{name} double precision" for name in CHANNELS)},
                      PRIMARY KEY (device, time));
CREATE INDEX ON reading (time);
CREATE TABLE open (rule text, device integer, started bigint, PRIMARY KEY (rule, device));
"""
# Every reading of the span is beyond the level, and there are enough of them.
_RAISE = """
INSERT INTO open
SELECT %(rule)s, device, min(time) FROM reading WHERE time BETWEEN %(from)s AND %(now)s
GROUP BY device HAVING min({metric}) > %(level)s AND count(*) >= %(readings)s
ON CONFLICT DO NOTHING RETURNING device, started
"""
_CLEAR = """
DELETE FROM open USING (
    SELECT device FROM reading WHERE time BETWEEN %(from)s AND %(now)s
    GROUP BY device HAVING max({metric}) <= %(level)s AND count(*) >= %(readings)s
) relieved WHERE rule = %(rule)s AND open.device = relieved.device RETURNING open.device, started
"""
_WINDOW = """
SELECT device, {aggregate} AS value FROM reading WHERE time >= %(from)s AND time < %(end)s
GROUP BY device HAVING count(*) >= %(readings)s
"""
_WINDOW_RAISE = f"""
INSERT INTO open SELECT %(rule)s, device, %(from)s FROM ({_WINDOW}) w WHERE value > %(level)s
ON CONFLICT DO NOTHING RETURNING device, started
"""
_WINDOW_CLEAR = f"""
DELETE FROM open USING ({_WINDOW}) w
WHERE rule = %(rule)s AND open.device = w.device AND value <= %(level)s RETURNING open.device, started
"""
_AGGREGATES = {
    "mean": "round(avg({m})::numeric, 6)",
    "energy_mean": "round((10 * log(avg(power(10, {m} / 10))))::numeric, 6)",
    "max": "max({m})",
}


class Queries:
    """A PostgreSQL of its own with the readings of some stations."""

    def __init__(self, folder: Path, rules: Sequence[Rule]) -> None:
        self._postgres = EmbeddedPostgres(folder)
        self._connection = psycopg.connect(self._postgres.start(), autocommit=True)
        self._rules = rules

    def close(self) -> None:
        """Stop the server."""
        self._connection.close()
        self._postgres.stop()

    def run(self, values: npt.NDArray[np.float64]) -> tuple[list[Alert], float]:
        """Store tick after tick; the alerts, and the seconds that the queries took."""
        connection, alerts, seconds = self._connection, [], 0.0
        connection.execute("DROP TABLE IF EXISTS reading, open")
        connection.execute(_SCHEMA)
        for tick, by_channel in enumerate(values):
            now = moment(tick)
            with connection.cursor().copy("COPY reading FROM STDIN") as copy:
                for device, row in enumerate(by_channel.T.tolist(), start=1):
                    copy.write_row((device, now, *row))
            if tick % 10 == 0:
                connection.execute("ANALYZE reading")
            started = time.perf_counter()
            for rule in self._rules:
                alerts += self._judge(rule, now)
            seconds += time.perf_counter() - started
        return alerts, seconds

    def _judge(self, rule: Rule, now: int) -> list[Alert]:
        facts = {"rule": rule.id, "now": now}
        if isinstance(rule, WindowRule):
            window, lateness = _micros(rule.window), _micros(rule.lateness)
            end = (now - lateness) // window * window
            if end == (now - INTERVAL - lateness) // window * window:
                return []
            aggregate = _AGGREGATES[rule.aggregate].format(m=rule.metric)
            raise_, clear = _WINDOW_RAISE.format(aggregate=aggregate), _WINDOW_CLEAR.format(aggregate=aggregate)
            facts |= {"from": end - window, "end": end, "readings": rule.minimum_valid_share * window / INTERVAL}
            upward, relief = facts, facts
        else:
            duration, clear_after = _micros(rule.duration), _micros(rule.clear_after)
            raise_, clear = _RAISE.format(metric=rule.metric), _CLEAR.format(metric=rule.metric)
            upward = {**facts, "from": now - duration, "readings": duration // INTERVAL + 1}
            relief = {**facts, "from": now - clear_after, "readings": clear_after // INTERVAL + 1}
        over = self._connection.execute(clear, {**relief, "level": rule.clear_level}).fetchall()
        begun = self._connection.execute(raise_, {**upward, "level": rule.raise_level}).fetchall()
        return [
            Alert(phase, rule.id, device, started)
            for phase, rows in (("clear", over), ("raise", begun))
            for device, started in rows
        ]


def _micros(duration: object) -> int:
    return round(duration.total_seconds() * 1e6)  # type: ignore[attr-defined]
