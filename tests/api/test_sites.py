"""Sites: their colour and its reason, counts, units, and what stands on them."""

from __future__ import annotations

import psycopg

from tests.api.conftest import LogIn
from tests.api.world import World


async def test_a_list_of_sites_shows_only_ones_own(log_in: LogIn, world: World) -> None:
    officer, operator, nobody = await log_in("officer"), await log_in("operator"), await log_in("nobody")
    assert [site["code"] for site in (await officer.get("/api/v1/sites")).json()["items"]] == ["north"]
    assert [site["code"] for site in (await operator.get("/api/v1/sites")).json()["items"]] == ["north", "south"]
    assert (await nobody.get("/api/v1/sites")).json() == {"items": []}


async def test_the_colour_of_a_site_has_a_reason_in_both_languages(log_in: LogIn, world: World) -> None:
    client = await log_in("officer")

    async def colour() -> tuple[str, str, str]:
        site = (await client.get("/api/v1/sites")).json()["items"][0]
        return site["state"], site["reason"]["zh"], site["reason"]["en"]

    assert await colour() == ("grey", "尚未收到任何数据", "no data yet")
    await world.seen("dust-north")
    assert await colour() == ("green", "正常", "all is well")
    await world.seen("crane-north", ago_s=3600)
    await world.camera_state("cam-north", "unreachable", reason="timeout")
    assert await colour() == ("yellow", "1 台设备离线，1 路摄像机离线", "1 device is off line, 1 camera is off line")
    await world.alert("w", device="dust-north", severity="warning")
    assert await colour() == ("yellow", "1 条预警未解除", "1 warning is open")
    serious = await world.alert("m", device="dust-north", severity="major")
    await world.alert("c", device="dust-north", severity="critical")
    assert await colour() == ("red", "2 条严重告警未解除", "2 serious alerts are open")
    await world.connection.execute("UPDATE alert SET verdict = 'false_alarm' WHERE id <> %s", [serious])
    assert await colour() == ("red", "1 条严重告警未解除", "1 serious alert is open")


async def test_a_site_counts_what_it_has(log_in: LogIn, world: World, connection: psycopg.AsyncConnection) -> None:
    client = await log_in("operator")
    await world.seen("dust-north")
    await world.camera_state("cam-north", "online")
    await world.alert("i", device="dust-north", severity="info")
    await connection.execute("INSERT INTO unit (code, name, name_en) VALUES ('b', '建设公司', 'Builder')")
    await connection.execute("INSERT INTO site_unit SELECT %s, id, 'builder' FROM unit", [world.ids["north"]])
    north, south = (await client.get("/api/v1/sites")).json()["items"]
    assert north["devices"] == {"total": 2, "online": 1}
    assert north["cameras"] == {"total": 1, "online": 1}
    assert north["open_alerts"] == {"info": 1, "warning": 0, "major": 0, "critical": 0}
    assert north["units"] == [{"role": "builder", "name": "建设公司", "name_en": "Builder"}]
    assert south["open_alerts"] == {"info": 0, "warning": 0, "major": 0, "critical": 0}


async def test_one_site_comes_with_its_devices_and_cameras(log_in: LogIn, world: World) -> None:
    client = await log_in("officer")
    site = (await client.get(f"/api/v1/sites/{world.ids['north']}")).json()
    assert [device["code"] for device in site["devices"]] == ["crane-north", "dust-north"]
    assert [camera["code"] for camera in site["cameras"]] == ["cam-north"]
    assert "hidden" not in str(site)  # the camera's address holds a password


async def test_a_foreign_site_looks_like_one_that_does_not_exist(log_in: LogIn, world: World) -> None:
    client = await log_in("officer")
    foreign = (await client.get(f"/api/v1/sites/{world.ids['south']}")).json()["error"]
    unknown = (await client.get("/api/v1/sites/4711")).json()["error"]
    assert foreign["code"] == unknown["code"] == "not_found"
    assert foreign["message"].replace(str(world.ids["south"]), "4711") == unknown["message"]


async def test_a_disabled_site_is_gone(log_in: LogIn, world: World, connection: psycopg.AsyncConnection) -> None:
    client = await log_in("officer")
    await connection.execute("UPDATE site SET enabled = false")
    assert (await client.get("/api/v1/sites")).json() == {"items": []}
    assert (await client.get("/api/v1/devices")).json() == {"items": []}
