"""One connection to a RabbitMQ node: pika's callbacks as awaitables."""

from __future__ import annotations

import asyncio
import enum
import logging
import ssl
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any
from urllib.parse import unquote, urlsplit

import pika
from pika.adapters.asyncio_connection import AsyncioConnection
from pika.channel import Channel
from pika.exceptions import AMQPConnectionError, ConsumerCancelled
from pika.frame import Method
from pika.spec import Basic, BasicProperties

from ingest.message import Message

# What it has to say of lost connections reaches the caller as exceptions.
logging.getLogger("pika").setLevel(logging.CRITICAL)

Deliver = Callable[["Link", str, int, bool, bytes], None]
"""Takes (link, routing key, delivery tag, redelivered, body) in the event loop."""


class Outcome(enum.Enum):
    """What became of something published."""

    TAKEN = enum.auto()  # every queue for it has it
    UNROUTED = enum.auto()  # there is no queue for it
    REFUSED = enum.auto()  # a queue could not take it
    LOST = enum.auto()  # nobody knows


Report = Callable[[int, Outcome], None]
"""Takes (number, outcome) in the event loop."""

_HEARTBEAT_S = 10
_CONNECT_S = 5.0


def parameters_of(url: str, *, user: str, password: str, name: str) -> pika.ConnectionParameters:
    """How to reach a node.

    Args:
        url: `amqp://host[:port][/vhost]`, or amqps.
        name: what RabbitMQ shows of the connection.
    """
    parts = urlsplit(url)
    host, tls = parts.hostname, parts.scheme == "amqps"
    assert host is not None
    return pika.ConnectionParameters(
        host=host,
        port=parts.port or (5671 if tls else 5672),
        virtual_host=unquote(parts.path[1:]) or "/",
        credentials=pika.PlainCredentials(user, password),
        ssl_options=pika.SSLOptions(ssl.create_default_context(), host) if tls else None,
        heartbeat=_HEARTBEAT_S,
        socket_timeout=_CONNECT_S,
        stack_timeout=2 * _CONNECT_S,
        client_properties={"connection_name": name},
    )


