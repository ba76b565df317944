"""Nobody sees or touches a site that is not theirs: every route, walked."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from api.access import Seen
from api.permissions import OPEN, PEOPLE_ONLY, PERMISSIONS, RIGHTS, WHOLE
from core.sql import queries
from tests.api.conftest import LogIn
from tests.api.world import World

ROOT = "/api/v1/"
PUBLIC = {
    ("post", "/api/v1/session"),
    ("get", "/api/v1/session/ways"),
    ("get", "/api/v1/session/oidc"),
    ("get", "/api/v1/session/oidc/callback"),
}
BODIES: dict[str, Any] = {
    "review": {"verdict": "confirmed"},
    "acknowledge": {},
    "commands": {"name": "spray_on"},
    "override": {"minutes": 5},
    "confirm": {"reason": "x"},
    "comments": {"comment": "x"},
    "clear": {"comment": "x"},
    "assignee": {"person": None},
    "severity": {"severity": "critical"},
    "permits": {"kind": "night_work", "reference": "1", "starts_at": 1785571200000, "ends_at": 1785600000000},
    "rota": {"version": 0, "shifts": []},
    "start": {"version": 1},
    "rectifications/review": {"version": 1, "passed": True},
    "photos": "a photo",
    "documents": "a file",
    "{document_id}": {"kind": "contract", "title": "x", "valid_until": None, "note": ""},
    "sites/withdraw": {"reason": "x"},
    "submit": {"version": 1},
    "deadline": {"version": 1, "deadline_at": 1785600000000},
    "assign": {"version": 1, "person": "code-southerner"},
    "comment": {"version": 1},
    "supervision": {"version": 1, "listed": True, "text": "x"},
    "stop-work": {"version": 1, "scope": "x", "text": "x"},
    "resume-work": {"version": 1},
    "withdraw": {"version": 1},
    "tokens": {"name": "walk"},
    "switch": {"on": False, "reason": "x"},
    "code-southerner": {"name": "x", "role": "officer"},
    "{position}": {"version": 1, "result": "pass"},
    "looks": {"camera_id": 1},
    "pictures": {"camera_id": 1},
    "{picture_id}": {"version": 1},
    "findings": {"version": 1, "level": "minor", "title": "x", "requirement": "x", "person": "code-southerner"},
    "finish": {"version": 1},
    "cancel": {"version": 1, "reason": "x"},
    "registry/{site}": {"name": "x"},
    "registry/{device}": {"name": "x", "kind": "dust"},
    "registry/{camera}": {"name": "x", "url": "rtsp://x"},
    "rules/check": {"text": ""},
    "presets": {"name": "x"},
    "password": {"old": "not the old one", "new": "a longer one"},
}


# Steps of an order that its own person may take, too, whatever the role.
OF_THE_RESPONSIBLE = {"POST /rectifications/{order_id}/start", "POST /rectifications/{order_id}/submit"}


def operations(app: FastAPI) -> list[tuple[str, str]]:
    """(method, path) of everything below the root."""
    served = (one.split(" ") for one in sorted(routes(app)))
    return [(method.lower(), f"/api/v1{path}") for method, path in served if method != "WS"]


def body_of(path: str) -> Any:
    parts = path.split("/")
    if path == f"{ROOT}alerts/acknowledge":
        return {"ids": [1]}
    return BODIES.get(f"{parts[3]}/{parts[-1]}", BODIES.get(parts[-1]))


HEADERS = {"Idempotency-Key": "a-key-of-the-walk"}


async def foreign(world: World) -> dict[str, str]:
    """For each path parameter something that exists on the southern site."""
    alert = await world.alert("foreign", camera="cam-south", frame_sha256=await world.evidence(b"south"))
    return {
        "site_id": str(world.ids["south"]),
        "device_id": str(world.ids["dust-south"]),
        "camera_id": str(world.ids["cam-south"]),
        "alert_id": str(alert),
        "permit_id": str(await world.permit("south-permit", "south")),
        "document_id": str(await world.document("south-document", "south")),
        "mute_id": str(await world.mute("south-mute", "south")),
        "delivery_id": str(await world.delivery(alert)),
        "sha256": await world.evidence(b"south-crop"),
        "order_id": str(await world.order("south")),
        "report_id": str(await world.report("south")),
        "code": "code-southerner",
        "site": "south",
        "device": "dust-south",
        "camera": "cam-south",
        "target": "bureau",
        "token_id": str(await world.token("southern", "southerner")),
        "inspection_id": str(await world.inspection("south")),
        "position": "1",
        "rule": "pm10-hour-warning",
        "picture_id": "1",
        "preset": "1",
    }


async def everything(world: World) -> list[tuple[Any, ...]]:
    """What a walk must leave alone."""
    tables = ("alert", "permit", "mute", "delivery", "rectification", "command", "api_token", "rota", "inspection")
    tables += ("site", "device", "camera", "camera_ptz", "site_document")
    found = []
    for table in tables:
        cursor = await world.connection.execute(f"SELECT * FROM {table} ORDER BY 1".encode())
        found += await cursor.fetchall()
    return found


async def closed_with(app: FastAPI, operation: str, ids: dict[str, str], cookies: dict[str, str]) -> int | None:
    """The code with which a WebSocket is closed before anything is sent; None where it is not."""
    path = "/api/v1" + operation.removeprefix("WS ").format(**ids)
    cookie = "; ".join(f"{name}={value}" for name, value in cookies.items())
    scope = {
        "type": "websocket",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "scheme": "ws",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(b"host", b"smartsite.test"), (b"cookie", cookie.encode())],
        "client": ("127.0.0.1", 1),
        "server": ("smartsite.test", 80),
        "subprotocols": [],
    }
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    assert [one["type"] for one in sent] in (["websocket.close"], ["websocket.accept", "websocket.close"]), sent
    return int(sent[-1]["code"])


def routes(app: FastAPI) -> set[str]:
    """Every route below the root that the application serves, by the keys of the table of permissions."""
    found = set()
    for served in iter_route_contexts(app.routes):
        path = served.path or ""
        if path.startswith(ROOT):
            methods = served.methods or {"WS"}
            found |= {f"{method} {path.removeprefix('/api/v1')}" for method in methods - {"HEAD"}}
    return found


def test_every_route_declares_its_permission(app: FastAPI) -> None:
    assert {key(method, path) for method, path in PUBLIC} == OPEN
    assert routes(app) - OPEN == set(PERMISSIONS)
    assert set(PERMISSIONS) >= PEOPLE_ONLY


async def test_a_route_that_declares_none_is_refused_to_everybody(app: FastAPI, log_in: LogIn, world: World) -> None:
    @app.get("/api/v1/forgotten")
    def forgotten(_viewer: Seen) -> str:
        return "never"

    answer = await (await log_in("leader")).get("/api/v1/forgotten")
    assert answer.status_code == 500
    assert "never" not in answer.text


def test_the_docs_tell_each_roles_rights() -> None:
    """The table of docs/api.md is written by hand: what the program does must be what it says."""
    lines = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8").splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("| right |"))
    roles = [cell.strip() for cell in lines[start].strip("|").split("|")[1:]]
    told: dict[str, set[str]] = {role: set() for role in roles}
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        right, *marks = (cell.strip() for cell in line.strip("|").split("|"))
        for role, mark in zip(roles, marks, strict=True):
            assert mark in ("", "yes"), line
            if mark:
                told[role].add(right.split("`")[1])
    assert told == {role: set(rights) for role, rights in RIGHTS.items()}


def allowed(role: str, operation: str, *, all_sites: bool) -> bool:
    needed = PERMISSIONS[operation]
    if needed is None:
        return True
    rights = RIGHTS[role] if all_sites else RIGHTS[role] - WHOLE
    return not rights.isdisjoint({needed} if isinstance(needed, str) else needed)


def key(method: str, path: str) -> str:
    return f"{method.upper()} {path.removeprefix('/api/v1')}"


QUERY = {"channel": "pm10", "points": 9, "period": "hour", "version": 1}


@pytest.mark.parametrize("authorization", [None, "Bearer sst_never-made", "Bearer ", "Basic eDp4"])
async def test_without_a_session_or_token_every_route_answers_401(
    app: FastAPI, visitor: httpx.AsyncClient, world: World, authorization: str | None
) -> None:
    ids = await foreign(world)
    headers = HEADERS | ({} if authorization is None else {"Authorization": authorization})
    for method, path in operations(app):
        if (method, path) in PUBLIC:
            continue
        answer = await visitor.request(method, path.format(**ids), json=body_of(path), headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "unauthenticated"), (method, path)


async def test_without_a_session_every_websocket_is_closed(app: FastAPI, world: World) -> None:
    ids = await foreign(world)
    for operation in sorted(routes(app)):
        if operation.startswith("WS "):
            assert await closed_with(app, operation, ids, {}) == 1008, operation


@pytest.mark.parametrize("role", sorted(RIGHTS))
async def test_a_role_gets_nothing_of_a_foreign_site_and_nothing_beyond_its_rights(
    app: FastAPI, log_in: LogIn, world: World, role: str
) -> None:
    ids = await foreign(world)
    await world.connection.execute("UPDATE alert SET crop_sha256 = %s", [ids["sha256"]])
    await world.person("walker", role, sites=["north"])
    client = await log_in("walker")
    before = await everything(world)
    walked = 0
    for method, path in operations(app):
        operation = key(method, path)
        if (method, path) in PUBLIC or ("{" not in path and allowed(role, operation, all_sites=False)):
            continue  # lists and new things are looked at below
        # A parameter that is not in the table fails here: say what it means on a foreign site.
        url = path.format(**ids)
        answer = await client.request(method, url, json=body_of(path), params=QUERY, headers=HEADERS)
        expected = (404, "not_found") if allowed(role, operation, all_sites=False) else (403, "forbidden")
        assert (answer.status_code, answer.json()["error"]["code"]) == expected, (operation, answer.text)
        walked += 1
    assert walked >= 40
    assert await everything(world) == before
    for operation in sorted(routes(app)):
        if operation.startswith("WS ") and "{" in operation:
            expected_code = 4404 if allowed(role, operation, all_sites=False) else 4403
            assert await closed_with(app, operation, ids, dict(client.cookies)) == expected_code, operation


@pytest.mark.parametrize("role", sorted(RIGHTS))
async def test_a_role_is_let_in_where_it_has_the_right_and_nowhere_else(
    app: FastAPI, log_in: LogIn, world: World, role: str
) -> None:
    ids = await foreign(world)
    await world.person("walker", role, sites=None)
    client = await log_in("walker")
    for method, path in operations(app):
        operation = key(method, path)
        if (method, path) in PUBLIC or operation in ("DELETE /session", "GET /evidence/{sha256}"):
            continue
        answer = await client.request(method, path.format(**ids), json=body_of(path), params=QUERY, headers=HEADERS)
        if operation in OF_THE_RESPONSIBLE:
            assert (answer.status_code == 403) == ("rectify" not in RIGHTS[role]), operation
        elif allowed(role, operation, all_sites=True):
            # Whatever else may be wrong with so bare a request, it is not refused, and breaks nothing.
            assert answer.status_code not in (401, 403, 500), (operation, answer.text)
        else:
            assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden"), operation


async def test_what_exists_nowhere_breaks_nothing_for_who_sees_all(app: FastAPI, log_in: LogIn, world: World) -> None:
    ids = dict.fromkeys(await foreign(world), str(2**30)) | {"sha256": "f" * 64, "code": "nowhere"}
    client = await log_in("leader")
    for method, path in operations(app):
        if "{" not in path:
            continue
        answer = await client.request(method, path.format(**ids), json=body_of(path), params=QUERY, headers=HEADERS)
        assert answer.status_code < 500, (method, path, answer.text)
        if method != "get" or path.endswith("/rota"):
            assert answer.status_code in (404, 422), (method, path, answer.text)


async def test_a_mute_names_a_site_that_there_is(log_in: LogIn, world: World) -> None:
    wanted = {"site_id": 2**30, "rule": "*", "ends_at": int(world.now.timestamp() * 1000) + 60_000, "reason": "x"}
    answer = await (await log_in("leader")).post("/api/v1/mutes", json=wanted)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


async def test_lists_hold_nothing_of_a_foreign_site(app: FastAPI, log_in: LogIn, world: World) -> None:
    await foreign(world)
    client = await log_in("officer")
    for method, path in operations(app):
        if "{" in path or method != "get":
            continue
        for query in ({}, {"site_id": world.ids["south"]}):
            answer = await client.get(path, params=query)
            assert answer.status_code in (200, 403, 404), (path, answer.text)
            assert "south" not in answer.text, path


@pytest.mark.parametrize("name", sorted(queries("api")))
def test_every_statement_on_what_belongs_to_sites_takes_the_scope(name: str) -> None:
    """A statement that reads a table of sites filters by %(sites)s, or says in its first line why not."""
    statement = queries("api")[name]
    reads = re.search(
        r"\b(FROM|JOIN)\s+(site|device|camera|permit|mute|alert\w*|delivery\w*|notification|quarantine|evidence"
        r"|rectification\w*|site_document)\b",
        statement,
    )
    access = name.startswith(("session", "person", "token"))
    if reads and not access and not statement.startswith("-- Unscoped:"):
        assert "%(sites)s::int[] IS NULL OR" in statement
