"""For load balancers, the supervisor and Prometheus: is the process well, and its figures. No log-in."""

from __future__ import annotations

import asyncio
from importlib.metadata import version
from typing import Literal

import psycopg
from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from api.context import Here, Millis
from api.errors import documented
from core import metrics

VERSION = version("smartsite")
router = APIRouter(tags=["health"])
_DATABASE_S = 2.0


class Health(BaseModel):
    """How the API process is."""

    status: Literal["ok", "degraded"] = Field(description="degraded: the database is away; the answer's status is 503.")
    database: Literal["ok", "away"]
    version: str = Field(examples=["0.1.0"])
    time: Millis


@router.get(
    "/healthz",
    summary="Health of the API",
    responses={503: {"model": Health, "description": "The database is away."}},
)
async def health(response: Response, context: Here) -> Health:
    """200 where the API can answer requests, 503 while its database is away."""
    away = False
    try:
        async with asyncio.timeout(_DATABASE_S), context.connection() as connection:
            await connection.execute("SELECT 1")
    except (psycopg.Error, TimeoutError):
        # Whatever is wrong with it: requests cannot be answered, which is all that is asked here.
        away = True
        response.status_code = 503
    return Health(
        status="degraded" if away else "ok",
        database="away" if away else "ok",
        version=VERSION,
        time=context.clock.now(),
    )


@router.get(
    "/metrics",
    summary="Figures for Prometheus",
    response_class=Response,
    responses={
        200: {"description": "The text format of Prometheus.", "content": {"text/plain": {}}},
        503: documented()[503],
    },
)
async def figures() -> Response:
    """All figures of this machine's processes, without any name of a site or person."""
    return Response(await asyncio.to_thread(metrics.render), media_type=metrics.CONTENT_TYPE)
