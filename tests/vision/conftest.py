from __future__ import annotations

from collections.abc import AsyncIterator

import numpy as np
import pytest

from core.settings import CameraSettings
from smartsite.demo import scene
from smartsite.demo.clip import Clip
from smartsite.demo.rtsp import RtspServer, Stream

FPS = 10


@pytest.fixture(scope="session")
def visit() -> Clip:
    """The demo's scene in a hurry: three seconds of empty site, five with the surveyor."""
    site = scene.panorama()
    empty, busy = scene.view(site, 0.0), scene.view(site, 1.0)
    return scene.encode([empty] * (3 * FPS) + [busy] * (5 * FPS), fps=FPS)


@pytest.fixture(scope="session")
def surveyor() -> Clip:
    """Three seconds of nothing but the surveyor."""
    return scene.encode([scene.view(scene.panorama(), 1.0)] * (3 * FPS), fps=FPS)


@pytest.fixture(scope="session")
def tiny() -> Clip:
    """Two seconds of a noise-free chequered wall, small and quick to decode, every picture a little brighter."""
    wall = np.kron(np.indices((9, 16)).sum(axis=0) % 2 * 40 + 40, np.ones((20, 20))).astype(np.uint8)
    pictures = [np.repeat((wall + 4 * number)[..., None], 3, axis=2) for number in range(2 * FPS)]
    return scene.encode(pictures, fps=FPS)


@pytest.fixture(scope="session")
def blank() -> Clip:
    """Two seconds of nothing to be seen."""
    return scene.encode([np.full((180, 320, 3), 90, np.uint8)] * (2 * FPS), fps=FPS)


@pytest.fixture
async def rtsp(tiny: Clip, blank: Clip, visit: Clip, surveyor: Clip) -> AsyncIterator[RtspServer]:
    """A camera server on a free port: a stream for each clip, and `locked` with a password."""
    clips = {"tiny": tiny, "blank": blank, "visit": visit, "surveyor": surveyor}
    streams = {name: Stream(clip) for name, clip in clips.items()}
    server = RtspServer({**streams, "locked": Stream(tiny, login=("admin", "p@ss word"))})
    await server.start("127.0.0.1", 0)
    yield server
    await server.close()


@pytest.fixture
def hasty() -> CameraSettings:
    """A camera that decides and forgives within seconds; but no busy machine is taken for a stalled stream."""
    return CameraSettings(
        fps=2,
        attentive_fps=10,
        vote_positive=3,
        vote_window=5,
        quiet_s=1.5,
        cool_down_s=0,
        open_timeout_s=3,
        read_timeout_s=20,
    )
