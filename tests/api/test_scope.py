"""Nobody sees or touches a site that is not theirs: every route, walked."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import APIWebSocketRoute

from api import alerts, cameras, deliveries, devices, evidence, live, session, sites, system
from core.sql import queries
from tests.api.conftest import LogIn
from tests.api.world import World

ROOT = "/api/v1/"
PUBLIC = {("post", "/api/v1/session")}
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
    "submit": {"version": 1},
    "deadline": {"version": 1, "deadline_at": 1785600000000},
    "assign": {"version": 1, "person": "code-southerner"},
    "comment": {"version": 1},
    "supervision": {"version": 1, "listed": True, "text": "x"},
    "stop-work": {"version": 1, "scope": "x", "text": "x"},
    "resume-work": {"version": 1},
    "withdraw": {"version": 1},
}


def operations(app: FastAPI) -> list[tuple[str, str]]:
    """(method, path) of everything below the root."""
    paths = app.openapi()["paths"]
    return [(method, path) for path, found in paths.items() for method in found if path.startswith(ROOT)]


def body_of(path: str) -> Any:
    parts = path.split("/")
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
        "mute_id": str(await world.mute("south-mute", "south")),
        "delivery_id": str(await world.delivery(alert)),
        "sha256": await world.evidence(b"south-crop"),
        "order_id": str(await world.order("south")),
    }


async def test_without_a_session_every_route_answers_401(
    app: FastAPI, visitor: httpx.AsyncClient, world: World
) -> None:
    ids = await foreign(world)
    walked = 0
    for method, path in operations(app):
        if (method, path) in PUBLIC:
            continue
        answer = await visitor.request(method, path.format(**ids), json=body_of(path), headers=HEADERS)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "unauthenticated"), (method, path)
        walked += 1
    assert walked >= 15


async def test_what_belongs_to_a_foreign_site_is_not_found(app: FastAPI, log_in: LogIn, world: World) -> None:
    ids = await foreign(world)
    await world.connection.execute("UPDATE alert SET crop_sha256 = %s", [ids["sha256"]])
    client = await log_in("supervisor")
    walked = 0
    for method, path in operations(app):
        if "{" not in path:
            continue
        # A parameter that is not in the table fails here: say what it means on a foreign site.
        answer = await client.request(
            method,
            path.format(**ids),
            json=body_of(path),
            params={"channel": "pm10", "points": 9, "period": "hour"},
            headers=HEADERS,
        )
        assert answer.status_code == 404, (method, path, answer.text)
        assert answer.json()["error"]["code"] == "not_found"
        walked += 1
    assert walked >= 6
    row = await (await world.connection.execute("SELECT acknowledged_at, verdict FROM alert")).fetchone()
    assert row == (None, None)


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


async def test_system_and_quarantine_are_for_those_who_see_all(log_in: LogIn, world: World) -> None:
    for path in ("system", "quarantine"):
        assert (await (await log_in("officer")).get(ROOT + path)).status_code == 403
        assert (await (await log_in("auditor")).get(ROOT + path)).status_code == 200


def test_the_walk_knows_every_websocket() -> None:
    parts = (alerts, cameras, deliveries, devices, evidence, live, session, sites, system)
    sockets = {route.path for part in parts for route in part.router.routes if isinstance(route, APIWebSocketRoute)}
    assert sockets == {"/live", "/cameras/{camera_id}/live"}  # walked in test_live and test_cameras


@pytest.mark.parametrize("name", sorted(queries("api")))
def test_every_statement_on_what_belongs_to_sites_takes_the_scope(name: str) -> None:
    """A statement that reads a table of sites filters by %(sites)s, or says in its first line why not."""
    statement = queries("api")[name]
    reads = re.search(
        r"\b(FROM|JOIN)\s+(site|device|camera|permit|mute|alert\w*|delivery\w*|notification|quarantine|evidence"
        r"|rectification\w*)\b",
        statement,
    )
    access = name.startswith(("session", "person"))
    if reads and not access and not statement.startswith("-- Unscoped:"):
        assert "%(sites)s::int[] IS NULL OR" in statement
