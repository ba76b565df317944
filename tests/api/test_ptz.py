"""Moving cameras over the API, with a camera that speaks ONVIF: one person at a time, and always a stop."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from fastapi import FastAPI
from psycopg.types.json import Jsonb
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from core.settings import Settings
from tests.api.conftest import CookieOf, LogIn
from tests.api.world import World
from tests.support.onvif import FakeCamera, fake_camera
from tests.support.wait import eventually


@pytest.fixture
async def fake() -> AsyncIterator[FakeCamera]:
    async with fake_camera() as running:
        yield running


async def movable(world: World, fake: FakeCamera, code: str = "cam-north") -> int:
    """The camera is this one from now on."""
    await world.connection.execute(
        "UPDATE camera SET url = %s, options = %s WHERE id = %s",
        [fake.stream, Jsonb({"onvif": fake.service}), world.ids[code]],
    )
    return world.ids[code]


async def audited(world: World) -> list[tuple[str, str, Any]]:
    cursor = await world.connection.execute(
        "SELECT actor, action, detail FROM audit WHERE action LIKE 'camera.p%' ORDER BY id"
    )
    return await cursor.fetchall()


class Seat:
    """The page's end of a hold: repeats its wish as long as it is held."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.told: list[dict[str, Any]] = []
        self._reading = asyncio.create_task(self._read())
        self._wishing: asyncio.Task[None] | None = None

    async def _read(self) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for text in self.socket:
                self.told.append(json.loads(text))

    async def held(self) -> Seat:
        await eventually(lambda: any(one["kind"] == "held" for one in self.told) or self._reading.done())
        assert self.told, (self.socket.close_code, self.socket.close_reason)
        return self

    def push(self, **wish: float) -> None:
        """Hold a direction until `let_go`."""

        async def repeat() -> None:
            while True:
                await self.socket.send(json.dumps(wish))
                await asyncio.sleep(0.4)

        self._wishing = asyncio.create_task(repeat())

    async def silent(self) -> None:
        if self._wishing is not None:
            self._wishing.cancel()
            await asyncio.wait({self._wishing})

    async def let_go(self) -> None:
        await self.silent()
        await self.socket.send("{}")

    async def closed(self) -> tuple[int | None, str | None]:
        await self._reading
        await self.silent()
        return self.socket.close_code, self.socket.close_reason


@contextlib.asynccontextmanager
async def seat(server: str, camera: int, headers: dict[str, str], query: str = "") -> AsyncIterator[Seat]:
    url = f"ws://{server}/api/v1/cameras/{camera}/ptz{query}"
    async with connect(url, additional_headers=headers, proxy=None) as socket:
        mine = Seat(socket)
        try:
            yield mine
        finally:
            await mine.silent()


async def stands_still(fake: FakeCamera, *, timeout: float = 15) -> None:
    """It was moved, and was told to stop: it did not merely run out."""
    await eventually(lambda: fake.names[-1:] == ["Stop"], timeout=timeout)
    assert not fake.moving


async def test_an_operator_moves_a_camera_and_lets_go(
    server: str, cookie_of: CookieOf, current_world: World, fake: FakeCamera
) -> None:
    camera = await movable(current_world, fake)
    async with seat(server, camera, await cookie_of("operator")) as mine:
        await mine.held()
        mine.push(pan=0.5, zoom=-1)
        await eventually(lambda: fake.names.count("ContinuousMove") >= 3)
        assert fake.moving
        assert (fake.orders[0].velocity, fake.orders[0].timeout_s) == ((0.5, 0, -1), 2)
        await mine.let_go()
        await stands_still(fake)
        await eventually(lambda: mine.told[-1] == {"kind": "moving", "moving": False})

    async def free() -> bool:
        cursor = await current_world.connection.execute("SELECT seat, moving, moved_at FROM camera_ptz")
        [(held, moving, moved_at)] = await cursor.fetchall()
        return held is None and not moving and moved_at is not None

    await eventually(free)
    begun, ended = await eventually(lambda: two(current_world))
    assert begun == ("code-operator", "camera.ptz", {"site": current_world.ids["north"], "taken_from": ""})
    assert ended[:2] == ("code-operator", "camera.ptz_end")
    assert (ended[2]["why"], ended[2]["moves"]) == ("left", 1)


async def two(world: World) -> list[tuple[str, str, Any]]:
    found = await audited(world)
    return found if len(found) >= 2 else []


