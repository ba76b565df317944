"""A notification process that is really killed, again and again, while it sends."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from pathlib import Path

from fastapi import Request
from fastapi.responses import Response

from alerts import notices
from core.clock import SystemClock
from core.settings import Settings
from tests.alerts.outgoing import world
from tests.alerts.providers import Feishu
from tests.support.stubs import served
from tests.support.wait import eventually

_PROGRAM = """
import asyncio, sys
from pathlib import Path
from alerts.notices import worker
from core.clock import SystemClock
from core.settings import load_settings
from sensors.registry import RegistryWatch

async def main():
    settings, clock = load_settings(Path(sys.argv[1])), SystemClock()
    watch = RegistryWatch(settings.database, application="killed", clock=clock)
    await watch.open()
    await worker.run(settings, watch, clock, asyncio.Event())

asyncio.run(main())
"""
ALERTS, KILLS, IN_FLIGHT = 40, 4, 4


class SlowFeishu(Feishu):
    """Takes a while for each, so that a kill meets some in mid-call."""

    per_minute = 100_000

    async def hook(self, token: str, request: Request) -> Response:
        await asyncio.sleep(0.05)
        return await super().hook(token, request)


async def test_killed_while_it_sends_nothing_is_lost_and_only_what_was_in_mid_call_comes_twice(
    settings: Settings, tmp_path: Path
) -> None:
    clock = SystemClock()
    assert settings.database.url is not None
    config = tmp_path / "smartsite.toml"
    config.write_text(
        f"data_dir = {json.dumps(str(settings.data_dir))}\n"
        f"[database]\nurl = {json.dumps(settings.database.url.get_secret_value())}\n"
        f"[alerts.notify]\nin_flight = {IN_FLIGHT}\nper_minute = {{}}\n"
    )
    feishu = SlowFeishu(clock)
    async with world(settings, clock) as place, served(feishu.app) as base:
        await place.person("wang", feishu.contact(base))
        for number in range(ALERTS):
            alert = await place.alert(rule=f"rule-{number:02}", subject=f"device:{number}")
            await notices.plan(place.connection, alert, "raised", place.registry, place.settings, clock)

        async def left() -> int:
            return sum(row["state"] != "sent" for row in await place.rows("notification"))

        kills = 0
        for turn in range(KILLS + 1):
            process = await asyncio.create_subprocess_exec(sys.executable, "-c", _PROGRAM, str(config))
            try:
                if turn == KILLS:

                    async def all_sent() -> bool:
                        return await left() == 0

                    await eventually(all_sent, timeout=60)
                else:
                    before = len(feishu.taken)
                    await eventually(lambda before=before: len(feishu.taken) >= before + 5, timeout=60)  # type: ignore[misc]
            finally:
                process.kill()
                await process.wait()
            kills += turn < KILLS
        told = Counter(body["card"]["header"]["title"]["content"] for _, body in feishu.taken)
    assert len(told) == ALERTS
    doubled = {title: count for title, count in told.items() if count > 1}
    assert sum(count - 1 for count in doubled.values()) <= kills * IN_FLIGHT // 2
