"""The api process: HTTP server, live push and heartbeat, from start to orderly end."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from importlib import resources
from pathlib import Path

import httpx
import uvicorn

from alerts import linkage
from alerts.linkage import Linkage
from api.app import build
from api.context import Context
from api.limits import JudgedBy
from api.live import Hub
from api.looks import Looks
from api.oidc.provider import Provider
from api.ptz.desk import Desk
from api.rates import Rates
from api.relays import Relays
from api.sockets import Sockets
from core.clock import Clock, SystemClock
from core.database import open_pool
from core.errors import ConfigurationError
from core.evidence import EvidenceStore
from core.settings import Settings
from core.workers import Heartbeat
from sensors.profiles import Profile, load_profiles

logger = logging.getLogger(__name__)

# Bytes that the kernel takes for a client beyond what is under way to it. More would be old news by the time that a
# slow one gets them: what is live stays here, where the newest takes the place of the older.
_UNSENT_BYTES = 128 * 1024
# Seconds; what is still running this long after the stop is cut off: live connections never end by themselves.
_GRACE_S = 2


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Serve until `stop` is set; port 0 takes a free one, and the heartbeat's detail names it.

    Raises ConfigurationError where the address cannot be listened on. The database may be away at any time.
    """
    with _listening(settings.api.host, settings.api.port) as listener:
        port = listener.getsockname()[1]
        async with opened(settings, SystemClock()) as context:
            server = _server(settings, context)
            name = f"api-{socket.gethostname()}-{port}"
            heartbeat = Heartbeat(name, room="api", settings=settings.database, clock=context.clock)
            detail = {"host": settings.api.host, "port": port}
            halt = asyncio.Event()
            async with _settled(), asyncio.TaskGroup() as group:
                background = {
                    group.create_task(context.hub.run(halt), name="live push"),
                    group.create_task(context.ptz.run(context, halt), name="cameras left moving"),
                    group.create_task(heartbeat.run(halt, lambda: detail), name="heartbeat"),
                }
                serving = group.create_task(server.serve(sockets=[listener]), name="http")
                stopping = group.create_task(stop.wait(), name="stop")
                logger.info("serving", extra=detail)
                await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
                server.should_exit = True
                await serving
                stopping.cancel()
                halt.set()
                # While the database is away they wait for it, and would do so for ever.
                _, late = await asyncio.wait(background, timeout=_GRACE_S)
                for task in late:
                    task.cancel()


@contextlib.asynccontextmanager
async def _settled() -> AsyncIterator[None]:
    """What is there by now stays: garbage collection leaves it out, and no longer stops all requests for 0.3 s."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@contextlib.asynccontextmanager
async def opened(settings: Settings, clock: Clock) -> AsyncIterator[Context]:
    """What requests need of their process; the pool is closed at the end."""
    profiles = load_profiles(settings.kinds_dir)
    oidc = None if settings.api.oidc is None else Provider(settings.api.oidc, clock=clock)
    pool = await open_pool(settings.database, application="api")
    # Asks neighbour processes only, which no proxy of the environment lies between.
    http = httpx.AsyncClient(trust_env=False)
    desk = Desk(settings.vision.camera, clock=clock)
    try:
        yield Context(
            settings=settings,
            clock=clock,
            pool=pool,
            evidence=EvidenceStore(settings.evidence_dir),
            profiles=profiles,
            judged_by=JudgedBy(clock),
            linkages=_linkages(settings, profiles),
            http=http,
            hub=Hub(settings.database, clock=clock),
            relays=Relays(),
            looks=Looks(clock),
            sockets=Sockets(),
            rates=Rates(settings.api, clock=clock),
            ptz=desk,
            oidc=oidc,
        )
    finally:
        if oidc is not None:
            await oidc.close()
        await desk.close()
        await http.aclose()
        await pool.close()


def web_folder(settings: Settings) -> Path:
    """The built page: the configured folder, or the one that the package carries."""
    # By name: the folder belongs to the roof, which this room does not import.
    return settings.api.web_dir or Path(str(resources.files("smartsite").joinpath("static")))


def _linkages(settings: Settings, profiles: Mapping[str, Profile]) -> dict[str, Linkage]:
    try:
        return {one.id: one for one in linkage.load(settings.alerts.linkages, profiles)}
    except ConfigurationError as error:
        # The alerts process refuses such files aloud.
        logger.warning("linkages are not usable, they are not shown", extra={"error": error.message})
        return {}


@contextlib.contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family)
    except OSError as error:
        raise ConfigurationError(
            f"cannot listen on {host} port {port}: {error.strerror}",
            hint="set SMARTSITE_API__HOST and SMARTSITE_API__PORT to a free address",
        ) from error
    with listener:
        # Accepted connections inherit it; other systems have no such thing.
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT_BYTES)
        yield listener


class _Server(uvicorn.Server):
    """Leaves the signals to whoever runs the room."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _server(settings: Settings, context: Context) -> _Server:
    config = uvicorn.Config(
        build(context, web_dir=web_folder(settings)),
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=bool(settings.api.proxies),
        forwarded_allow_ips=settings.api.proxies,
        timeout_graceful_shutdown=_GRACE_S,
        # Nobody sends anything long to us by WebSocket.
        ws_max_size=4096,
        # It would compress each message once for every client.
        ws_per_message_deflate=False,
    )
    return _Server(config)
