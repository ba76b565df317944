"""A real Alertmanager takes our alerts."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from core.clock import SystemClock
from core.settings import Settings
from tests.alerts.outgoing import World, delivering, target, with_targets, world
from tests.alerts.test_delivery_adapter import plain, server
from tests.support.ports import free_port
from tests.support.wait import eventually

_CONFIG = "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n"


@pytest.fixture
async def alertmanager(tmp_path: Path) -> AsyncIterator[str]:
    program = shutil.which("prometheus-alertmanager")
    assert program is not None
    config = tmp_path / "alertmanager.yml"
    config.write_text(_CONFIG)
    url = f"http://127.0.0.1:{free_port()}"
    log = (tmp_path / "alertmanager.log").open("wb")
    process = subprocess.Popen(
        [program, f"--config.file={config}", f"--storage.path={tmp_path / 'alertmanager'}", "--cluster.listen-address=",
         f"--web.listen-address={url.removeprefix('http://')}"],
        stdout=subprocess.DEVNULL, stderr=log, start_new_session=True,
    )  # fmt: skip
    try:
        async with httpx.AsyncClient(trust_env=False) as client:

            async def ready() -> bool:
                assert process.poll() is None, (tmp_path / "alertmanager.log").read_text()
                try:
                    return (await client.get(f"{url}/-/ready")).status_code == 200
                except httpx.TransportError:
                    return False

            await eventually(ready, timeout=60, every=0.1)
        yield url
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        log.close()


async def held(url: str) -> dict[str, dict[str, Any]]:
    """Alertmanager's alerts by our number."""
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(f"{url}/api/v2/alerts")
    return {alert["labels"]["alert_id"]: alert for alert in answer.json()}


def sink(url: str, **changes: Any) -> Any:
    return target(url, adapter="alertmanager", client_id="", secret="", requires=[], **changes)


@pytest.mark.needs("alertmanager")
async def test_a_real_alertmanager_has_our_alerts_until_they_end(settings: Settings, alertmanager: str) -> None:
    # Its clock is the machine's, so ours is too.
    clock = SystemClock()
    settings = with_targets(settings, sink(alertmanager, options={"labels": {"city": "chengdu"}}))
    async with world(settings, clock) as place, delivering(settings, clock):
        first, second = await place.alert(), await place.alert(subject="device:2", severity="critical")
        await place.enqueue(first)
        await place.enqueue(second)

        async def both() -> bool:
            return set(await held(alertmanager)) == {str(first.id), str(second.id)}

        await eventually(both)
        alert = (await held(alertmanager))[str(first.id)]
        assert alert["labels"] == {
            "alertname": "pm10-high",
            "alert_id": str(first.id),
            "severity": "major",
            "site": "east",
            "subject": "device:dust-1",
            "metric": "pm10",
            "city": "chengdu",
        }
        assert alert["annotations"]["site_name"] == "东区一号工地"
        assert alert["annotations"]["max_value"] == "163.5"
        assert alert["status"]["state"] in ("active", "unprocessed")
        await place.enqueue(await place.clear(first), "end")

        async def resolved() -> bool:
            return set(await held(alertmanager)) == {str(second.id)}

        await eventually(resolved)

        async def recorded() -> bool:
            return await place.states() == ["accepted"] * 3

        await eventually(recorded)


async def _stacked(place: World, count: int) -> None:
    for number in range(count):
        await place.enqueue(await place.alert(subject=f"device:{number}"))


async def test_alerts_go_out_together(settings: Settings) -> None:
    sizes: list[int] = []

    async def answer(request: bytes, writer: asyncio.StreamWriter) -> None:
        sizes.append(len(json.loads(request.partition(b"\r\n\r\n")[2])))
        await plain("200 OK")(request, writer)

    clock = SystemClock()
    async with server(answer) as url:
        settings = with_targets(settings, sink(url, in_flight=1))
        async with world(settings, clock) as place:
            await _stacked(place, 150)
            async with delivering(settings, clock):

                async def done() -> bool:
                    return set(await place.states()) == {"accepted"}

                await eventually(done)
    assert sizes == [64, 64, 22]


async def test_one_that_is_refused_does_not_take_the_others_with_it(settings: Settings) -> None:
    async def answer(request: bytes, writer: asyncio.StreamWriter) -> None:
        sent = json.loads(request.partition(b"\r\n\r\n")[2])
        bad = any(alert["labels"]["severity"] == "critical" for alert in sent)
        await plain("400 Bad Request" if bad else "200 OK")(request, writer)

    clock = SystemClock()
    async with server(answer) as url:
        settings = with_targets(settings, sink(url, in_flight=1))
        async with world(settings, clock) as place:
            await _stacked(place, 3)
            await place.enqueue(await place.alert(subject="device:bad", severity="critical"))
            await place.enqueue(await place.alert(subject="device:last"))
            async with delivering(settings, clock):
                expected = ["accepted"] * 3 + ["config_error"] + ["accepted"]

                async def done() -> bool:
                    return await place.states() == expected

                await eventually(done)
