"""``smartsite cameras``: simulated cameras to try the platform with."""

from __future__ import annotations

import argparse
import asyncio

from core.settings import Settings

HELP = "serve simulated cameras over RTSP"
DESCRIPTION = """\
Serves one stream a PATH at rtsp://HOST:PORT/PATH: a building site on which a surveyor without a hard hat comes into
view and leaves it again. Needs the extra `demo`, which carries the photograph.
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("paths", nargs="*", default=["gate"], metavar="PATH", help="streams to serve (gate)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=8554, help="port to listen on (%(default)s)")


def run(options: argparse.Namespace, settings: Settings) -> int:
    from core import logs
    from smartsite.console import say
    from smartsite.demo import scene
    from smartsite.demo.cameras import run_camera_server
    from smartsite.running import run_until_signal

    logs.setup(settings.log, process="cameras")
    clip = scene.clip()
    paths = [path.strip("/") for path in options.paths]

    async def serve(stop: asyncio.Event) -> None:
        for path in paths:
            say(f"rtsp://{options.host}:{options.port}/{path}")
        await run_camera_server(options.host, options.port, dict.fromkeys(paths, clip), stop)

    run_until_signal(serve)
    return 0
