"""Waiting for neighbours to answer."""

from __future__ import annotations

import httpx

from core.clock import Clock
from core.errors import Unavailable

_LOOK_S = 0.1


async def until_answers(url: str, *, within_s: float, what: str, clock: Clock) -> None:
    """Waits until a GET of ``url`` is answered with a good status; raises Unavailable after ``within_s`` seconds."""
    deadline = clock.monotonic() + within_s
    last = "no answer"
    async with httpx.AsyncClient(timeout=2.0) as client:
        while clock.monotonic() < deadline:
            try:
                answer = await client.get(url)
            except httpx.TransportError as error:
                last = str(error) or type(error).__name__
            else:
                if answer.is_success:
                    return
                last = f"status {answer.status_code}: {answer.text[:200]}"
            await clock.sleep(_LOOK_S)
    raise Unavailable(f"{what} did not come up within {within_s:g} s ({last})", hint="its log lines above tell why")
