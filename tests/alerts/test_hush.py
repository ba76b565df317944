"""Mute windows, causes that explain others, alerts that flap: notices are held with a reason and let go in time."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from core.settings import Settings
from tests.alerts.database import World, world
from tests.alerts.test_offline import OFFLINE
from tests.alerts.world import PM10, batch
from tests.support.clock import FakeClock
from tests.support.wait import eventually

SENSORS = OFFLINE + 'scope = { device_kind = "dust" }\ninhibited_by = ["gateway-*"]\n'
GATEWAY = OFFLINE.replace('"offline"\nname', '"gateway-offline"\nname') + 'scope = { tags = ["gateway"] }\n'


async def _person(site: World) -> None:
    await site.connection.execute(
        """INSERT INTO person (code, name, role, all_sites, contacts)
           VALUES ('o', '安全员', 'officer', true, '{json://127.0.0.1:1/}')"""
    )


async def _notices(site: World) -> list[tuple[str, str, str, str]]:
    found = await site.rows(
        """SELECT a.rule, a.subject, n.state, n.reason FROM notification n JOIN alert a ON a.id = n.alert_id
           WHERE n.phase = 'raised' ORDER BY n.id"""
    )
    return [(row["rule"], row["subject"], row["state"], row["reason"]) for row in found]


async def test_a_gateway_that_is_away_explains_its_sensors(settings: Settings, tmp_path: Path) -> None:
    """Pain 14: one cause, one message; what stands when the cause is gone is told then."""
    clock = FakeClock()
    text = SENSORS.replace('"info"', '"critical"') + GATEWAY.replace('"info"', '"critical"')
    async with world(settings, clock, tmp_path, text) as site:
        await _person(site)
        await site.connection.execute("UPDATE device SET tags = '{gateway}' WHERE id = 3")
        async with site.engine():
            await site.publish(batch([(device, 0, {"pm10": 1.0}) for device in (1, 2, 3)], arrived=0))
            await site.caught_up()
            await site.live(40)
            await site.until(4)
            found = sorted(await _notices(site))
            assert [item[2:] for item in found] == [
                ("pending", "first_raise"),
                ("withheld", "inhibited"),
                ("withheld", "inhibited"),
                ("withheld", "inhibited"),
            ]
            assert found[0][0] == "gateway-offline"
            # The gateway and sensor 1 are back; sensor 2 is not.
            await site.publish(batch([(device, 50, {"pm10": 1.0}) for device in (3, 1)], arrived=50))
            await site.until(3, "cleared_at IS NOT NULL")
            rows = {item[:2]: item[2:] for item in await _notices(site)}
            assert rows["offline", "device:2"] == ("pending", "first_raise")
            assert rows["offline", "device:1"] == ("withheld", "inhibited")


async def test_a_gateway_explains_its_own_devices_only(settings: Settings, tmp_path: Path) -> None:
    """Device 3 is the gateway of 1; 2 has another one that is well, 4 none that is known."""
    clock = FakeClock()
    text = SENSORS.replace('"info"', '"critical"') + GATEWAY.replace('"info"', '"critical"')
    async with world(settings, clock, tmp_path, text) as site:
        await _person(site)
        await site.connection.execute(
            """INSERT INTO device (site_id, code, kind, name, interval_s)
               VALUES (1, 'device-4', 'dust', '扬尘站', 1), (1, 'device-5', 'hoist', '网关', 1)"""
        )
        await site.connection.execute("UPDATE device SET tags = '{gateway}' WHERE id = 3")
        await site.connection.execute("UPDATE device SET gateway_id = 3 WHERE id = 1")
        await site.connection.execute("UPDATE device SET gateway_id = 5 WHERE id = 2")
        async with site.engine():
            # The gateway falls silent before its devices, so that their alerts find its alert open.
            await site.publish(batch([(3, 0, {"pm10": 1.0})], arrived=0))
            await site.publish(batch([(device, 10, {"pm10": 1.0}) for device in (1, 2, 4)], arrived=10))
            await site.caught_up()
            await site.live(16)
            await site.until(1, "rule = 'gateway-offline'")
            await site.live(20)
            await site.until(4, "rule = 'offline'")
            found = {item[:2]: item[3] for item in await _notices(site)}
            assert found["gateway-offline", "device:3"] == "first_raise"
            assert found["offline", "device:1"] == "inhibited"
            assert found["offline", "device:2"] == "first_raise"
            assert found["offline", "device:4"] == "inhibited"
            # The gateway is back, its device is not: it is told of now.
            await site.publish(batch([(3, 60, {"pm10": 1.0})], arrived=60))
            await site.until(2, "cleared_at IS NOT NULL")
            found = {item[:2]: item[3] for item in await _notices(site)}
            assert found["offline", "device:1"] == found["offline", "device:4"] == "first_raise"


async def test_a_gateway_found_out_later_holds_back_its_own_only(settings: Settings, tmp_path: Path) -> None:
    clock = FakeClock()
    text = SENSORS.replace('"info"', '"critical"') + GATEWAY.replace('"info"', '"critical"')
    async with world(settings, clock, tmp_path, text) as site:
        await _person(site)
        await site.connection.execute(
            "INSERT INTO device (site_id, code, kind, name, interval_s) VALUES (1, 'g', 'hoist', '网关', 1)"
        )
        await site.connection.execute("UPDATE device SET tags = '{gateway}' WHERE id = 3")
        await site.connection.execute(
            "UPDATE device SET gateway_id = CASE id WHEN 1 THEN 3 ELSE 4 END WHERE id IN (1, 2)"
        )
        async with site.engine():
            await site.publish(batch([(device, 0, {"pm10": 1.0}) for device in (1, 2)], arrived=0))
            await site.publish(batch([(3, 10, {"pm10": 1.0})], arrived=10))
            await site.caught_up()
            await site.live(16)
            await site.until(2, "rule = 'offline'")
            await site.live(20)
            await site.until(1, "rule = 'gateway-offline'")
            found = {item[:2]: item[3] for item in await _notices(site)}
            assert (found["offline", "device:1"], found["offline", "device:2"]) == ("inhibited", "first_raise")


async def test_what_stands_at_the_end_of_a_mute_is_told_then(settings: Settings, tmp_path: Path) -> None:
    clock = FakeClock()
    async with world(settings, clock, tmp_path, PM10.replace('"major"', '"critical"')) as site:
        await _person(site)
        await site.connection.execute(
            """INSERT INTO mute (site_id, rule, starts_at, ends_at, reason, made_by)
               VALUES (1, 'pm*', %s, %s, 'x', 'o')""",
            (clock.now() - timedelta(hours=1), clock.now() + timedelta(minutes=10)),
        )
        async with site.engine():
            await site.publish(batch([(device, 0, {"pm10": 300.0}) for device in (1, 2)], arrived=0))
            (first, _) = await site.until(2)
            assert [item[2:] for item in await _notices(site)] == [("withheld", "muted")] * 2
            assert ("hushed", "engine") in await site.history(first["id"])
            # One is over before the mute is: nobody is told of it at all.
            await site.publish(batch([(1, 1, {"pm10": 0.0}), (1, 7, {"pm10": 0.0})], arrived=7))
            await site.until(1, "cleared_at IS NOT NULL")
            await clock.advance(601)

            async def told() -> bool:
                await clock.advance(0.5)
                return [item[2:] for item in await _notices(site)] == [
                    ("withheld", "muted"),
                    ("pending", "first_raise"),
                ]

            await eventually(told)


async def test_a_mute_of_one_device_leaves_its_neighbours(settings: Settings, tmp_path: Path) -> None:
    clock = FakeClock()
    async with world(settings, clock, tmp_path, PM10.replace('"major"', '"critical"')) as site:
        await _person(site)
        await site.connection.execute(
            """INSERT INTO mute (site_id, device_id, camera_id, rule, starts_at, ends_at, reason, made_by)
               VALUES (1, 1, NULL, '*', %(from)s, %(until)s, 'x', 'o'),
                      (1, NULL, 2, '*', %(from)s, %(until)s, 'x', 'o')""",
            {"from": clock.now() - timedelta(hours=1), "until": clock.now() + timedelta(minutes=10)},
        )
        async with site.engine():
            await site.publish(batch([(device, 0, {"pm10": 300.0}) for device in (1, 2)], arrived=0))
            await site.until(2)
            found = {subject: (state, reason) for _, subject, state, reason in await _notices(site)}
            assert found == {"device:1": ("withheld", "muted"), "device:2": ("pending", "first_raise")}
            await clock.advance(601)

            async def told() -> bool:
                await clock.advance(0.5)
                return {item[2:] for item in await _notices(site)} == {("pending", "first_raise")}

            await eventually(told)


async def test_one_that_comes_and_goes_is_told_a_few_times(settings: Settings, tmp_path: Path) -> None:
    """Pain 8 (netdata#945): flapping is recorded in full, and people are told of the first few raises only."""
    text = PM10.replace('"major"', '"critical"').replace(
        'clear_after = "5 s"', 'clear_after = "0 s"\ncool_down = "0 s"'
    )
    async with world(settings, FakeClock(), tmp_path, text + 'flap = { at_most = 2, within = "1 h" }\n') as site:
        await _person(site)
        async with site.engine():
            for second in range(0, 8, 2):
                await site.publish(
                    batch([(1, second, {"pm10": 300.0}), (1, second + 1, {"pm10": 0.0})], arrived=second)
                )
            await site.until(4, "cleared_at IS NOT NULL")
            reasons = [item[2:] for item in await _notices(site)]
            assert reasons[2:] == [("withheld", "flapping")] * 2
            assert all(reason == "first_raise" for _, reason in reasons[:2])


async def test_a_rise_is_told_again_but_not_in_a_mute(settings: Settings, tmp_path: Path) -> None:
    """Pain 10: who was told of the warning hears when it becomes grave; a mute holds both, and is followed by one."""
    clock = FakeClock()
    text = PM10 + 'levels = [{ severity = "critical", raise_above = 400, clear_below = 300 }]\n'
    async with world(settings, clock, tmp_path, text) as site:
        await _person(site)
        async with site.engine():
            await site.publish(batch([(1, 0, {"pm10": 160.0})], arrived=0))
            await site.until(1)
            await site.publish(batch([(1, 1, {"pm10": 500.0})], arrived=1))
            await site.until(1, "severity = 'critical'")
            assert await _all(site, 1) == [
                ("raised", "pending", "first_raise"),
                ("severity", "pending", "severity_rise"),
            ]
            await site.connection.execute(
                """INSERT INTO mute (site_id, rule, starts_at, ends_at, reason, made_by)
                   VALUES (NULL, '*', %s, %s, 'x', 'o')""",
                (clock.now() - timedelta(hours=1), clock.now() + timedelta(minutes=10)),
            )
            await site.publish(batch([(2, 0, {"pm10": 160.0}), (2, 1, {"pm10": 500.0})], arrived=1))
            await site.until(1, "severity = 'critical' AND device_id = 2")
            held = [("raised", "withheld", "muted"), ("severity", "withheld", "muted")]
            assert await _all(site, 2) == held
            await clock.advance(601)

            async def told() -> bool:
                await clock.advance(0.5)
                return await _all(site, 2) == [("raised", "pending", "first_raise"), held[1]]

            await eventually(told)


async def _all(site: World, device: int) -> list[tuple[str, str, str]]:
    rows = await site.rows(
        """SELECT n.phase, n.state, n.reason FROM notification n JOIN alert a ON a.id = n.alert_id
           WHERE a.device_id = %s ORDER BY n.id""",
        device,
    )
    return [(row["phase"], row["state"], row["reason"]) for row in rows]
