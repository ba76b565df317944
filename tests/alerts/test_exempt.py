"""An alert of an exempt time: kept with the permit that withheld it, told to no regulator and to nobody."""

from __future__ import annotations

from pathlib import Path

from core.clock import from_micros
from core.settings import AlertsSettings, Settings
from tests.alerts.database import world
from tests.alerts.world import ORIGIN, PM10, at, batch
from tests.support.clock import FakeClock

RULE = PM10 + 'exempt_during = { permits = ["night_work"], stages = ["fit_out"] }\n'


async def test_a_permit_withholds_what_it_covers_and_is_named(settings: Settings, tmp_path: Path) -> None:
    """Pain 16: who works by night with a permit is not reported, and the record says by which permit."""
    async with world(settings, FakeClock(), tmp_path, RULE) as site:
        site.settings = site.settings.model_copy(
            update={
                "alerts": AlertsSettings.model_validate(
                    {
                        **site.settings.alerts.model_dump(),
                        "targets": [
                            {"name": "bureau", "url": "https://bureau.example/", "push_on": "both", "rules": ["*"]}
                        ],
                    }
                )
            }
        )
        await site.connection.execute(
            """INSERT INTO person (code, name, role, all_sites, contacts)
               VALUES ('o', '安全员', 'officer', true, '{json://127.0.0.1:1/}')"""
        )
        async with site.engine():
            await site.publish(batch([(1, 0, {"pm10": 160.0})], arrived=0))
            (first,) = await site.until(1)
            assert first["exempt"] is None
            counted = await _counts(site)
            assert counted[0] == 1
            await site.connection.execute(
                """INSERT INTO permit (site_id, kind, reference, starts_at, ends_at, source)
                   VALUES (1, 'night_work', 'no. 31', to_timestamp(%s), to_timestamp(%s), 'bureau')""",
                (ORIGIN / 1e6 + 10, ORIGIN / 1e6 + 100),
            )
            await site.caught_up()
            # The permit is in force from the engine's next look at the registry on.
            for second in range(11, 99):
                await site.publish(batch([(1, second, {"pm10": 300.0})], arrived=second))
                await site.settle()
                if len(await site.alerts()) == 2:
                    break
            first, second_alert = await site.until(2)
            assert first["cleared_by"] == "auto"
            assert second_alert["exempt"] == {
                "permit": 1,
                "kind": "night_work",
                "reference": "no. 31",
                "source": "bureau",
            }
            (cleared,) = await site.rows(
                "SELECT detail FROM alert_event WHERE kind = 'cleared' AND alert_id = %s", first["id"]
            )
            assert cleared["detail"]["reason"] == "schedule"
            told = await site.rows("SELECT alert_id FROM delivery UNION ALL SELECT alert_id FROM notification")
            assert {row["alert_id"] for row in told} == {first["id"]}
            await site.publish(batch([(1, 100, {"pm10": 300.0})], arrived=100))
            found = await site.until(3)
            assert found[2]["exempt"] is None
            assert (await _counts(site))[0] == 3  # raise and end of the first, raise of the third


async def test_a_stage_counts_from_its_own_time(settings: Settings, tmp_path: Path) -> None:
    """A late reading is judged by the stage of its time, though the site has long another."""
    async with world(settings, FakeClock(), tmp_path, RULE) as site:
        await site.connection.execute(
            "UPDATE site SET stage = 'fit_out', stage_since = to_timestamp(%s)", [at(50) / 1e6]
        )
        async with site.engine():
            await site.publish(batch([(1, 49, {"pm10": 160.0})], arrived=60))
            await site.publish(batch([(1, 50, {"pm10": 160.0})], arrived=60))
            first, second = await site.until(2)
            assert first["exempt"] is None
            assert second["exempt"] == {"stage": "fit_out"}
            assert first["ended_at"] == second["started_at"] == from_micros(at(50))


async def _counts(site: object) -> tuple[int, int]:
    (row,) = await site.rows(  # type: ignore[attr-defined]
        "SELECT (SELECT count(*) FROM delivery) AS sent, (SELECT count(*) FROM notification) AS told"
    )
    return row["sent"], row["told"]
