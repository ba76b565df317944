"""Sites, devices and cameras made and changed over the API."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from psycopg.types.json import Jsonb

from api import audit
from sensors.credentials import verify
from tests.api.conftest import LogIn
from tests.api.world import World

URL = "/api/v1/registry"
NEW = {"If-None-Match": "*"}
URLS = ("sites/north", "devices/north/dust-north", "cameras/north/cam-north")


@pytest.fixture
async def leader(log_in: LogIn, world: World) -> httpx.AsyncClient:
    assert world.ids
    return await log_in("leader")


async def registered(client: httpx.AsyncClient, path: str) -> dict[str, Any]:
    kind, *key = path.split("/")
    answer = (await client.get(f"{URL}/{kind}")).json()
    items = answer if isinstance(answer, list) else answer["items"]
    (found,) = [one for one in items if [one[name] for name in ("site", "code") if name in one] == key]
    return dict(found)


async def test_a_site_with_device_and_camera_is_made(leader: httpx.AsyncClient, world: World) -> None:
    site = {"name": "西区", "name_en": "West", "region_code": "330108", "latitude": 30.2, "longitude": 120.1}
    answer = await leader.put(f"{URL}/sites/west", json=site, headers=NEW)
    assert answer.status_code == 200, answer.text
    assert answer.json().items() >= {"code": "west", "time_zone": "Asia/Shanghai", "enabled": True, **site}.items()
    made = await leader.put(f"{URL}/devices/west/dust-1", json={"kind": "dust", "name": "一号"}, headers=NEW)
    assert made.status_code == 200, made.text
    secret = made.json()["secret"]
    cursor = await world.connection.execute("SELECT secret_hash FROM device WHERE code = 'dust-1'")
    ((hashed,),) = await cursor.fetchall()
    assert verify(hashed, secret)
    camera = {"name": "大门", "url": "rtsp://admin:pa55word@10.0.0.8/s2", "options": {"score": 0.6}}
    seen = await leader.put(f"{URL}/cameras/west/gate", json=camera, headers=NEW)
    assert seen.json()["url"] == "rtsp://admin:***@10.0.0.8/s2"
    cursor = await world.connection.execute("SELECT action, detail FROM audit WHERE actor = 'code-leader' ORDER BY id")
    rows = [row for row in await cursor.fetchall() if not row[0].startswith("session")]
    assert [action for action, _ in rows] == ["site.make", "device.make", "camera.make"]
    assert secret not in str(rows)
    assert "pa55word" not in str(rows)
    assert (await audit.verify(world.connection)).broken_at is None


@pytest.mark.parametrize("path", URLS)
async def test_of_two_forms_the_second_is_stale_and_one_sent_twice_is_one(
    leader: httpx.AsyncClient, world: World, path: str
) -> None:
    old = await registered(leader, path)
    form = {name: old[name] for name in ("kind", "url") if name in old} | {"name": "新名"}
    headers = {"If-Match": old["etag"]}
    for _ in range(2):
        answer = await leader.put(f"{URL}/{path}", json=form, headers=headers)
        assert (answer.status_code, answer.json()["name"]) == (200, "新名"), answer.text
    late = await leader.put(f"{URL}/{path}", json=form | {"name": "旧表"}, headers=headers)
    assert (late.status_code, late.json()["error"]["code"]) == (412, "stale")
    present = await registered(leader, path)
    left_alone = present.keys() - {"name", "etag", "has_secret"}
    assert {name: present[name] for name in left_alone} == {name: old[name] for name in left_alone}
    cursor = await world.connection.execute("SELECT count(*) FROM audit WHERE action LIKE '%.change'")
    assert await cursor.fetchone() == (1,)
    again = await leader.put(f"{URL}/{path}", json=form | {"name": "x"}, headers=NEW)
    assert again.json()["error"]["code"] == "stale"
    blind = await leader.put(f"{URL}/{path}", json=form | {"name": "x"})
    assert [one["field"] for one in blind.json()["error"]["fields"]] == ["header.if-match"]


@pytest.mark.parametrize(
    ("path", "change", "field", "code"),
    [
        ("sites/north", {"time_zone": "Mars/Base"}, "body.time_zone", "no_time_zone"),
        ("sites/north", {"units": [{"unit": "nobody", "role": "builder"}]}, "body.units", "no_unit"),
        ("sites/north", {"latitude": None, "longitude": 1}, "body", "half_a_place"),
        ("sites/north", {"area_m2": 0}, "body.area_m2", "greater_than"),
        ("devices/north/dust-north", {"kind": "tower_crane"}, "body.kind", "other_kind"),
        ("devices/north/new", {"kind": "nosuch"}, "body.kind", "no_kind"),
        ("devices/north/dust-north", {"gateway": "nosuch"}, "body.gateway", "no_device"),
        ("devices/north/dust-north", {"colour": "red"}, "body.colour", "extra_forbidden"),
        ("cameras/north/cam-north", {"options": {"score": 2}}, "body.options.score", "less_than_equal"),
        (
            "cameras/north/cam-north",
            {"options": {"vote_positive": 9}},
            "body.options.vote_window",
            "vote_never_won",
        ),
        ("cameras/north/cam-north", {"options": {"onvif_profile": "a\0"}}, "body.options.onvif_profile", "unprintable"),
        ("cameras/north/cam-north", {"options": {"onvif": "http://h/\0"}}, "body.options.onvif", "unprintable"),
        (
            "cameras/north/cam-north",
            {"options": {"zones": [{"name": "a\0", "polygon": [[0, 0], [1, 1], [1, 0]]}]}},
            "body.options.zones.0.name",
            "unprintable",
        ),
        ("cameras/north/cam-north", {"options": {"onvif": "ftp://h"}}, "body.options.onvif", "no_onvif_address"),
        ("cameras/north/cam-north", {"options": {"onvif": "http://u:p@h/x"}}, "body.options.onvif", "onvif_secret"),
        (
            "cameras/north/cam-north",
            {"options": {"zones": [{"name": "x", "polygon": []}]}},
            "body.options.zones.0",
            None,
        ),
        (
            "cameras/north/cam-north",
            {"options": {"zones": [{"name": "x", "polygon": [[0, 0], [1, 1], [1, 0], [0, 1]]}]}},
            "body.options.zones.0.polygon",
            "value_error",
        ),
        ("cameras/north/new", {"url": "rtsp://u:***@h/x"}, "body.url", ""),
        ("sites/north", {"stage": "main", "stage_since": "0001-01-01T00:00:00"}, "body.stage_since", "far_time"),
        ("sites/north", {"stage": "main", "stage_since": "9999-12-31T23:59:59-08:00"}, "body.stage_since", "far_time"),
    ],
)
async def test_what_cannot_be_is_told_at_its_field(
    leader: httpx.AsyncClient, path: str, change: dict[str, Any], field: str, code: str | None
) -> None:
    form: dict[str, Any] = {"name": "x"}
    form |= {"kind": "dust"} if path.startswith("devices") else {"url": "0"} if path.startswith("cameras") else {}
    headers = NEW if path.endswith("/new") else {"If-Match": (await registered(leader, path))["etag"]}
    answer = await leader.put(f"{URL}/{path}", json=form | change, headers=headers)
    assert answer.status_code == 422, answer.text
    (fault,) = answer.json()["error"]["fields"]
    assert fault["field"].startswith(field)
    assert code in (fault["code"], None)


async def test_the_options_of_a_camera_are_told_with_their_defaults_and_limits(leader: httpx.AsyncClient) -> None:
    answer = await leader.get(f"{URL}/cameras/options")
    assert answer.status_code == 200, answer.text
    told = {one["name"]: one for one in answer.json()}
    # Each is what a camera may set, and its default is one that a camera may set, too.
    given = {name: one["default"] for name, one in told.items()}
    old = await registered(leader, "cameras/north/cam-north")
    form = {"name": "x", "url": "0", "options": given}
    saved = await leader.put(f"{URL}/cameras/north/cam-north", json=form, headers={"If-Match": old["etag"]})
    assert saved.status_code == 200, saved.text
    for name, one in told.items():
        for end in ("over", "below"):
            if one[end] is not None:
                wrong = form | {"options": {name: one[end]}}
                etag = saved.json()["etag"]
                answer = await leader.put(f"{URL}/cameras/north/cam-north", json=wrong, headers={"If-Match": etag})
                assert [fault["field"] for fault in answer.json()["error"]["fields"]] == [f"body.options.{name}"]


async def test_a_masked_password_stays_and_goes_to_no_other_host(leader: httpx.AsyncClient, world: World) -> None:
    await world.connection.execute(
        "UPDATE camera SET url = 'rtsp://admin:pa55@10.0.0.8/s1', options = %s WHERE code = 'cam-north'",
        [Jsonb({"fps": 2})],
    )

    async def save(url: str) -> httpx.Response:
        headers = {"If-Match": (await registered(leader, "cameras/north/cam-north"))["etag"]}
        return await leader.put(f"{URL}/cameras/north/cam-north", json={"name": "x", "url": url}, headers=headers)

    async def stored() -> tuple[Any, ...]:
        cursor = await world.connection.execute("SELECT url, options FROM camera WHERE code = 'cam-north'")
        return (await cursor.fetchall())[0]

    assert (await save("rtsp://admin:***@10.0.0.8/s2")).json()["url"] == "rtsp://admin:***@10.0.0.8/s2"
    assert await stored() == ("rtsp://admin:pa55@10.0.0.8/s2", {"fps": 2})
    assert (await save("rtsp://admin:***@evil.example/s2")).status_code == 422
    assert (await save("rtsp://admin:new@10.0.0.9/s2")).status_code == 200
    assert (await stored())[0] == "rtsp://admin:new@10.0.0.9/s2"
    # A secret that stands elsewhere in the address, and a password with an @ in it.
    made = await save("rtsp://admin:p@ss@10.0.0.9/s?token=abc")
    assert made.json()["url"] == "rtsp://admin:***@10.0.0.9/s?token=***"
    assert (await save("rtsp://admin:***@10.0.0.9/s?token=***")).status_code == 200
    assert (await stored())[0] == "rtsp://admin:p@ss@10.0.0.9/s?token=abc"
    assert (await save("rtsp://admin:***@10.0.0.9/s2?token=***")).status_code == 422
    assert (await save("rtsp://root:***@10.0.0.9/s2")).status_code == 422
    assert (await save("rtsp://admin:***@10.0.0.9/s2")).status_code == 200
    assert (await stored())[0] == "rtsp://admin:p@ss@10.0.0.9/s2"
    told = str(await (await world.connection.execute("SELECT detail FROM audit")).fetchall())
    assert "rtsp://admin:***@10.0.0.9/s2" in told
    assert not any(secret in told for secret in ("pa55", "p@ss", "abc", ":new@"))


async def test_a_new_secret_takes_the_place_of_the_old_one(leader: httpx.AsyncClient, world: World) -> None:
    answers = [await leader.post(f"{URL}/devices/north/dust-north/secret") for _ in range(2)]
    first, second = (answer.json()["secret"] for answer in answers)
    cursor = await world.connection.execute("SELECT secret_hash FROM device WHERE code = 'dust-north'")
    ((hashed,),) = await cursor.fetchall()
    assert not verify(hashed, first)
    assert verify(hashed, second)
    assert (await leader.post(f"{URL}/devices/north/nosuch/secret")).status_code == 404


async def test_devices_come_in_pages(leader: httpx.AsyncClient, world: World) -> None:
    for number in range(5):
        await leader.put(f"{URL}/devices/south/p-{number}", json={"kind": "dust", "name": "x"}, headers=NEW)
    codes, after = [], None
    while True:
        query = {"limit": 2} | ({"after": after} if after else {})
        answer = (await leader.get(f"{URL}/devices", params=query)).json()
        codes += [f"{one['site']}/{one['code']}" for one in answer["items"]]
        after = answer["next"]
        if after is None:
            break
    assert codes == sorted(set(codes))
    assert len([code for code in codes if code.startswith("south/p-")]) == 5
    only = (await leader.get(f"{URL}/devices", params={"site": "south"})).json()["items"]
    assert {one["site"] for one in only} == {"south"}


async def test_who_has_one_site_changes_that_one_and_makes_none(log_in: LogIn, world: World) -> None:
    await world.person("northern", "integrator", sites=["north"])
    client = await log_in("northern")
    assert [one["code"] for one in (await client.get(f"{URL}/sites")).json()] == ["north"]
    assert (await client.put(f"{URL}/sites/west", json={"name": "x"}, headers=NEW)).status_code == 403
    assert (await client.put(f"{URL}/sites/south", json={"name": "x"}, headers=NEW)).status_code == 404
    device = {"kind": "dust", "name": "x"}
    assert (await client.put(f"{URL}/devices/south/d", json=device, headers=NEW)).status_code == 404
    assert (await client.put(f"{URL}/devices/north/d", json=device, headers=NEW)).status_code == 200


async def test_an_option_without_end_is_a_fault(leader: httpx.AsyncClient) -> None:
    etag = (await registered(leader, "cameras/north/cam-north"))["etag"]
    for word in (b"Infinity", b"-Infinity", b"NaN", b"1e999"):
        answer = await leader.put(
            f"{URL}/cameras/north/cam-north",
            content=b'{"name": "x", "url": "0", "options": {"quiet_s": ' + word + b"}}",
            headers={"If-Match": etag, "Content-Type": "application/json"},
        )
        assert answer.status_code == 422, (word, answer.text)
        assert [(one["field"], one["code"]) for one in answer.json()["error"]["fields"]] == [
            ("body.options.quiet_s", "finite_number")
        ]
