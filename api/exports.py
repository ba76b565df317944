"""A device's history as a file, for those who may see its site; every one is audited."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Iterator
from datetime import timedelta
from threading import BoundedSemaphore
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse

from api import audit
from api.access import SQL, Seen
from api.context import Database, Here, millis, row
from api.devices import DeviceId, Moment
from api.errors import documented
from core.clock import from_micros
from core.database import connect_sync
from core.errors import InvalidInput, NotFound, Unavailable
from core.settings import DatabaseSettings
from sensors.export import Format, Selection, export

router = APIRouter(tags=["devices"])

_TYPES: dict[Format, str] = {"csv": "text/csv; charset=utf-8", "parquet": "application/vnd.apache.parquet"}
# Each holds a connection of its own for as long as the client reads.
_AT_ONCE = 4
_turns = BoundedSemaphore(_AT_ONCE)
_DAY = timedelta(days=1)


@router.get(
    "/devices/{device_id}/export",
    summary="History of a device as a file",
    response_class=StreamingResponse,
    responses={
        200: {"description": "The file.", "content": {kind.partition(";")[0]: {} for kind in _TYPES.values()}},
        **documented(401, 404, 422),
    },
)
async def history(
    device_id: DeviceId,
    viewer: Seen,
    context: Here,
    database: Database,
    format: Annotated[Format, Query(description="parquet: where the server has pyarrow.")] = "csv",  # noqa: A002
    resolution: Annotated[
        Literal["raw", "1m", "15m", "1h", "1d"], Query(description="Readings, or means of that width.")
    ] = "raw",
    start: Moment = None,
    end: Moment = None,
) -> StreamingResponse:
    """Readings or roll-ups of [start, end), the last day where not given, in the columns of docs/grafana.md."""
    device = await row(database, SQL["device_codes"], {"device_id": device_id, "sites": viewer.scope})
    if device is None:
        raise NotFound(f"there is no device {device_id}")
    profile = context.profiles.get(device["kind"])
    if profile is None:
        raise NotFound(f"device {device_id} is of the unknown kind {device['kind']}")
    until = context.clock.now() if end is None else from_micros(end * 1000)
    since = until - _DAY if start is None else from_micros(start * 1000)
    if until <= since:
        raise InvalidInput("end must be after start")
    selection = Selection(
        profile=profile, resolution=resolution, start=since, end=until, site=device["site"], device=device["code"]
    )
    file = await run_in_threadpool(_File, context.settings.database, selection, format)
    await audit.append(
        database,
        at=context.clock.now(),
        actor=viewer.code,
        action="device.export",
        thing=f"device:{device_id}",
        detail={
            "site": device["site_id"],
            "format": format,
            "resolution": resolution,
            "start": millis(since),
            "end": millis(until),
        },
    )
    name = f"{device['site']}-{device['code']}-{since:%Y%m%dT%H%M%SZ}-{resolution}.{format}"
    return StreamingResponse(
        file, media_type=_TYPES[format], headers={"Content-Disposition": f'attachment; filename="{name}"'}
    )


class _File:
    """Pieces of a file from a connection of its own, which goes with the last piece or with whoever read them.

    What is wrong before the first piece is raised at once, while it can still be told as an error.
    """

    def __init__(self, settings: DatabaseSettings, selection: Selection, format_: Format) -> None:
        with contextlib.ExitStack() as stack:
            if not _turns.acquire(blocking=False):
                raise Unavailable(f"{_AT_ONCE} exports are on their way already", hint="try again when one has ended")
            stack.callback(_turns.release)
            connection = stack.enter_context(connect_sync(settings, application="export"))
            pieces = stack.enter_context(contextlib.closing(export(connection, selection, format_=format_)))
            self._first = next(pieces)
            self._pieces = pieces
            # A client that goes away early leaves a file that nobody ends.
            self._end = weakref.finalize(self, stack.pop_all().close)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        first, self._first = self._first, b""
        if first:
            return first
        try:
            return next(self._pieces)
        except BaseException:
            self._end()
            raise
