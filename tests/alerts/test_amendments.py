"""A severity that rises reaches regulators as numbered amendments: from the readings to what the regulator holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from core.settings import AlertsSettings, Settings, TargetSettings
from tests.alerts.database import World, world
from tests.alerts.outgoing import delivering, folder, target
from tests.alerts.test_form_examples import example
from tests.alerts.test_ladder import LADDER
from tests.alerts.world import batch
from tests.support.clock import FakeClock
from tests.support.regulator import sandbox
from tests.support.stubs import SignedRegulator, served
from tests.support.wait import eventually


async def _report_to(site: World, *targets: TargetSettings) -> None:
    """Site 1 with what regulators require, and these targets."""
    await site.connection.execute(
        "UPDATE site SET project_code = '5101072608010101', permit_number = '510107202608010101'"
    )
    alerts = AlertsSettings.model_validate(
        {**site.settings.alerts.model_dump(), "targets": [item.model_dump() for item in targets]}
    )
    site.settings = site.settings.model_copy(update={"alerts": alerts})


async def _states(site: World, *states: str) -> list[dict[str, Any]]:
    """The deliveries, as soon as they are in these states."""

    async def reached() -> list[dict[str, Any]]:
        rows = await site.rows("SELECT * FROM delivery ORDER BY id")
        return rows if [row["state"] for row in rows] == list(states) else []

    return await eventually(reached)


async def test_a_regulator_hears_of_every_rise_in_order_and_once(settings: Settings, tmp_path: Path) -> None:
    clock = FakeClock()
    async with (
        sandbox(folder(settings), clock=clock) as regulator,
        world(settings, clock, tmp_path, LADDER) as site,
    ):
        await _report_to(site, target(regulator.url))
        async with site.engine(), delivering(site.settings, clock):
            await site.publish(batch([(1, 0, {"pm10": 160.0})], arrived=0))
            await _states(site, "accepted")
            # The replies to this amendment are lost: it comes again under the same key.
            regulator.behave(drop_reply=1.0)
            await site.publish(batch([(1, 1, {"pm10": 260.0})], arrived=1))
            await eventually(lambda: len(regulator.received()) == 2)
            regulator.behave()
            await site.publish(batch([(1, second, {"pm10": 450.0}) for second in range(2, 6)], arrived=6))
            await site.until(1, "severity = 'critical'")
            # A fall, and a rise to what was told already: no amendment.
            await site.publish(batch([(1, second, {"pm10": 130.0}) for second in range(6, 13)], arrived=13))
            await site.until(1, "severity = 'warning'")
            await site.publish(batch([(1, 13, {"pm10": 270.0})], arrived=13))
            await site.until(1, "severity = 'major'")
            await site.publish(batch([(1, second, {"pm10": 90.0}) for second in range(14, 22)], arrived=22))
            (alert,) = await site.until(1, "cleared_at IS NOT NULL")

            async def all_there() -> bool:
                await clock.advance(0.5)  # the lost reply is asked for again after a second
                return len(regulator.received()) == 4

            await eventually(all_there)

            async def all_validated() -> bool:
                await clock.advance(0.5)
                return {row["state"] for row in await site.rows("SELECT state FROM delivery")} == {"validated"}

            await eventually(all_validated)
        received = regulator.received()
    held = [item["violation"] for item in received]
    assert [
        (item["phase"], item["amendment"], item["alert"]["severity"], item["limit"], item["max_value"]) for item in held
    ] == [
        ("raise", 0, "warning", 150, 160),
        ("raise", 1, "major", 250, 260),
        ("raise", 2, "critical", 400, 450),
        ("end", 0, alert["severity"], alert["limit_value"], 450),
    ]
    assert {item["alert"]["id"] for item in held} == {alert["id"]}
    assert [item["accepted"] for item in received] == [1, 1, 1, 1]
    assert received[1]["repeats"] >= 1


async def test_a_form_says_its_amendment_where_its_options_say_so(settings: Settings, tmp_path: Path) -> None:
    clock = FakeClock()
    amending, silent = SignedRegulator(now="20260801160000"), SignedRegulator(now="20260801160000")
    async with (
        served(amending.app) as url,
        served(silent.app) as other,
        world(settings, clock, tmp_path, LADDER) as site,
    ):
        takes = example("regulator-signed.toml", url)
        takes.options["amendments"] = True
        takes.options["messages"][0]["fields"]["amendment"] = "amendment"
        takes_none = example("regulator-signed.toml", other).model_copy(update={"name": "silent"})
        await _report_to(site, takes, takes_none)
        async with site.engine(), delivering(site.settings, clock):
            await site.publish(batch([(1, 0, {"pm10": 160.0})], arrived=0))
            await _states(site, "accepted", "accepted")
            await site.publish(batch([(1, 1, {"pm10": 260.0})], arrived=1))
            rows = await _states(site, "accepted", "accepted", "accepted")
    assert [(row["target"], row["amendment"]) for row in rows] == [("province", 0), ("silent", 0), ("province", 1)]
    assert [
        (record["amendment"], record["alarmLevel"], record["limit"], record["value"])
        for record in amending.records.values()
    ] == [(0, "3", "150", "160"), (1, "2", "250", "260")]
    assert len({record["alarmNo"] for record in amending.records.values()}) == 2
    assert [record["alarmLevel"] for record in silent.records.values()] == ["3"]