@pytest.mark.parametrize("ending", ["closes", "cut off", "silent", "logged out", "garbage", "fault"])
async def test_however_a_hold_ends_the_camera_stops(
    server: str, cookie_of: CookieOf, current_world: World, fake: FakeCamera, ending: str
) -> None:
    camera = await movable(current_world, fake)
    headers = await cookie_of("operator")
    async with seat(server, camera, headers) as mine:
        await mine.held()
        mine.push(tilt=1)
        await eventually(lambda: fake.names.count("ContinuousMove") >= 2)
        match ending:
            case "closes":
                await mine.silent()
                await mine.socket.close()
            case "cut off":
                mine.socket.transport.abort()
            case "silent":
                await mine.silent()
            case "logged out":
                async with httpx.AsyncClient(base_url=f"http://{server}", headers=headers, trust_env=False) as client:
                    assert (await client.delete("/api/v1/session")).status_code == 204
            case "garbage":
                await mine.socket.send('{"pan": 7}')
                assert await mine.closed() == (4422, "invalid_input")
            case "fault":
                fake.moods["ContinuousMove"] = "fault"
                await eventually(lambda: any(one.get("code") == "fault" for one in mine.told))
                await mine.silent()
        await stands_still(fake)


async def test_two_operators_do_not_pull_at_one_camera(
    server: str, cookie_of: CookieOf, current_world: World, fake: FakeCamera
) -> None:
    camera = await movable(current_world, fake)
    await current_world.person("inspector", "inspector", sites=None)
    officer, operator, inspector = [await cookie_of(login) for login in ("officer", "operator", "inspector")]
    url = f"http://{server}/api/v1/cameras/{camera}/ptz"
    async with httpx.AsyncClient(trust_env=False) as client, seat(server, camera, officer) as first:
        await first.held()
        first.push(pan=1)
        await eventually(lambda: fake.moving)
        # Others see who has it, and are refused; a higher role may take it, but has to say so.
        holder = (await client.get(url, headers=operator)).json()["holder"]
        assert (holder["by"], holder["yours"], holder["may_take"]) == ("code-officer", False, True)
        async with seat(server, camera, operator) as refused:
            assert await refused.closed() == (4409, "camera_held")
        gone = await client.post(f"{url}/presets/1/go", headers=operator)
        assert (gone.status_code, gone.json()["error"]["code"]) == (409, "camera_held")
        async with seat(server, camera, operator, "?over=true") as second:
            await second.held()
            assert await first.closed() == (4409, "camera_taken_over")
            await stands_still(fake)
            # Nobody takes it from their like, whatever they say.
            async with seat(server, camera, inspector, "?over=true") as third:
                assert await third.closed() == (4409, "camera_held")
            assert (await client.get(url, headers=officer)).json()["holder"]["may_take"] is False
            assert (await client.get(url, headers=operator)).json()["holder"]["yours"] is True
    taken = [detail for actor, action, detail in await audited(current_world) if action == "camera.ptz"]
    assert [one["taken_from"] for one in taken] == ["", "code-officer"]


async def test_a_camera_that_dies_amid_a_movement_is_stopped_when_it_is_back(
    server: str, cookie_of: CookieOf, current_world: World, fake: FakeCamera
) -> None:
    camera = await movable(current_world, fake)
    async with seat(server, camera, await cookie_of("operator")) as mine:
        await mine.held()
        mine.push(pan=1)
        await eventually(lambda: fake.moving)
        await fake.die()
        await eventually(lambda: any(one.get("code") == "stop_failed" for one in mine.told))
    # The hand has gone, and has tried; the desk goes on trying.
    await fake.start()
    await stands_still(fake)


@contextlib.asynccontextmanager
async def process(settings: Settings, log: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """`smartsite run api`, ended by force."""
    assert settings.database.url is not None
    environment = {
        **os.environ,
        "SMARTSITE_DATABASE__URL": settings.database.url.get_secret_value(),
        "SMARTSITE_DATA_DIR": str(settings.data_dir),
        "SMARTSITE_API__PORT": "0",
    }
    with log.open("ab") as output:
        running = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "smartsite", "run", "api", env=environment, stdout=output, stderr=output
        )
    try:
        yield running
    finally:
        with contextlib.suppress(ProcessLookupError):
            running.kill()
        await running.wait()


async def test_a_process_that_is_killed_leaves_no_camera_moving(
    settings: Settings, current_world: World, fake: FakeCamera, tmp_path: Path
) -> None:
    camera = await movable(current_world, fake)

    async def address() -> str:
        found = await (
            await current_world.connection.execute("SELECT detail FROM worker WHERE room = 'api'")
        ).fetchone()
        return f"{found[0]['host']}:{found[0]['port']}" if found else ""

    async with process(settings, tmp_path / "log") as first:
        server = await eventually(address, timeout=60)
        async with httpx.AsyncClient(base_url=f"http://{server}", trust_env=False) as client:
            body = {"login": "operator", "password": "correct horse battery staple"}
            await client.post("/api/v1/session", json=body)
            cookie = {"Cookie": f"smartsite_session={client.cookies['smartsite_session']}"}
        async with seat(server, camera, cookie) as mine:
            await mine.held()
            mine.push(pan=1)
            await eventually(lambda: fake.names.count("ContinuousMove") >= 2)
            first.send_signal(signal.SIGKILL)
            await mine.closed()
    # The camera ends it by its own time-out, with nobody there to tell it so; the next process makes sure.
    assert "Stop" not in fake.names
    await eventually(lambda: not fake.moving)
    await current_world.connection.execute("DELETE FROM worker")
    async with process(settings, tmp_path / "log"):
        # It has to start, and the hold of the one that was killed to run out.
        await stands_still(fake, timeout=60)
        found = await eventually(lambda: two(current_world))
        assert found[-1][1:] == ("camera.ptz_end", {"site": current_world.ids["north"], "why": "left_moving"})


