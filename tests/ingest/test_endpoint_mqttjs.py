"""The endpoint against Node's mqtt.js; `make test` installs it from tests/ingest/mqttjs/package-lock.json."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import node_program
from tests.ingest.plant import SECRET, Plant
from tests.support.wait import eventually

CLIENT = Path(__file__).parent / "mqttjs" / "client.mjs"
COUNT = 200

pytestmark = pytest.mark.needs("mqttjs")


async def run(plant: Plant, **job: Any) -> dict[str, Any]:
    node = node_program()
    assert node is not None
    whole = {"port": plant.port, "user": "A/d1", "password": SECRET, "count": COUNT, **job}
    process = await asyncio.create_subprocess_exec(
        node, str(CLIENT), json.dumps(whole), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, problems = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, problems.decode()
    answer: dict[str, Any] = json.loads(out)
    return answer


@pytest.mark.parametrize("version", [4, 5])
async def test_mqttjs_publishes_with_qos_0_and_1(plant: Plant, version: int) -> None:
    first = time.time_ns() // 1_000_000 - 60_000
    answer = await run(plant, version=version, first=first)
    # To MQTT 5 a publish to another device's topic is answered with "not authorized", to 3.1.1 with a plain PUBACK.
    assert answer == {"granted": 1, "foreign": 0x87 if version == 5 else 0}
    rows = await plant.rows("SELECT pm10 FROM reading_dust ORDER BY time")
    assert [value for (value,) in rows] == list(range(COUNT))
    assert await plant.reasons() == ["forbidden_topic"]
    assert await eventually(lambda: plant.value("SELECT NOT connected FROM device_seen"))


@pytest.mark.parametrize(("version", "code"), [(4, 4), (5, 0x86)])
async def test_mqttjs_is_told_why_it_may_not(plant: Plant, version: int, code: int) -> None:
    assert await run(plant, version=version, password="wrong", first=0) == {"refused": code}
