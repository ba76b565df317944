"""The rules over the API: what is written, what the engine judges by, and what a text is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from alerts.rules import builtin_packs, load
from alerts.rules.versions import put_in_force
from api.app import build
from api.service import opened
from core.settings import Settings
from sensors.profiles import load_profiles
from tests.alerts.world import PM10
from tests.api.conftest import BASE, LogIn
from tests.api.world import PASSWORD, World
from tests.support.clock import FakeClock

URL = "/api/v1/rules"


async def test_the_packs_are_listed_with_what_the_engine_judges_by(
    log_in: LogIn, world: World, clock: FakeClock
) -> None:
    client = await log_in("leader")
    packs = load(builtin_packs(), load_profiles(None))
    listed = (await client.get(URL)).json()
    assert [one["id"] for one in listed["items"]] == [rule.id for rule in packs]
    assert listed["problems"] == []
    assert {one["in_force"] for one in listed["items"]} == {False}
    async with world.connection.transaction():
        await put_in_force(world.connection, packs.enabled, clock=clock)
    listed = (await client.get(URL)).json()
    assert {one["id"] for one in listed["items"] if one["in_force"]} == {rule.id for rule in packs.enabled}
    first = listed["items"][0]
    assert (first["origin"], first["file"]) == ("pack", builtin_packs()[0].name)


async def test_a_rule_is_shown_as_it_is_written_and_with_its_versions(
    log_in: LogIn, world: World, clock: FakeClock
) -> None:
    (known,) = [rule for rule in load(builtin_packs(), load_profiles(None)) if rule.id == "pm10-hour-warning"]
    async with world.connection.transaction():
        await put_in_force(world.connection, [known.model_copy(update={"name_en": "before"})], clock=clock)
        await put_in_force(world.connection, [known], clock=clock)
    client = await log_in("integrator")
    found = (await client.get(f"{URL}/{known.id}")).json()
    assert (found["version"], found["in_force"]) == (2, True)
    assert [(one["version"], one["definition"]["name_en"]) for one in found["versions"]] == [
        (2, known.name_en),
        (1, "before"),
    ]
    assert found["text"].startswith('[[rules]]\nid = "pm10-hour-warning"\n')
    assert found["text"].count("[[rules]]") == 1
    assert found["explanation"]["zh"].startswith(f"pm10-hour-warning: {known.name}")
    # What is shown can be sent back: it is the rule in force, and no fault is in it.
    checked = (await client.post(f"{URL}/check", json={"text": found["text"]})).json()
    assert checked["problems"] == []
    assert [(one["id"], one["replaces"], one["changes"]) for one in checked["rules"]] == [(known.id, True, False)]
    assert (await client.get(f"{URL}/none")).json()["error"]["code"] == "not_found"


async def test_a_text_is_told_its_faults_by_line_rule_and_field(log_in: LogIn, world: World) -> None:
    client = await log_in("leader")

    async def check(text: str) -> list[tuple[int, str, str]]:
        answer = await client.post(f"{URL}/check", json={"text": text})
        assert answer.status_code == 200, answer.text
        return [(one["line"], one["rule"], one["field"]) for one in answer.json()["problems"]]

    assert await check(PM10) == []
    lines = {text.split(" = ")[0]: number for number, text in enumerate(PM10.splitlines(), start=1)}
    assert await check(PM10.replace("µg/m³", "mg/m³")) == [(lines["unit"], "pm10", "unit")]
    assert await check(PM10.replace('"threshold"', '"other"')) == [(lines["kind"], "pm10", "kind")]
    assert await check(PM10.replace('"5 s"', "5")) == [(lines["clear_after"], "pm10", "clear_after")]
    first = PM10.replace('id = "pm10"', 'id = "other"')
    assert [found[1] for found in await check(PM10 + first)] == ["other"]
    assert [found[1:] for found in await check(PM10 + PM10)] == [("pm10", "id")]


@pytest.mark.parametrize(
    "text",
    [
        "x = " + "[" * 900,
        "\n".join("[" * 900 for _ in range(30)),
        "x = " + "[\n" * 5000,
        "\n".join("x = " + "9" * 900 for _ in range(3)),
        "a." * 15000 + "a = 1",
        PM10.replace('"5 s"', '"' + "9" * 400 + ' d"'),
        PM10.replace('"5 s"', '"999999999999 d"'),
        "rules = 1",
        "",
    ],
)
async def test_a_hostile_text_is_told_a_fault(log_in: LogIn, world: World, text: str) -> None:
    answer = await (await log_in("leader")).post(f"{URL}/check", json={"text": text})
    assert answer.status_code == 200, answer.text
    assert answer.json()["problems"]


async def test_a_text_beyond_the_limit_is_refused(log_in: LogIn, world: World) -> None:
    answer = await (await log_in("leader")).post(f"{URL}/check", json={"text": "#" * 32769})
    assert answer.status_code == 422


@pytest.fixture
async def with_own_files(settings: Settings, clock: FakeClock, world: World, tmp_path: Path) -> AsyncIterator[FastAPI]:
    """The application where the bureau's own file is read in place of the packs."""
    (tmp_path / "own.toml").write_text(PM10, encoding="utf-8")
    alerts = settings.alerts.model_copy(update={"rules": [tmp_path]})
    settings = settings.model_copy(update={"alerts": alerts})
    async with opened(settings, clock) as context:
        assert settings.api.web_dir is not None
        yield build(context, web_dir=settings.api.web_dir)