class Link:
    """A connection with one channel, that reads a queue or publishes.

    Messages are acknowledged on the link by which they came, or not at all: RabbitMQ gives what is unacknowledged to
    another consumer once the link is lost.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._lost: asyncio.Future[None] = self._loop.create_future()
        self._connection: AsyncioConnection | None = None
        self._channel: Channel | None = None
        self.blocked = False
        self._published = 0
        self._unconfirmed: dict[int, int] = {}
        self._unrouted: set[str] = set()

    async def open(self, parameters: pika.ConnectionParameters) -> None:
        """Connect and open the channel. Raises AMQPError where the node cannot be reached or refuses."""
        opened: asyncio.Future[object] = self._loop.create_future()
        self._connection = AsyncioConnection(
            parameters,
            on_open_callback=partial(_answer, opened),
            on_open_error_callback=lambda _, error: self._lose(error),
            on_close_callback=lambda _, error: self._lose(error),
            custom_ioloop=self._loop,
        )
        await self._first(opened)
        self._connection.add_on_connection_blocked_callback(lambda *_: self._block(blocked=True))
        self._connection.add_on_connection_unblocked_callback(lambda *_: self._block(blocked=False))
        self._channel = await self._ask(self._connection.channel, name="on_open_callback")
        assert self._channel is not None
        self._channel.add_on_close_callback(lambda _, error: self._lose(error))
        self._channel.add_on_cancel_callback(lambda frame: self._lose(ConsumerCancelled(frame.method)))

    async def declare(self, queue: str, *, arguments: dict[str, Any], exchange: str, keys: Sequence[str]) -> None:
        """Make the durable queue and its bindings, where they are not there yet."""
        channel = self._opened()
        await self._ask(channel.queue_declare, queue, durable=True, arguments=arguments)
        for key in keys:
            await self._ask(channel.queue_bind, queue, exchange, key)

    async def consume(self, queue: str, deliver: Deliver, *, prefetch: int, tag: str) -> None:
        """Begin to read; at most `prefetch` messages are under way unacknowledged."""
        channel = self._opened()

        def take(_: Channel, method: Basic.Deliver, __: BasicProperties, body: bytes) -> None:
            deliver(self, method.routing_key, method.delivery_tag, method.redelivered, body)

        await self._ask(channel.basic_qos, prefetch_count=prefetch)
        await self._ask(channel.basic_consume, queue, take, consumer_tag=tag)

    async def confirm(self, report: Report) -> None:
        """Have RabbitMQ say what becomes of everything that is published; what is open when the link ends, it does
        not say."""
        channel = self._opened()

        def settle(frame: Method) -> None:
            # What no queue took comes back first, and is confirmed then like anything else.
            taken, last = isinstance(frame.method, Basic.Ack), frame.method.delivery_tag
            tags = [tag for tag in self._unconfirmed if tag <= last] if frame.method.multiple else [last]
            for tag in tags:
                number = self._unconfirmed.pop(tag)
                if str(number) in self._unrouted:
                    self._unrouted.discard(str(number))
                    report(number, Outcome.UNROUTED)
                else:
                    report(number, Outcome.TAKEN if taken else Outcome.REFUSED)

        channel.add_on_return_callback(lambda _, __, properties, ___: self._unrouted.add(properties.message_id))
        await self._ask(channel.confirm_delivery, settle)

    def publish(self, exchange: str, key: str, body: bytes, *, number: int, expires_ms: int) -> bool:
        """Publish for a queue to keep on disk until it expires; False where the link has just ended.

        Args:
            number: by which its outcome is reported.
        """
        if self._channel is None or not self._channel.is_open:
            return False
        properties = BasicProperties(
            content_type="application/json",
            delivery_mode=pika.DeliveryMode.Persistent,
            expiration=str(expires_ms),
            message_id=str(number),
        )
        self._channel.basic_publish(exchange, key, body, properties, mandatory=True)
        self._published += 1
        self._unconfirmed[self._published] = number
        return True

    async def lost(self) -> None:
        """Wait for the end of the link; raises what ended it."""
        await asyncio.shield(self._lost)

    def acknowledge(self, messages: Sequence[Message]) -> None:
        """Tell RabbitMQ that messages, and with them all that came before, are stored."""
        if self._channel is not None and self._channel.is_open:
            self._channel.basic_ack(messages[-1].packet_id, multiple=True)

    async def close(self) -> None:
        """End the connection; acknowledgements given before are sent."""
        connection = self._connection
        if connection is None or connection.is_closed:
            return
        if not connection.is_closing:
            connection.close()
        await asyncio.wait({self._lost}, timeout=_CONNECT_S)

    def _block(self, *, blocked: bool) -> None:
        self.blocked = blocked

    def _opened(self) -> Channel:
        assert self._channel is not None
        return self._channel

    async def _ask(self, method: Callable[..., object], *arguments: Any, name: str = "callback", **named: Any) -> Any:
        """Call a method of pika and wait for what it hands to its callback."""
        answer: asyncio.Future[Any] = self._loop.create_future()
        method(*arguments, **named, **{name: partial(_answer, answer)})
        return await self._first(answer)

    async def _first(self, answer: asyncio.Future[Any]) -> Any:
        await asyncio.wait({answer, self._lost}, return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            self._lost.result()
        return answer.result()

    def _lose(self, error: BaseException | str) -> None:
        if not self._lost.done():
            self._lost.set_exception(error if isinstance(error, Exception) else AMQPConnectionError(str(error)))
            self._lost.exception()  # a link that is closed on purpose has nobody who asks


def _answer(future: asyncio.Future[Any], value: object) -> None:
    if not future.done():
        future.set_result(value)
