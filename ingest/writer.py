"""Takes what has queued up while the batch before was committed, stores it, then acknowledges it.

There is no linger: the next transaction starts when the last one ends, so batches grow with the load by themselves and
never wait for messages that a full in-flight window holds back.

While a transaction does not come to its end, because the database is away or hangs, what was read goes to the spool
and is acknowledged from there. It comes out in order before anything newer is stored.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import errors as pg

from core.clock import Clock, micros
from core.database import Reconnecting, is_outage
from ingest import metrics
from ingest.existing import Overtaken
from ingest.intake import Intake
from ingest.message import Holder, Leaf, Message
from ingest.numbering import Span, joined
from ingest.prepare import Prepared, Preparer, SetAside
from ingest.spool import Spool
from ingest.spooled import messages as messages_of
from ingest.spooled import records
from ingest.store import Outcome, Store
from sensors.codec_json import Reject
from sensors.registry import RegistryWatch

logger = logging.getLogger(__name__)

BATCH_BYTES = 8 << 20
"""Bytes of payload in one transaction, so that a crowd of large back-fills does not make it long."""
SEEN_EVERY_S = 1.0
"""Seconds between writes of when devices were last heard."""
_FIRST_DELAY, _LAST_DELAY = 0.2, 5.0
_DISK_DELAY_S = 1.0

UNSTORABLE = "unstorable"  # the database refuses the values themselves
"""Reason under which a message is set aside that no transaction takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelter:
    """Where messages go while the database does not take them: after `patience_s` seconds into the spool."""

    spool: Spool
    registry: RegistryWatch
    patience_s: float


