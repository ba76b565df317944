"""Many cameras over one WebSocket: who gets what, one stream a camera for all watchers, and what slow ones lose."""

from __future__ import annotations

import asyncio
import contextlib
import json
import struct
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

import psycopg
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.api.conftest import CookieOf
from tests.api.test_cameras import PICTURE, StillCamera, register, worker
from tests.api.world import World
from tests.support.wait import eventually
from vision.live import LiveServer
from vision.video import message

INIT = message({"kind": "init", "codec": "avc1.42c01e", "width": 640, "height": 360}, b"ftyp moov")


def fragment(number: int, *, key: bool, size: int = 100) -> bytes:
    return message({"kind": "fragment", "key": key, "time": number, "at": number / 5}, bytes(size))


def publish(camera: StillCamera, data: bytes) -> None:
    (length,) = struct.unpack_from("<I", data)
    header = json.loads(data[4 : 4 + length])
    camera.video.publish(data, kind=header["kind"], key=header.get("key", False))


@contextlib.asynccontextmanager
async def wall(server: str, headers: dict[str, str], **options: Any) -> AsyncIterator[ClientConnection]:
    async with connect(
        f"ws://{server}/api/v1/video", additional_headers=headers, proxy=None, compression=None, **options
    ) as opened:
        yield opened


async def watch(client: ClientConnection, **cameras: str) -> None:
    """Wish for cameras by id (`c7="video"`)."""
    wish = [{"camera": int(name[1:]), "as": form} for name, form in cameras.items()]
    await client.send(json.dumps({"watch": wish}))


async def receive(client: ClientConnection) -> tuple[int, dict[str, Any], bytes]:
    """Camera, header and payload of the next message."""
    data = await asyncio.wait_for(client.recv(decode=False), 10)
    assert isinstance(data, bytes)
    camera, length = struct.unpack_from("<II", data)
    return camera, json.loads(data[8 : 8 + length]), data[8 + length :]


async def audited(connection: psycopg.AsyncConnection, action: str = "camera.video") -> list[tuple[str, str]]:
    cursor = await connection.execute("SELECT actor, object FROM audit WHERE action = %s ORDER BY id", [action])
    return [(actor, thing) for actor, thing in await cursor.fetchall()]


async def test_video_comes_as_it_is_from_one_stream_for_all(
    server: str, cookie_of: CookieOf, current_world: World, connection: psycopg.AsyncConnection
) -> None:
    north = current_world.ids["cam-north"]
    headers = await cookie_of("operator")
    async with worker(current_world) as camera, wall(server, headers) as one, wall(server, headers) as other:
        await watch(one, **{f"c{north}": "video"})
        await eventually(lambda: camera.video.watched)
        for data in (INIT, fragment(0, key=True), fragment(1, key=False)):
            publish(camera, data)
        assert await receive(one) == (
            north, {"kind": "init", "codec": "avc1.42c01e", "width": 640, "height": 360}, b"ftyp moov",
        )  # fmt: skip
        assert [(await receive(one))[1]["time"] for _ in range(2)] == [0, 1]
        # Who comes later begins at the newest key frame, without another stream from the camera's worker.
        await watch(other, **{f"c{north}": "video"})
        assert [(await receive(other))[1]["kind"] for _ in range(3)] == ["init", "fragment", "fragment"]
        assert len(camera.video._watchers) == 1
        await watch(one)
        publish(camera, fragment(2, key=False))
        assert (await receive(other))[1]["time"] == 2
        await watch(other)
        await eventually(lambda: not camera.video.watched)
    assert await audited(connection) == [("code-operator", f"camera:{north}")] * 2


async def test_pictures_have_faces_for_who_may_see_originals(
    server: str, cookie_of: CookieOf, current_world: World, connection: psycopg.AsyncConnection
) -> None:
    north = current_world.ids["cam-north"]
    async with worker(current_world) as camera, wall(server, await cookie_of("operator")) as client:
        await watch(client, **{f"c{north}": "pictures"})
        await eventually(lambda: camera.original.watched)
        assert not camera.feed.watched
        camera.original.publish(PICTURE)
        assert (await receive(client))[2] == b"\xff\xd8 a picture"
    await eventually(lambda: not camera.original.watched)
    assert await audited(connection, "camera.original") == [("code-operator", f"camera:{north}")]


async def test_pictures_are_for_roles_that_see_no_originals(
    server: str, cookie_of: CookieOf, current_world: World, connection: psycopg.AsyncConnection
) -> None:
    north = current_world.ids["cam-north"]
    async with worker(current_world) as camera, wall(server, await cookie_of("officer")) as client:
        await watch(client, **{f"c{north}": "video"})
        assert await receive(client) == (north, {"kind": "refused", "code": "forbidden"}, b"")
        assert not camera.video.watched
        await watch(client, **{f"c{north}": "pictures"})
        await eventually(lambda: camera.feed.watched)
        camera.feed.publish(PICTURE)
        assert (await receive(client))[2] == b"\xff\xd8 a picture"
    await eventually(lambda: not camera.feed.watched)
    assert await audited(connection) == []