async def test_own_files_are_followed_and_their_faults_are_told(with_own_files: FastAPI, tmp_path: Path) -> None:
    transport = httpx.ASGITransport(with_own_files, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url=BASE) as client:
        await client.post("/api/v1/session", json={"login": "leader", "password": PASSWORD})
        (found,) = (await client.get(URL)).json()["items"]
        assert (found["id"], found["origin"], found["file"]) == ("pm10", "file", "own.toml")
        (tmp_path / "own.toml").write_text(PM10.replace("µg/m³", "mg/m³"), encoding="utf-8")
        (problem,) = (await client.get(URL)).json()["problems"]
        assert (problem["file"], problem["rule"], problem["field"]) == ("own.toml", "pm10", "unit")
        assert str(tmp_path) not in (await client.get(URL)).text


PACKED = "pm10-hour-warning"


async def _write(client: httpx.AsyncClient, rule: str, text: str, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await client.put(f"{URL}/{rule}", json={"text": text, "reason": "new order"}, headers=named)


async def test_a_rule_of_the_packs_is_written_over_and_given_back(log_in: LogIn, world: World) -> None:
    client = await log_in("leader")
    found = (await client.get(f"{URL}/{PACKED}")).json()
    assert (found["origin"], found["file_text"], found["revisions"]) == ("pack", None, [])
    text = found["text"].replace('severity = "', 'severity = "critical" # "')
    assert text != found["text"]
    assert (await _write(client, PACKED, text)).status_code == 422  # read it first
    answer = await _write(client, PACKED, text, if_match=found["etag"])
    assert answer.status_code == 200, answer.text
    after = answer.json()
    assert (after["origin"], after["severity"], after["file"]) == ("written", "critical", "")
    assert (after["text"], after["file_text"]) == (text, found["text"])
    (revision,) = after["revisions"]
    assert (revision["revision"], revision["reason"], revision["written_by"]) == (1, "new order", "code-leader")
    assert (revision["written_by_name"], revision["written_by_name_en"]) == ("人员 leader", "leader")
    # The same form again changes nothing; another one that was read before is stale.
    again = await _write(client, PACKED, text, if_match=found["etag"])
    assert (again.status_code, len(again.json()["revisions"])) == (200, 1)
    stale = await _write(client, PACKED, text + "# x\n", if_match=found["etag"])
    assert (stale.status_code, stale.json()["error"]["code"]) == (412, "stale")
    listed = {one["id"]: one for one in (await client.get(URL)).json()["items"]}
    assert listed[PACKED]["origin"] == "written"
    assert len(listed) == len(load(builtin_packs(), load_profiles(None)))

    withdrawn = {"json": {"reason": "order is off"}, "headers": {"if-match": after["etag"]}}
    assert (await client.post(f"{URL}/{PACKED}/withdraw", **withdrawn)).status_code == 204
    back = (await client.get(f"{URL}/{PACKED}")).json()
    assert (back["origin"], back["text"]) == ("pack", found["text"])
    assert [(one["revision"], one["text"] is None) for one in back["revisions"]] == [(2, True), (1, False)]
    gone = await client.post(f"{URL}/{PACKED}/withdraw", **withdrawn)
    assert gone.json()["error"]["code"] == "not_found"
    query = "SELECT action, detail FROM audit WHERE object = %s ORDER BY id"
    rows = await (await world.connection.execute(query, [f"rule:{PACKED}"])).fetchall()
    assert rows == [
        ("rule.write", {"reason": "new order", "revision": 1}),
        ("rule.withdraw", {"reason": "order is off", "revision": 2}),
    ]


async def test_a_new_rule_and_what_keeps_it_from_being_written(log_in: LogIn, world: World) -> None:
    client = await log_in("leader")
    faulty = await _write(client, "pm10", PM10.replace("µg/m³", "mg/m³"), if_none_match="*")
    (field,) = faulty.json()["error"]["fields"]
    assert (faulty.status_code, field["field"], field["values"]["rule"]) == (422, "body.text", "pm10")
    assert field["message"].startswith("line ")
    for text in (PM10, PM10 + PM10.replace('"pm10"', '"other"').replace("150", "160")):
        other = await _write(client, "other-id", text, if_none_match="*")
        assert (other.status_code, other.json()["error"]["fields"][0]["field"]) == (422, "body.text")
    made = await _write(client, "pm10", PM10, if_none_match="*")
    assert (made.status_code, made.json()["origin"]) == (200, "written")
    taken = await _write(client, "pm10", PM10 + "# x\n", if_none_match="*")
    assert (taken.status_code, taken.json()["error"]["code"]) == (412, "stale")
    # What would say the same twice is refused, whichever of the two comes last.
    twin = await _write(client, "twin", PM10.replace('id = "pm10"', 'id = "twin"'), if_none_match="*")
    assert twin.status_code == 422
    etag = made.json()["etag"]
    gone = await client.post(f"{URL}/pm10/withdraw", json={"reason": "x"}, headers={"if-match": etag})
    assert gone.status_code == 204
    assert (await client.get(f"{URL}/pm10")).status_code == 404


async def test_what_was_written_is_not_withdrawn_where_faults_would_follow(with_own_files: FastAPI) -> None:
    transport = httpx.ASGITransport(with_own_files, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url=BASE) as client:
        csrf = (await client.post("/api/v1/session", json={"login": "leader", "password": PASSWORD})).json()["csrf"]
        client.headers["x-csrf-token"] = csrf
        etag = (await client.get(f"{URL}/pm10")).json()["etag"]
        over = (await _write(client, "pm10", PM10.replace("150", "130"), if_match=etag)).json()
        # As the files' rule was; while that one is written over, it is no twin.
        assert (await _write(client, "twin", PM10.replace('"pm10"', '"twin"', 1), if_none_match="*")).status_code == 200
        refused = await client.post(f"{URL}/pm10/withdraw", json={"reason": "x"}, headers={"if-match": over["etag"]})
        assert (refused.status_code, refused.json()["error"]["fields"][0]["values"]["rule"]) == (422, "twin")


async def test_two_people_who_write_at_once_do_not_overwrite_each_other(log_in: LogIn, world: World) -> None:
    client = await log_in("leader")
    etag = (await client.get(f"{URL}/{PACKED}")).json()["etag"]
    text = (await client.get(f"{URL}/{PACKED}")).json()["text"]
    answers = await asyncio.gather(
        *(_write(client, PACKED, f"{text}# {number}\n", if_match=etag) for number in range(4))
    )
    assert sorted(answer.status_code for answer in answers) == [200, 412, 412, 412]
