"""Endpoints of the sandbox alone: how it misbehaves, and what it received."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from smartsite.regulator.schema import Behaviour

router = APIRouter(tags=["sandbox"])


@router.get("/sandbox/behaviour", summary="How the sandbox is told to behave")
async def get_behaviour(request: Request) -> Behaviour:
    """Every switch with its present value."""
    behaviour: Behaviour = request.app.state.regulator.store.behaviour
    return behaviour


@router.put("/sandbox/behaviour", summary="Tell the sandbox how to behave")
async def put_behaviour(request: Request, behaviour: Behaviour) -> Behaviour:
    """Switches that are left out go back to their defaults."""
    request.app.state.regulator.store.behaviour = behaviour
    return behaviour


@router.get("/sandbox/received", summary="Accepted violations, one item a key")
async def get_received(
    request: Request,
    after: Annotated[int, Query(ge=0, description="`id` of the last item already seen")] = 0,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
) -> dict[str, Any]:
    """`{items: [{id, client, key, receipt, arrived_ms, accepted, repeats, status, reason, violation}], totals, next}`.

    `accepted` is how often the key was stored: more than once means that it was doubled.
    """
    regulator = request.app.state.regulator
    items = regulator.store.received(after=after, limit=limit, now_ms=regulator.now_ms())
    return {
        "items": items,
        "totals": regulator.store.totals(),
        "next": items[-1]["id"] if len(items) == limit else None,
    }


@router.get("/sandbox/overview", summary="The newest acceptances, refusals and messages, for the page")
async def get_overview(request: Request) -> dict[str, Any]:
    """`{newest, refusals, messages, totals, now_ms}`."""
    regulator = request.app.state.regulator
    now_ms = regulator.now_ms()
    return {
        "newest": regulator.store.newest(limit=50, now_ms=now_ms),
        "refusals": regulator.store.refusals(),
        "messages": regulator.store.newest_messages(),
        "totals": regulator.store.totals(),
        "now_ms": now_ms,
    }


@router.get("/sandbox/pictures/{sha256}", summary="A picture that came as evidence", response_class=Response)
async def get_picture(request: Request, sha256: str) -> Response:
    """The file as it was sent."""
    found = request.app.state.regulator.store.picture(sha256)
    if found is None:
        return Response(status_code=404)
    media_type, content = found
    return Response(content, media_type=media_type, headers={"X-Content-Type-Options": "nosniff"})
