"""Every list that grows is paged, and what a caller has already is not sent again: all GET routes, walked."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from api.app import ROOT
from tests.api.conftest import LogIn
from tests.api.test_scope import foreign
from tests.api.world import World
from tests.support.clock import FakeClock

PAGED = {"cursor", "before", "after"}
# As long as the registry, a site's share of it or a file is, and needed whole: states and filters are over all of it.
WHOLE = {
    "/sites": "the map and its sums",
    "/devices": "the board of all stations",
    "/cameras": "the wall's choice",
    "/kinds": "profiles",
    "/accounts": "people of the bureau",
    "/registry/sites": "the registry",
    "/registry/cameras": "the registry",
    "/registry/cameras/options": "settings",
    "/alerts/{alert_id}/assignees": "people of a site",
    "/inspections/checklists": "files",
    "/inspections/{inspection_id}": "its checklist",
    "/rules": "files",
    "/targets": "settings",
    "/cameras/{camera_id}/ptz/presets": "as many as the camera keeps",
}
# Answers that change with the moment they are given at.
OF_THE_MOMENT = {"/rectifications/statistics"}


def gets(app: FastAPI) -> dict[str, dict[str, Any]]:
    """GET operations below the root that answer with JSON, by path."""
    return {
        path.removeprefix(ROOT): operations["get"]
        for path, operations in app.openapi()["paths"].items()
        if path.startswith(ROOT)
        and "get" in operations
        and "200" in operations["get"]["responses"]
        and "schema" in operations["get"]["responses"]["200"]["content"].get("application/json", {})
    }


def lists(app: FastAPI) -> dict[str, dict[str, Any]]:
    """Those whose answer is an array or has one as `items`."""
    schemas = app.openapi()["components"]["schemas"]

    def listed(operation: dict[str, Any]) -> bool:
        schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
        schema = schemas[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
        return schema.get("type") == "array" or "items" in schema.get("properties", {})

    return {path: operation for path, operation in gets(app).items() if listed(operation)}


def test_every_list_that_grows_is_paged(app: FastAPI) -> None:
    found = lists(app)
    assert {"/alerts", "/audit", "/tokens", "/sites/{site_id}/permits"} <= found.keys()
    assert WHOLE.keys() <= found.keys()
    names = {path: {one["name"] for one in operation.get("parameters", [])} for path, operation in found.items()}
    growing = found.keys() - WHOLE.keys()
    bare = {path for path in growing if not names[path] & PAGED or "limit" not in names[path]}
    assert not bare, "page them, or name them in WHOLE with the reason"


async def pages(client: httpx.AsyncClient, path: str, name: str, limit: int) -> list[int]:
    """The ids of all pages, one after another."""
    found: list[int] = []
    cursor: Any = None
    for _ in range(20):
        query = {"limit": limit} | ({name: cursor} if cursor is not None else {})
        answer = (await client.get(f"{ROOT}{path}", params=query)).json()
        items = answer if isinstance(answer, list) else answer["items"]
        assert len(items) <= limit
        found += [one["id"] for one in items]
        cursor = (items[-1]["id"] if items else None) if isinstance(answer, list) else answer["next"]
        if cursor is None:
            return found
    raise AssertionError(f"{path} never ends")


async def test_pages_of_permits_leave_nothing_out(log_in: LogIn, world: World) -> None:
    client = await log_in("leader")
    # Two begin at the same moment, and ids are not in the order of the beginnings.
    days = (3, 1, 2, 2, 5)
    for number, day in enumerate(days):
        begins = world.now + timedelta(days=day)
        await world.permit(f"p{number}", "north", starts_at=begins, ends_at=begins + timedelta(hours=1))
    path = f"/sites/{world.ids['north']}/permits"
    whole = [one["id"] for one in (await client.get(ROOT + path)).json()]
    assert len(whole) == len(days)
    assert await pages(client, path, "before", 2) == whole


async def test_pages_of_documents_leave_nothing_out(log_in: LogIn, world: World) -> None:
    client = await log_in("leader")
    documents = [await world.document(f"d{number}", "north") for number in range(4)]
    for limit in (2, 3):
        assert await pages(client, f"/sites/{world.ids['north']}/documents", "before", limit) == documents[::-1]


async def test_pages_of_tokens_and_commands_leave_nothing_out(log_in: LogIn, world: World) -> None:
    client = await log_in("leader")
    tokens = [await world.token(f"t{number}", "leader") for number in range(5)]
    assert await pages(client, "/tokens", "before", 2) == tokens[::-1]
    device = world.ids["dust-north"]
    commands = []
    for _ in range(4):
        cursor = await world.connection.execute(
            "INSERT INTO command (device_id, name, requested_by, requested_at, expires_at, state)"
            " VALUES (%s, 'x', 'code-leader', %s, %s, 'done') RETURNING id",
            [device, world.now, world.now + timedelta(minutes=1)],
        )
        commands += [number for (number,) in await cursor.fetchall()]
    # The last page may be full, too.
    for limit in (2, 3):
        assert await pages(client, f"/devices/{device}/commands", "before", limit) == commands[::-1]


async def test_what_the_caller_has_is_not_sent_again(
    app: FastAPI, log_in: LogIn, world: World, clock: FakeClock
) -> None:
    client, ids = await log_in("leader"), await foreign(world)
    walked = set()
    for path, operation in gets(app).items():
        needed = {
            one["name"]: {"channel": "pm10", "period": "hour"}.get(one["name"], "x")
            for one in operation.get("parameters", [])
            if one["in"] == "query" and one.get("required")
        }
        address = ROOT + path.format(**ids)
        first = await client.get(address, params=needed)
        if first.status_code != 200:
            continue
        await clock.advance(1)
        again = await client.get(address, params=needed, headers={"If-None-Match": first.headers["etag"]})
        if path.endswith("/series") or path in OF_THE_MOMENT:
            continue
        assert (path, again.status_code) == (path, 304)
        assert again.content == b""
        assert again.headers["etag"] == first.headers["etag"]
        walked.add(path)
    # What the page asks for again and again is among them.
    assert {
        "/system", "/mutes", "/sites/{site_id}/control", "/sites/{site_id}/permits", "/sites/{site_id}/rota",
        "/sites/{site_id}/documents",
        "/alerts/{alert_id}", "/alerts", "/sites", "/devices", "/cameras",
    } <= walked  # fmt: skip


@pytest.mark.parametrize("known", ['"other", {etag}', "W/{etag}", "*"])
async def test_the_header_may_name_several(log_in: LogIn, world: World, known: str) -> None:
    client = await log_in("leader")
    first = await client.get(f"{ROOT}/sites")
    again = await client.get(f"{ROOT}/sites", headers={"If-None-Match": known.format(etag=first.headers["etag"])})
    assert again.status_code == 304


async def test_what_has_changed_is_sent(log_in: LogIn, world: World) -> None:
    client = await log_in("leader")
    first = await client.get(f"{ROOT}/alerts")
    await world.alert("new", device="dust-north")
    again = await client.get(f"{ROOT}/alerts", headers={"If-None-Match": first.headers["etag"]})
    assert again.status_code == 200
    assert len(again.json()["items"]) == 1
    assert again.headers["etag"] != first.headers["etag"]
