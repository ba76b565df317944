"""Cameras: their state, the snapshot, and the relay of live pictures from a vision worker's own server."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

import httpx
import psycopg
import pytest
from psycopg.types.json import Jsonb
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from api.looks import EVERY_S, Looks
from core.settings import Settings
from tests.api.conftest import CookieOf, LogIn
from tests.api.world import World
from tests.support.clock import FakeClock
from tests.support.wait import eventually
from vision.live import LiveFeed, LiveServer
from vision.video import VideoFeed

HEADER = json.dumps({"time": 1, "width": 8, "height": 8, "boxes": []}).encode()
PICTURE = len(HEADER).to_bytes(4, "little") + HEADER + b"\xff\xd8 a picture"


class StillCamera:
    """A camera of the vision room that shows one picture."""

    def __init__(self) -> None:
        self.feed, self.original = LiveFeed(lambda: None), LiveFeed(lambda: None)
        self.video = VideoFeed(lambda: None)
        self.picture: bytes | None = b"\xff\xd8 a still"

    async def snapshot(self, *, original: bool) -> bytes | None:
        return self.picture and self.picture + (b", as it was taken" if original else b"")


async def register(world: World, port: int, name: str = "vision-1") -> None:
    """The heartbeat row of a vision worker; it does not grow old during a test, however long that takes."""
    await world.connection.execute(
        "INSERT INTO worker VALUES (%s, 'vision', 'localhost', 1, %s, %s + interval '1 hour', %s)",
        [name, world.now, world.now, Jsonb({"live_host": "127.0.0.1", "live_port": port, "cameras": 1})],
    )


@contextlib.asynccontextmanager
async def worker(world: World, code: str = "cam-north", name: str = "vision-1") -> AsyncIterator[StillCamera]:
    """A vision worker that has one camera."""
    camera = StillCamera()
    server = LiveServer({world.ids[code]: camera})
    await server.start("127.0.0.1", 0)
    await register(world, server.port, name)
    try:
        yield camera
    finally:
        await server.close()


@contextlib.asynccontextmanager
async def watching(server: str, camera: int, headers: dict[str, str]) -> AsyncIterator[ClientConnection]:
    url = f"ws://{server}/api/v1/cameras/{camera}/live"
    async with connect(url, additional_headers=headers, proxy=None) as socket:
        yield socket


async def test_a_list_shows_state_and_reason(log_in: LogIn, world: World) -> None:
    await world.camera_state("cam-north", "unreachable", reason="timeout")
    (camera,) = (await (await log_in("officer")).get("/api/v1/cameras")).json()["items"]
    assert camera.pop("figures") is not None
    assert camera == {
        "id": world.ids["cam-north"],
        "site_id": world.ids["north"],
        "code": "cam-north",
        "name": "摄像机 cam-north",
        "name_en": "Camera cam-north",
        "zone": "",
        "state": "unreachable",
        "reason": "timeout",
        "since": int(world.now.timestamp() * 1000) - 1000,
        "fps": 25,
        "frames_analysed": 7,
    }


async def test_a_snapshot_comes_from_the_vision_worker(log_in: LogIn, world: World) -> None:
    client = await log_in("officer")
    url = f"/api/v1/cameras/{world.ids['cam-north']}/snapshot.jpg"
    async with worker(world) as camera:
        answer = await client.get(url)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg")
        assert answer.content == b"\xff\xd8 a still"
        assert answer.headers["cache-control"] == "no-store"
        camera.picture = None
        assert (await client.get(url)).json()["error"]["code"] == "camera_away"
    gone = await client.get(url)
    assert (gone.status_code, gone.json()["error"]["code"]) == (503, "camera_away")


async def test_live_pictures_are_relayed_as_they_are(server: str, cookie_of: CookieOf, current_world: World) -> None:
    headers = await cookie_of("officer")
    async with worker(current_world) as camera:
        async with watching(server, current_world.ids["cam-north"], headers) as socket:
            await eventually(lambda: camera.feed.watched)
            camera.feed.publish(PICTURE)
            assert await asyncio.wait_for(socket.recv(), 10) == PICTURE
        await eventually(lambda: not camera.feed.watched)


async def test_only_who_may_see_originals_sees_heads_as_they_are_and_that_is_told(
    server: str, cookie_of: CookieOf, log_in: LogIn, current_world: World, connection: psycopg.AsyncConnection
) -> None:
    camera_id = current_world.ids["cam-north"]
    async with worker(current_world) as camera:
        async with (
            watching(server, camera_id, await cookie_of("officer")) as officer,
            watching(server, camera_id, await cookie_of("operator")) as operator,
        ):
            await eventually(lambda: camera.feed.watched and camera.original.watched)
            camera.feed.publish(PICTURE + b", blurred")
            camera.original.publish(PICTURE)
            assert await asyncio.wait_for(officer.recv(), 10) == PICTURE + b", blurred"
            assert await asyncio.wait_for(operator.recv(), 10) == PICTURE
        stills = {
            login: (await (await log_in(login)).get(f"/api/v1/cameras/{camera_id}/snapshot.jpg")).content
            for login in ("officer", "operator")
        }
    assert stills == {"officer": b"\xff\xd8 a still", "operator": b"\xff\xd8 a still, as it was taken"}
    # Two: the live pictures came from one server, the stills from another.
    assert await originals(connection) == [("code-operator", f"camera:{camera_id}")] * 2


async def originals(connection: psycopg.AsyncConnection) -> list[tuple[str, str]]:
    cursor = await connection.execute("SELECT actor, object FROM audit WHERE action = 'camera.original' ORDER BY id")
    return [(actor, thing) for actor, thing in await cursor.fetchall()]


async def test_looks_at_originals_are_told_once_an_hour_for_each_person_and_camera(
    connection: psycopg.AsyncConnection, clock: FakeClock
) -> None:
    looks = Looks(clock)
    for actor, camera in (("ann", 3), ("ann", 3), ("ann", 4), ("ben", 3)):
        await looks.note(connection, actor, {"id": camera, "site_id": 1})
    await clock.advance(EVERY_S - 1)
    await looks.note(connection, "ann", {"id": 3, "site_id": 1})
    await clock.advance(1)
    await looks.note(connection, "ann", {"id": 3, "site_id": 1})
    assert await originals(connection) == [
        ("ann", "camera:3"),
        ("ann", "camera:4"),
        ("ben", "camera:3"),
        ("ann", "camera:3"),
    ]


async def test_no_picture_goes_out_whose_row_cannot_be_written(
    log_in: LogIn, current_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object, **__: object) -> None:
        raise psycopg.OperationalError("the database is away")

    client = await log_in("operator")
    async with worker(current_world):
        monkeypatch.setattr("api.looks.audit.append", refuse)
        answer = await client.get(f"/api/v1/cameras/{current_world.ids['cam-north']}/snapshot.jpg")
    assert answer.status_code == 503
    assert b"still" not in answer.content


async def test_the_bureau_can_let_everybody_see_heads_as_they_are(
    log_in: LogIn, world: World, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(settings.api.__dict__, "blur_live", False)
    client = await log_in("officer")
    async with worker(world):
        answer = await client.get(f"/api/v1/cameras/{world.ids['cam-north']}/snapshot.jpg")
    assert answer.content == b"\xff\xd8 a still, as it was taken"


async def test_pictures_come_from_whichever_worker_has_the_camera(
    server: str, cookie_of: CookieOf, current_world: World
) -> None:
    headers = await cookie_of("auditor")
    async with (
        worker(current_world, "cam-north", "vision-1") as north,
        worker(current_world, "cam-south", "vision-2") as south,
    ):
        async with httpx.AsyncClient(headers=headers, trust_env=False) as client:
            for code, camera in (("cam-north", north), ("cam-south", south)):
                camera.picture = code.encode()
                url = f"http://{server}/api/v1/cameras/{current_world.ids[code]}/snapshot.jpg"
                assert (await client.get(url)).content == code.encode()
        async with (
            watching(server, current_world.ids["cam-north"], headers) as one,
            watching(server, current_world.ids["cam-south"], headers) as other,
        ):
            await eventually(lambda: north.feed.watched and south.feed.watched)
            north.feed.publish(PICTURE + b"north")
            south.feed.publish(PICTURE + b"south")
            assert await asyncio.wait_for(one.recv(), 10) == PICTURE + b"north"
            assert await asyncio.wait_for(other.recv(), 10) == PICTURE + b"south"


async def test_the_relay_ends_with_the_worker(server: str, cookie_of: CookieOf, current_world: World) -> None:
    headers = await cookie_of("officer")
    async with contextlib.AsyncExitStack() as vision:
        camera = await vision.enter_async_context(worker(current_world))
        async with watching(server, current_world.ids["cam-north"], headers) as socket:
            await eventually(lambda: camera.feed.watched)
            await vision.aclose()
            with pytest.raises(ConnectionClosed):
                await asyncio.wait_for(socket.recv(), 10)
    assert (socket.close_code, socket.close_reason) == (4503, "camera_away")


@pytest.mark.parametrize(
    ("login", "camera", "code", "reason"),
    [
        ("officer", "cam-south", 4404, "not_found"),
        ("nobody", "cam-north", 4404, "not_found"),
        ("officer", "cam-north", 4503, "camera_away"),  # no worker runs
        (None, "cam-north", 1008, "unauthenticated"),
    ],
)
async def test_who_is_not_let_in_learns_why(
    server: str, cookie_of: CookieOf, current_world: World, login: str | None, camera: str, code: int, reason: str
) -> None:
    headers = await cookie_of(login) if login else {}
    async with watching(server, current_world.ids[camera], headers) as socket:
        with pytest.raises(ConnectionClosed):
            await asyncio.wait_for(socket.recv(), 10)
    assert (socket.close_code, socket.close_reason) == (code, reason)


async def test_a_worker_that_hangs_is_no_reason_to_hang(
    log_in: LogIn, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.cameras._ANSWER_S", 0.2)

    async def silence(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await stop.wait()
        writer.close()

    stop = asyncio.Event()
    server = await asyncio.start_server(silence, "127.0.0.1", 0)
    await register(world, server.sockets[0].getsockname()[1])
    client = await log_in("officer")
    answer: httpx.Response = await client.get(f"/api/v1/cameras/{world.ids['cam-north']}/snapshot.jpg")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "camera_away")
    stop.set()
    server.close()
    await server.wait_closed()


async def test_a_camera_tells_how_it_is_read(log_in: LogIn, world: World) -> None:
    await world.camera_state("cam-north", "stalled", reason="no_data")
    detail = {"message": "connected, but no data arrives", "fps": 0, "codec": "hevc", "decode_ms": 4.5, "width": 1920}
    await world.connection.execute(
        "UPDATE camera_state SET detail = %s, frames_in = 500, frames_gated = 40", [Jsonb(detail)]
    )
    found = (await (await log_in("operator")).get("/api/v1/cameras")).json()["items"]
    [north] = [one for one in found if one["code"] == "cam-north"]
    assert (north["state"], north["reason"], north["frames_analysed"]) == ("stalled", "no_data", 7)
    figures = north["figures"]
    assert (figures["codec"], figures["width"], figures["decode_ms"]) == ("hevc", 1920, 4.5)
    assert (figures["frames_in"], figures["frames_gated"], figures["message"]) == (500, 40, detail["message"])
    [south] = [one for one in found if one["code"] == "cam-south"]
    assert south["figures"] is None
