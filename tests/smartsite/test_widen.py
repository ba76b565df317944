"""A kind gains a channel while its devices go on sending: no outage, no loss, and roll-ups follow."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import sensors
from core.clock import SystemClock
from core.database import connect
from core.settings import Settings
from sensors.profiles import load_profiles
from sensors.rollup_work import Rollups
from smartsite.schema import bring_up_to_date
from tests.ingest.load import Publisher
from tests.ingest.plant import furnish, running, with_ingest
from tests.support.wait import eventually

CHANNEL = """
[[channels]]
name = "black_carbon"
type = "real"
unit = "µg/m³"
label = "黑碳"
label_en = "Black carbon"
"""


async def test_a_channel_is_added_under_load(
    settings: Settings,
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("sensors.tables._LOCK_TIMEOUT", "200ms")
    kind = tmp_path / "dust.toml"
    kind.write_text((Path(sensors.__file__).parent / "kinds" / "dust.toml").read_text("utf-8"), "utf-8")
    settings = with_ingest(settings.model_copy(update={"kinds_dir": tmp_path}))
    await furnish(database_url)
    clock = SystemClock()
    await bring_up_to_date(settings, clock=clock)

    async with running(settings) as plant, await connect(settings.database, application="reader") as reader:
        # One device sends what its kind does not know yet.
        load = [
            Publisher("A/d1", plant.port, beside={"black_carbon": 7}).start(),
            Publisher("A/d2", plant.port).start(),
        ]
        await eventually(lambda: all(len(one.acknowledged) > 100 for one in load))
        before = [len(one.acknowledged) for one in load]
        kind.write_text(kind.read_text("utf-8") + CHANNEL, "utf-8")

        held = asyncio.Event()

        async def read_long() -> None:
            async with reader.transaction():
                await reader.execute("SELECT count(*) FROM reading_dust")
                held.set()
                await eventually(lambda: "table is in use, trying again" in caplog.text, timeout=60)

        caplog.set_level("INFO", "sensors.tables")
        reading = asyncio.create_task(read_long())
        await eventually(held.is_set)
        done = await bring_up_to_date(settings, clock=clock)
        await reading
        assert {"added reading_dust.black_carbon", "added rollup_dust_1d.black_carbon_sum"} <= set(done)
        assert await bring_up_to_date(settings, clock=clock) == []
        # The process that knows the old channels goes on.
        after = [len(one.acknowledged) for one in load]
        await eventually(
            lambda: all(len(one.acknowledged) > number + 100 for one, number in zip(load, after, strict=True))
        )
        assert all(number > earlier for number, earlier in zip(after, before, strict=True))
        await asyncio.gather(*(asyncio.to_thread(one.finish) for one in load))
        assert [len(one.published) - len(one.acknowledged) for one in load] == [0, 0]
        published = sum(len(one.published) for one in load)
        assert await plant.value("SELECT count(*) FROM reading_dust") == published
        assert await plant.value("SELECT count(*) FROM reading_dust WHERE black_carbon IS NOT NULL") == 0
        assert await plant.value("SELECT count(*) FROM reading_unknown WHERE metric = 'black_carbon'") == len(
            load[0].published
        )
        assert await plant.reasons() == []

    async with running(settings) as plant:
        new = Publisher("A/d3", plant.port, beside={"black_carbon": 7}).start()
        await eventually(lambda: len(new.acknowledged) > 50)
        await asyncio.to_thread(new.finish)
        assert await plant.value("SELECT count(black_carbon) FROM reading_dust") == len(new.published)
        await Rollups(load_profiles(tmp_path), clock).run(plant.connection)
        rows = await plant.rows(
            "SELECT d.code, sum(r.pm10_n)::int, sum(r.black_carbon_n)::int, sum(r.black_carbon_sum)::int"
            " FROM rollup_dust_1h r JOIN device d ON d.id = r.device_id GROUP BY 1 ORDER BY 1"
        )
        assert rows == [
            ("d1", len(load[0].published), 0, None),
            ("d2", len(load[1].published), 0, None),
            ("d3", len(new.published), len(new.published), 7 * len(new.published)),
        ]
