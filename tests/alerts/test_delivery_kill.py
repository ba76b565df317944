"""A delivery process that is really killed, in the middle of a call."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from core.clock import SystemClock
from core.settings import Settings
from tests.alerts.outgoing import delivering, folder, target, with_targets, world
from tests.support.regulator import CLIENT, SECRET, Sandbox, sandbox
from tests.support.wait import eventually

_PROGRAM = """
import asyncio, sys
from pathlib import Path
from alerts import delivery
from core.clock import SystemClock
from core.settings import load_settings
asyncio.run(delivery.run(load_settings(Path(sys.argv[1])), SystemClock(), asyncio.Event()))
"""


@pytest.fixture
async def regulator(settings: Settings) -> AsyncIterator[Sandbox]:
    async with sandbox(folder(settings)) as running:
        yield running


@pytest.mark.parametrize(("keys", "state"), [(True, "accepted"), (False, "uncertain")])
async def test_a_process_killed_in_mid_call_leaves_its_work_free_at_once(
    settings: Settings, regulator: Sandbox, tmp_path: Path, keys: bool, state: str
) -> None:
    # The lease would last for minutes: what frees it is the end of the process.
    settings = with_targets(settings, target(regulator.url, keys=keys, timeout_s=120))
    assert settings.database.url is not None
    config = tmp_path / "smartsite.toml"
    config.write_text(
        f"data_dir = {json.dumps(str(settings.data_dir))}\n"
        f"[database]\nurl = {json.dumps(settings.database.url.get_secret_value())}\n"
        f'[[alerts.targets]]\nname = "bureau"\nurl = "{regulator.url}"\nclient_id = "{CLIENT}"\nsecret = "{SECRET}"\n'
        f'rules = ["*"]\nkeys = {str(keys).lower()}\ntimeout_s = 120\n'
    )
    regulator.behave(no_keys=not keys, delay_s=60)
    async with world(settings, SystemClock()) as place:
        await place.enqueue(await place.alert())
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", _PROGRAM, str(config))
        try:
            await eventually(lambda: regulator.waiting, timeout=30)
        finally:
            process.kill()
            await process.wait()
        regulator.behave(no_keys=not keys)

        async def settled() -> bool:
            return await place.states() == [state]

        async with delivering(settings, SystemClock()):
            await eventually(settled)
        # What the killed process had sent was not stored yet: where keys are known, the next one has sent it again.
        assert [item["accepted"] for item in regulator.received()] == ([1] if keys else [])