async def test_positions_are_told_kept_and_gone_to(log_in: LogIn, world: World, fake: FakeCamera) -> None:
    camera = await movable(world, fake)
    url = f"/api/v1/cameras/{camera}/ptz/presets"
    client = await log_in("operator")
    found = (await client.get(url)).json()["items"]
    assert found == [{"token": "1", "name": "Gate"}, {"token": "2", "name": "塔吊"}]
    kept = await client.post(url, json={"name": " 基坑 "})
    assert (kept.status_code, kept.json()) == (201, {"token": "3", "name": "基坑"})
    assert (await client.post(f"{url}/3/go")).status_code == 204
    assert (fake.orders[-1].name, fake.orders[-1].preset) == ("GotoPreset", "3")
    north = world.ids["north"]
    assert await audited(world) == [
        ("code-operator", "camera.preset_save", {"site": north, "preset": "3", "name": "基坑"}),
        ("code-operator", "camera.preset_go", {"site": north, "preset": "3"}),
    ]
    # To go there is one right, to keep another.
    officer = await log_in("officer")
    assert (await officer.post(f"{url}/1/go")).status_code == 204
    assert (await officer.post(url, json={"name": "x"})).status_code == 403
    assert (await client.post(url, json={"name": "  "})).status_code == 422
    fake.moods["GotoPreset"] = "fault"
    refused = await client.post(f"{url}/9/go")
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "ptz_away")


async def test_whether_a_camera_can_be_moved_is_told_with_the_reason(
    log_in: LogIn, world: World, fake: FakeCamera
) -> None:
    client = await log_in("officer")
    url = f"/api/v1/cameras/{world.ids['cam-north']}/ptz"
    answer = (await client.get(url)).json()
    assert (answer["able"], answer["reason"], answer["holder"]) == (False, "no_ptz", None)
    assert (await client.get(f"{url}/presets")).json()["error"]["code"] == "no_ptz"
    await movable(world, fake)
    answer = (await client.get(url)).json()
    assert (answer["able"], answer["reason"], answer["pan_tilt"], answer["zoom"]) == (True, None, True, True)
    password = fake.stream.replace("p%40ss%3Cw%26rd", "other")
    await world.connection.execute("UPDATE camera SET url = %s", [password])
    answer = (await client.get(url)).json()
    assert (answer["able"], answer["reason"]) == (False, "wrong_password")
    assert "other" not in str(answer)


async def test_a_hold_that_runs_out_is_free_and_what_it_left_is_stopped(
    app: FastAPI, log_in: LogIn, world: World, fake: FakeCamera
) -> None:
    camera = await movable(world, fake)
    client = await log_in("officer")

    async def left(*, ago_s: float, expires_in_s: float) -> None:
        await world.connection.execute(
            "INSERT INTO camera_ptz (camera_id, seat, holder, role, since, expires_at, moving, moved_at) "
            "VALUES (%(id)s, 's', 'code-operator', 'operator', %(at)s, %(end)s, true, %(at)s) "
            "ON CONFLICT (camera_id) DO UPDATE SET seat = 's', moving = true, moved_at = excluded.moved_at, "
            "expires_at = excluded.expires_at",
            {
                "id": camera,
                "at": world.now - timedelta(seconds=ago_s),
                "end": world.now + timedelta(seconds=expires_in_s),
            },
        )

    desk = app.state.context.ptz
    await left(ago_s=1, expires_in_s=9)
    await desk.sweep(app.state.context)
    assert fake.names == []
    assert (await client.get(f"/api/v1/cameras/{camera}/ptz")).json()["holder"]["by"] == "code-operator"
    await left(ago_s=11, expires_in_s=0)
    assert (await client.get(f"/api/v1/cameras/{camera}/ptz")).json()["holder"] is None
    await desk.sweep(app.state.context)
    await desk.sweep(app.state.context)
    assert fake.names == ["Stop"]
    # One that never answers is not asked for ever.
    await left(ago_s=600, expires_in_s=-590)
    await desk.sweep(app.state.context)
    assert fake.names == ["Stop"]


async def test_sitting_down_needs_the_right_and_a_camera_that_can(
    server: str, cookie_of: CookieOf, current_world: World, connection: psycopg.AsyncConnection
) -> None:
    for login, camera, code in (
        ("auditor", "cam-north", 4403),
        ("officer", "cam-south", 4404),
        ("officer", "cam-north", 4409),
    ):
        async with seat(server, current_world.ids[camera], await cookie_of(login)) as mine:
            assert (await mine.closed())[0] == code, login
    cursor = await connection.execute("SELECT count(*) FROM camera_ptz")
    assert await cursor.fetchone() == (0,)