class Writer:
    """The one task that writes; what it is given is acknowledged once it is committed or safe in the spool.

    With `presence`, devices connect to this worker itself: it begins with none.
    """

    def __init__(
        self,
        *,
        intake: Intake,
        preparer: Preparer,
        store: Store,
        keeper: Reconnecting,
        clock: Clock,
        batch: int,
        shelter: Shelter | None = None,
        presence: bool = False,
    ) -> None:
        self._intake = intake
        self._preparer = preparer
        self._store = store
        self._keeper = keeper
        self._clock = clock
        self._batch = batch
        self._shelter = shelter
        self._presence = presence
        self._number = 0
        self._seen: dict[int, tuple[int, int]] = {}
        self._numbers: dict[int, list[Span]] = {}
        self._seen_at = clock.monotonic()
        self._stopping = False
        # When the oldest of the messages came that are being stored, and of those in the spool (0: not known yet).
        self._storing: int | None = None
        self._shelved = 0 if shelter is not None and shelter.spool.pending else None

    @property
    def watermark(self) -> int:
        """Microseconds since the epoch: whatever arrived before is stored."""
        waiting = (self._intake.oldest, self._storing, self._shelved)
        return min((arrived for arrived in waiting if arrived is not None), default=micros(self._clock.now()))

    def stop(self) -> None:
        """End when all that is queued is stored."""
        self._stopping = True
        self._intake.wake()

    async def run(self) -> None:
        """Write until `stop`; what the database does not take even then stays in the spool for the next start."""
        if not await self._begin():
            return
        while True:
            wait = None if not self._seen else max(0.0, self._seen_at + SEEN_EVERY_S - self._clock.monotonic())
            if self._shelter is not None and self._shelter.spool.pending:
                done = await self._drain(self._shelter)
            elif await self._intake.wait(0 if self._stopping else wait):
                messages = self._intake.take(self._batch, BATCH_BYTES)
                done = await self._work(self._deal(messages), messages)
            elif self._seen:
                done = await self._work(self._flush(), ())
            else:
                done = not self._stopping
            metrics.WAITING.set(len(self._intake))
            if not done:
                return

    async def _begin(self) -> bool:
        """Ask the database what it has; what arrives while it is away goes to the spool. False as `_work`."""
        starting = asyncio.create_task(self._start())
        try:
            if self._shelter is not None:
                await asyncio.wait({starting}, timeout=self._shelter.patience_s)
                await self._collect(self._shelter.spool, starting, self._shelter.patience_s)
                if not starting.done():
                    return False
            self._number = await starting
        finally:
            if not starting.done():
                starting.cancel()
                await asyncio.gather(starting, return_exceptions=True)
        if self._shelter is not None:
            self._shelter.spool.settle(self._number)
            if not self._shelter.spool.pending:
                self._shelved = None
        return True

    # -- the spool ----------------------------------------------------------------------------------------------------

    async def _drain(self, shelter: Shelter) -> bool:
        """Store the oldest messages of the spool; False as `_work`."""
        bodies, end = await asyncio.to_thread(shelter.spool.read, self._batch, BATCH_BYTES)
        messages = messages_of(bodies, shelter.registry)
        # In order: what lies behind them came later.
        self._shelved = _oldest(messages) or self._shelved
        done = await self._work(self._deal(messages, end), messages, end)
        metrics.SPOOLED.set(shelter.spool.pending)
        return done

    async def _work(self, job: Coroutine[Any, Any, None], messages: Sequence[Message], end: int | None = None) -> bool:
        """Run a job of the database's to its end; what arrives while it is overdue goes to the spool.

        Returns False when `stop` came and the job did not end: what it was to store is in the spool.
        `messages` are what the job stores; `end` is their end in the spool where they come from there. Of the last
        ones there nothing is overdue at first, else a busy stream would never find its way back past the spool.
        """
        task = asyncio.create_task(job)
        self._storing = _oldest(messages)
        try:
            if self._shelter is not None:
                spool = self._shelter.spool
                if end is None or end == spool.tail:
                    await asyncio.wait({task}, timeout=self._shelter.patience_s)
                if not task.done():
                    if messages and end is None:
                        end = await self._put_aside(spool, messages)
                        spool.mark(self._number, end)
                    await self._collect(spool, task, self._shelter.patience_s)
                if not task.done():
                    return False
            await task
        finally:
            if not task.done():
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        self._storing = None
        if end is None:
            acknowledge(messages)
        elif self._shelter is not None:
            self._shelter.spool.release(end)
            if not self._shelter.spool.pending:
                self._shelved = None
        return True

    async def _collect(self, spool: Spool, task: asyncio.Task[Any], patience_s: float) -> None:
        """Move what arrives into the spool until the task is done, or a stop finds nothing left to move and waits."""
        while not task.done():
            if spool.full:
                # The intake fills up and the sources stop reading.
                await asyncio.wait({task})
                return
            if self._stopping and not len(self._intake):
                await asyncio.wait({task}, timeout=patience_s)
                return
            arrival = asyncio.create_task(self._intake.wait(None))
            await asyncio.wait({task, arrival}, return_when=asyncio.FIRST_COMPLETED)
            arrival.cancel()
            await asyncio.gather(arrival, return_exceptions=True)
            if len(self._intake) and not task.done():
                await self._put_aside(spool, self._intake.take(self._batch, BATCH_BYTES))

    async def _put_aside(self, spool: Spool, messages: Sequence[Message]) -> int:
        """Append messages, acknowledge them once they are on disk, and return their end."""
        bodies = records(messages)
        if self._shelved is None:
            self._shelved = _oldest(messages)
        while True:
            try:
                end = await asyncio.to_thread(spool.append, bodies)
            except OSError:
                logger.exception("the spool cannot be written, messages wait")
                await self._clock.sleep(_DISK_DELAY_S)
            else:
                break
        acknowledge(messages)
        metrics.SPOOLED.set(spool.pending)
        return end

    # -- transactions -------------------------------------------------------------------------------------------------

    async def _start(self) -> int:
        delay = _FIRST_DELAY
        while True:
            try:
                async with self._keeper.connection() as connection:
                    if self._presence:
                        await self._store.forget_connected(connection)
                    return await self._store.last_batch(connection)
            except psycopg.Error as error:
                delay = await self._wait_out(error, delay)

    async def _deal(self, messages: Sequence[Message], end: int | None = None) -> None:
        """Store messages; a batch that holds poison is halved until the poison is alone.

        `end` is where they end in the spool.
        """
        if not messages:
            return
        prepared = self._preparer.prepare(messages)
        for device, (time, arrived) in prepared.seen.items():
            last = self._seen.get(device, (time, arrived))
            self._seen[device] = (max(time, last[0]), max(arrived, last[1]))
        try:
            outcome = await self._commit(prepared, end)
        except (psycopg.DataError, psycopg.IntegrityError) as error:
            metrics.RETRIES.labels("poison").inc()
            if len(messages) > 1:
                middle = len(messages) // 2
                await self._deal(messages[:middle])
                await self._deal(messages[middle:], end)
                return
            reject = Reject(UNSTORABLE, str(error).strip())
            logger.warning("a message cannot be stored, set aside", extra={"reason": reject.detail})
            messages[0].reject = reject
            prepared = Prepared(messages, aside=[SetAside(0, reject)])
            outcome = await self._commit(prepared, end)
        self._account(prepared, outcome)

    async def _commit(self, prepared: Prepared, end: int | None, *, flush: bool = False) -> Outcome:
        """Write a batch until it is committed; only what the values themselves cause is raised.

        When devices were last heard and their running numbers go along once a second, and with `flush` at once.
        """
        self._number += 1
        if end is not None and self._shelter is not None:
            self._shelter.spool.mark(self._number, end)
        number, merge, lost, delay = self._number, False, False, _FIRST_DELAY
        heard = joined(self._numbers, prepared.numbers) if prepared.numbers else self._numbers
        due = False
        while True:
            started = self._clock.monotonic()
            try:
                async with self._keeper.connection() as connection:
                    if lost and await self._store.last_batch(connection) == number:
                        # The reply to COMMIT was lost, not the COMMIT.
                        self._written(heard, due=due)
                        return Outcome()
                    due = flush or started - self._seen_at >= SEEN_EVERY_S
                    outcome = await self._store.write(
                        connection,
                        prepared,
                        number=number,
                        seen=self._seen if due else {},
                        numbers=heard if due else {},
                        merge=merge,
                    )
            except (pg.DeadlockDetected, Overtaken):
                # Another worker wrote the same rows in between, and has committed by now.
                metrics.RETRIES.labels("overtaken").inc()
                merge = True
            except pg.UniqueViolation as error:
                metrics.RETRIES.labels("merge").inc()
                if merge:
                    # Another worker stored the row a moment ago: compare again, a little later.
                    delay = await self._wait_out(error, delay)
                merge = True
            except (psycopg.DataError, psycopg.IntegrityError):
                raise
            except psycopg.Error as error:
                lost = True
                delay = await self._wait_out(error, delay)
            else:
                metrics.COMMIT_SECONDS.observe(self._clock.monotonic() - started)
                self._written(heard, due=due)
                return outcome

    def _written(self, heard: dict[int, list[Span]], *, due: bool) -> None:
        """A batch is committed, and with it, where it was due, what was heard until then."""
        if due:
            self._seen, self._numbers, self._seen_at = {}, {}, self._clock.monotonic()
        else:
            self._numbers = heard

    async def _flush(self) -> None:
        """While nothing arrives, what was heard last is stored on its own."""
        await self._commit(Prepared(()), None, flush=True)

    async def _wait_out(self, error: psycopg.Error, delay: float) -> float:
        """Wait before the next attempt. What is no outage (a missing table, a full disk) is an operator's to mend:
        it is logged each time, and nothing is acknowledged until it is."""
        if is_outage(error):
            metrics.RETRIES.labels("outage").inc()
            logger.warning("database is away, readings wait", extra={"error": str(error).strip()})
        else:
            metrics.RETRIES.labels("database_error").inc()
            logger.error("the database refuses to store readings, they wait", exc_info=error)
        await self._clock.sleep(delay)
        return min(delay * 2, _LAST_DELAY)

    def _account(self, prepared: Prepared, outcome: Outcome) -> None:
        metrics.BATCH.observe(len(prepared.messages))
        for leaf in Leaf:
            if count := sum(message.origin.leaf is leaf for message in prepared.messages):
                metrics.MESSAGES.labels(leaf.name.lower()).inc(count)
        for item in prepared.aside:
            metrics.QUARANTINED.labels(item.reject.reason).inc()
        metrics.ROWS.labels("stored").inc(outcome.stored)
        metrics.ROWS.labels("filled").inc(outcome.filled)
        metrics.ROWS.labels("duplicate").inc(outcome.duplicates)


def _oldest(messages: Sequence[Message]) -> int | None:
    return min((message.arrived for message in messages), default=None)


def acknowledge(messages: Sequence[Message]) -> None:
    """Tell every holder, once, which of its messages are stored."""
    by_holder: dict[Holder, list[Message]] = {}
    for message in messages:
        if message.holder is not None:
            by_holder.setdefault(message.holder, []).append(message)
    for holder, its in by_holder.items():
        holder.acknowledge(its)
