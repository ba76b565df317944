"""The nodes of a RabbitMQ cluster: a link to any that answers, and to the next one when it is lost."""

from __future__ import annotations

import contextlib
import logging
import zlib
from collections.abc import Awaitable, Callable

from pika.exceptions import AMQPChannelError, AMQPError, AuthenticationError, ProbableAccessDeniedError

from core.clock import Clock
from core.settings import IngestSettings
from ingest.sources.amqp_link import Link, parameters_of

logger = logging.getLogger(__name__)

_FIRST_DELAY_S, _LAST_DELAY_S = 0.2, 5.0


class Cluster:
    """Keeps one link. `purpose` is what RabbitMQ shows of its connection beside the worker's name.

    `link` is the one in use, None while there is none.
    """

    def __init__(self, settings: IngestSettings, *, purpose: str, clock: Clock) -> None:
        self._clock = clock
        self._purpose = purpose
        self._nodes = [
            parameters_of(
                url,
                user=settings.amqp_user,
                password=settings.amqp_password.get_secret_value(),
                name=f"smartsite ingest-{settings.worker} {purpose}",
            )
            for url in settings.amqp_urls
        ]
        # Workers spread over the nodes.
        self._node = zlib.crc32(settings.worker.encode()) % len(self._nodes)
        self.link: Link | None = None

    async def keep(
        self,
        begin: Callable[[Link], Awaitable[None]],
        *,
        ended: Callable[[], None],
        may: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        """Open a link, `begin` with it, and again on another node when it is lost, until cancelled.

        Args:
            ended: told when a link is lost or could not be had.
            may: waited for before each attempt.
        """
        delay = _FIRST_DELAY_S
        while True:
            if may is not None:
                await may()
            try:
                await self._use(begin)
            except (AMQPError, OSError) as error:
                if self.link is not None:
                    delay = _FIRST_DELAY_S
                self._tell(error)
            finally:
                self.link = None
                ended()
            self._node = (self._node + 1) % len(self._nodes)
            await self._clock.sleep(delay)
            delay = min(delay * 2, _LAST_DELAY_S)

    async def _use(self, begin: Callable[[Link], Awaitable[None]]) -> None:
        link, node = Link(), self._nodes[self._node]
        async with contextlib.AsyncExitStack() as ending:
            ending.push_async_callback(link.close)
            await link.open(node)
            await begin(link)
            self.link = link
            logger.info("connected to rabbitmq", extra={"node": f"{node.host}:{node.port}", "for": self._purpose})
            await link.lost()

    def _tell(self, error: Exception) -> None:
        node = self._nodes[self._node]
        facts = {"node": f"{node.host}:{node.port}", "for": self._purpose, "error": repr(error)}
        if isinstance(error, AMQPChannelError | AuthenticationError | ProbableAccessDeniedError):
            # Something of the set-up: it is tried again all the same, for it may be mended there.
            logger.error("rabbitmq refuses the worker", extra=facts)
        else:
            logger.warning("no connection to rabbitmq, trying the next node", extra=facts)
