"""Start and end of the process."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys

import pytest

from core.errors import ConfigurationError
from core.settings import Settings
from ingest.service import serve
from tests.ingest.plant import furnish, running, with_ingest
from tests.ingest.raw import RawClient
from tests.support.wait import eventually


async def test_a_port_that_is_taken_is_a_clear_error(settings: Settings, database_url: str) -> None:
    await furnish(database_url)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"cannot listen on 127.0.0.1:{port}") as caught:
            await serve(with_ingest(settings, mqtt_port=port), asyncio.Event())
    assert "MQTT_PORT" in caught.value.hint


async def test_who_is_connected_is_unknown_once_the_endpoint_has_gone(settings: Settings, database_url: str) -> None:
    await furnish(database_url)
    async with running(with_ingest(settings)) as plant:
        client = await RawClient.enter(plant.port)
        await eventually(lambda: plant.value("SELECT connected FROM device_seen"))
    answer = await client.packet()
    assert answer is not None
    assert (answer.kind, answer.body[0]) == (14, 0x8B)
    async with running(with_ingest(settings)) as plant:
        assert await plant.rows("SELECT connected FROM device_seen") == [(None,)]
        assert await plant.value("SELECT count(*) FROM log_entry") == 1


async def test_the_heartbeat_tells_what_a_supervisor_wants_to_know(settings: Settings, database_url: str) -> None:
    await furnish(database_url)
    async with running(with_ingest(settings, worker="7")) as plant:
        await RawClient.enter(plant.port)

        async def connected() -> bool:
            rows = await plant.rows(
                "SELECT name, detail - 'watermark',"
                " abs((detail->>'watermark')::bigint / 1e6 - extract(epoch FROM beat_at))"
                " FROM worker WHERE room = 'ingest'"
            )
            return [row[:2] for row in rows] == [
                ("ingest-7", {"waiting": 0, "mqtt_port": plant.port, "connected": 1})
            ] and rows[0][2] < 1

        await eventually(connected)


def test_the_soft_limit_of_open_files_is_raised_as_far_as_it_may_be() -> None:
    program = """
import resource
from ingest.tcp import allow_connections
resource.setrlimit(resource.RLIMIT_NOFILE, (256, 2000))
allow_connections(1000)
print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
allow_connections(5000)
print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1256", "2000"]
    assert "fewer open files" in done.stderr
