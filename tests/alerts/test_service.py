"""The alerts process as a whole."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from alerts.rules.model import AnyRule
from alerts.rules.versions import in_force
from alerts.rules.watch import RuleWatch
from alerts.service import serve
from core.clock import SystemClock
from core.errors import ConfigurationError
from core.settings import Settings
from tests.alerts.database import world
from tests.alerts.test_offline import OFFLINE
from tests.alerts.test_sightings import HELMET
from tests.alerts.test_windows import MEAN
from tests.alerts.world import PM10, PROFILES, batch
from tests.support.wait import eventually


async def test_serves_until_it_is_told_to_stop(settings: Settings, tmp_path: Path) -> None:
    async with world(settings, SystemClock(), tmp_path, PM10) as site:
        stop = asyncio.Event()
        process = asyncio.create_task(serve(site.settings, stop))
        await site.publish(batch([(1, 0, {"pm10": 200.0})], arrived=0))
        await site.until(1)
        (worker,) = await eventually(
            lambda: site.rows(
                "SELECT name, detail FROM worker WHERE room = 'alerts' AND (detail ->> 'engine')::boolean"
            )
        )
        assert (worker["name"], worker["detail"]["rules"]) == ("alerts", 1)
        stop.set()
        async with asyncio.timeout(10):
            await process
        assert await site.rows("SELECT 1 FROM worker WHERE room = 'alerts'") == []

        async def all_sessions_are_closed() -> bool:
            found = await site.rows(
                "SELECT 1 FROM pg_stat_activity WHERE datname = current_database()"
                " AND pid <> pg_backend_pid() AND application_name LIKE 'smartsite%%'"
            )
            return not found

        await eventually(all_sessions_are_closed)


async def test_a_killed_process_is_carried_on_by_the_next(settings: Settings, tmp_path: Path) -> None:
    async with world(settings, SystemClock(), tmp_path, PM10) as site:
        for second in range(3):
            process = asyncio.create_task(serve(site.settings, asyncio.Event()))
            await site.publish(batch([(1, second, {"pm10": 200.0 + second})], arrived=second))
            await site.until(1, f"max_value = {200 + second}")
            await site.kill(process)
        assert len(await site.alerts()) == 1


async def test_rules_that_are_not_usable_stop_the_start(settings: Settings, tmp_path: Path) -> None:
    async with world(settings, SystemClock(), tmp_path, PM10.replace("µg/m³", "mg/m³")) as site:
        with pytest.raises(ConfigurationError, match="unit 'mg/m³' is not the channel's"):
            await serve(site.settings, asyncio.Event())


async def test_a_start_with_broken_rules_goes_on_with_those_in_force(settings: Settings, tmp_path: Path) -> None:
    text = PM10 + MEAN + OFFLINE + HELMET
    async with world(settings, SystemClock(), tmp_path, text) as site:
        before = RuleWatch([site.rules], PROFILES, []).current
        async with site.engine():
            await eventually(lambda: site.rows("SELECT 1 FROM rule_in_force"))
        assert sorted(await in_force(site.connection), key=_by_id) == sorted(before, key=_by_id)
        site.rules.write_text(text.replace("µg/m³", "mg/m³"), encoding="utf-8")
        process = asyncio.create_task(serve(site.settings, asyncio.Event()))
        await site.publish(batch([(1, 0, {"pm10": 200.0})], arrived=0))
        await site.until(1)
        await site.kill(process)


def _by_id(rule: AnyRule) -> str:
    return rule.id
