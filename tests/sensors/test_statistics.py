"""What devices computed themselves is kept as long as readings are."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from core.database import connect
from core.settings import Settings
from sensors.tables import Retention, maintain

NOW = datetime(2026, 8, 1, 8, 0, tzinfo=UTC)


async def test_statistics_beyond_their_retention_are_dropped(settings: Settings) -> None:
    async with await connect(settings.database, application="test") as connection:
        for age in (timedelta(days=399), timedelta(days=401)):
            await connection.execute(
                "INSERT INTO device_statistic (device_id, period, metric, time, mean) VALUES (1, 'day', 'pm10', %s, 1)",
                [NOW - age],
            )
        await maintain(connection, {}, NOW, Retention(readings=timedelta(days=400)))
        rows = await (await connection.execute("SELECT time FROM device_statistic")).fetchall()
        assert rows == [(NOW - timedelta(days=399),)]
