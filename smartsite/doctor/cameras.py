"""The cameras of the registry: whether each delivers pictures, and what to change on it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from core.database import connect
from core.errors import InvalidInput
from core.settings import Settings
from sensors.registry import Camera, load_registry
from smartsite.doctor.finding import Finding, fail, ok, warn
from vision.check import CameraReport, check_source
from vision.options import camera_settings

_WATCH_S = 2.5
#: Each check decodes video: more at a time would only fight for the same cores.
_AT_A_TIME = 4


async def examine(settings: Settings) -> AsyncIterator[Finding]:
    """One finding a camera that is enabled."""
    async with await connect(settings.database, application="doctor") as connection:
        registry = await load_registry(connection)
    cameras = [camera for camera in registry.cameras.values() if camera.enabled]
    if not cameras:
        yield ok("cameras", "none is in the registry")
    turn = asyncio.Semaphore(_AT_A_TIME)

    async def look(camera: Camera) -> Finding:
        name = f"camera {registry.sites[camera.site_id].code}/{camera.code}"
        try:
            options = camera_settings(settings.vision.camera, camera.options)
        except InvalidInput as error:
            return fail(name, error.message, error.hint)
        async with turn:
            report = await asyncio.to_thread(check_source, camera.url, options, watch_s=_WATCH_S)
        return _judge(name, report)

    for finding in await asyncio.gather(*(look(camera) for camera in cameras)):
        yield finding


def _judge(name: str, report: CameraReport) -> Finding:
    if not report.usable:
        return fail(name, f"{report.url}: {report.state} ({report.reason}) {report.message}", report.remedy)
    fact = f"{report.width}x{report.height} {report.codec}, {report.fps:g} frames a second"
    return warn(name, fact, "; ".join(report.advice)) if report.advice else ok(name, fact)