async def test_cameras_of_other_sites_are_unknown(server: str, cookie_of: CookieOf, current_world: World) -> None:
    south = current_world.ids["cam-south"]
    async with wall(server, await cookie_of("officer")) as client:
        for form in ("video", "pictures"):
            await watch(client, **{f"c{south}": form, "c999999": form})
            told = sorted([await receive(client), await receive(client)])
            assert [header for _, header, _ in told] == [{"kind": "refused", "code": "not_found"}] * 2


async def test_a_worker_that_goes_is_told_and_found_again(
    server: str, cookie_of: CookieOf, current_world: World, connection: psycopg.AsyncConnection
) -> None:
    north = current_world.ids["cam-north"]
    async with wall(server, await cookie_of("operator")) as client:
        await watch(client, **{f"c{north}": "video"})
        assert await receive(client) == (north, {"kind": "away", "code": "camera_away"}, b"")
        async with worker(current_world) as camera:
            await eventually(lambda: camera.video.watched)
            publish(camera, INIT)

            async def begun() -> bool:
                return (await receive(client))[1]["kind"] == "init"

            await eventually(begun)
        await connection.execute("DELETE FROM worker WHERE room = 'vision'")
        assert (await receive(client))[1]["kind"] == "away"


async def test_a_relay_that_fails_is_told_to_all_who_watch_and_tried_again(
    server: str, cookie_of: CookieOf, current_world: World, caplog: pytest.LogCaptureFixture
) -> None:
    north = current_world.ids["cam-north"]
    headers = await cookie_of("operator")
    async with worker(current_world) as camera, wall(server, headers) as client, wall(server, headers) as later:
        await watch(client, **{f"c{north}": "video"})
        await eventually(lambda: camera.video.watched)
        before = set(camera.video._watchers)
        camera.video.publish(b"no message", kind="fragment")
        assert await receive(client) == (north, {"kind": "away", "code": "relay_failed"}, b"")
        await watch(later, **{f"c{north}": "video"})
        assert await receive(later) == (north, {"kind": "away", "code": "relay_failed"}, b"")
        (record,) = [one for one in caplog.records if one.message == "relay of a camera failed"]
        assert record.exc_info
        await eventually(lambda: camera.video._watchers - before)
        publish(camera, INIT)
        for viewer in (client, later):
            assert (await receive(viewer))[1]["kind"] == "init"
    await eventually(lambda: not camera.video.watched)


async def test_who_reads_nothing_loses_fragments_and_gets_a_key_frame_next(
    server: str, cookie_of: CookieOf, current_world: World
) -> None:
    north = current_world.ids["cam-north"]
    headers = await cookie_of("operator")
    quick: list[int] = []
    async with worker(current_world) as camera, wall(server, headers) as reader, wall(server, headers) as sleeper:
        for client in (reader, sleeper):
            await watch(client, **{f"c{north}": "video"})
        await eventually(lambda: camera.video.watched)
        publish(camera, INIT)
        assert (await receive(reader))[1]["kind"] == "init"
        assert (await receive(sleeper))[1]["kind"] == "init"
        sleeper.transport.pause_reading()
        for number in range(150):  # 30 MB, of which sockets and queues hold a part
            publish(camera, fragment(number, key=number % 10 == 0, size=200_000))
            quick.append((await receive(reader))[1]["time"])
        assert quick == list(range(150)), "one who reads is not held up"
        sleeper.transport.resume_reading()
        publish(camera, fragment(150, key=True))
        got: list[dict[str, Any]] = []
        while not got or got[-1]["time"] < 150:
            got.append((await receive(sleeper))[1])
    assert len(got) < 150
    for earlier, later in pairwise(got):
        assert later["time"] == earlier["time"] + 1 or later["key"]


@pytest.mark.parametrize("text", ["{", '{"watch": [{"camera": 1, "as": "film"}]}', '{"watch": [{"camera": 0}]}', "[]"])
async def test_what_cannot_be_understood_is_said(
    server: str, cookie_of: CookieOf, current_world: World, text: str
) -> None:
    async with wall(server, await cookie_of("operator")) as client:
        await client.send(text)
        with pytest.raises(ConnectionClosed):
            await asyncio.wait_for(client.recv(), 10)
    assert (client.close_code, client.close_reason) == (4422, "invalid_input")


async def test_nobody_who_is_not_logged_in(server: str, current_world: World) -> None:
    async with wall(server, {}) as client:
        with pytest.raises(ConnectionClosed):
            await asyncio.wait_for(client.recv(), 10)
    assert client.close_code == 1008


async def test_two_workers_are_asked_in_turn(server: str, cookie_of: CookieOf, current_world: World) -> None:
    """The worker that has the camera is not the first that is found."""
    without = LiveServer({})
    await without.start("127.0.0.1", 0)
    try:
        async with worker(current_world) as camera:
            await current_world.connection.execute("UPDATE worker SET name = 'vision-2' WHERE room = 'vision'")
            await register(current_world, without.port)
            async with wall(server, await cookie_of("operator")) as client:
                await watch(client, **{f"c{current_world.ids['cam-north']}": "video"})
                await eventually(lambda: camera.video.watched)
                publish(camera, INIT)
                assert (await receive(client))[1]["kind"] == "init"
    finally:
        await without.close()
