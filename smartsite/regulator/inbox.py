"""The officers' inbox: where webhook notifications land in a demo, so that their arrival can be timed."""

from __future__ import annotations

import json
import re
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

router = APIRouter(tags=["inbox"])

_BYTES_MAX = 256 * 1024
_ALERT_LINK = re.compile(r"/alerts/(\d{1,18})\b")


@router.post("/inbox", status_code=204, summary="Take one message to an officer", response_class=Response)
async def post_message(request: Request) -> Response:
    """Any JSON object with `title` and `message`, as apprise's `json://` sends it.

    The alert is told by the header `x-smartsite-alert`, else by the link in the message.
    """
    arrived_ms = request.app.state.regulator.now_ms()
    body = await request.body()
    if len(body) > _BYTES_MAX:
        return Response(status_code=413)
    try:
        content = json.loads(body)
    except ValueError:
        return Response(status_code=400)
    if not isinstance(content, dict):
        return Response(status_code=422)
    title, message = str(content.get("title", "")), str(content.get("message", ""))
    named = request.headers.get("x-smartsite-alert", "")
    linked = _ALERT_LINK.search(message)
    alert = int(named) if named.isdecimal() and len(named) <= 18 else int(linked[1]) if linked else None
    request.app.state.regulator.store.put_message(
        arrived_ms=arrived_ms,
        alert=alert,
        phase=request.headers.get("x-smartsite-phase", ""),
        title=title,
        message=message,
    )
    return Response(status_code=204)


@router.get("/inbox", summary="Messages to officers in order of arrival")
async def get_messages(
    request: Request,
    after: Annotated[int, Query(ge=0, description="`id` of the last message already seen")] = 0,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
) -> dict[str, Any]:
    """`{items: [{id, arrived_ms, alert, phase, title, message}], next}`."""
    items = request.app.state.regulator.store.messages(after=after, limit=limit)
    return {"items": items, "next": items[-1]["id"] if len(items) == limit else None}
