"""Guessing passwords is made slow: repeated failures lock a log-in for the address they come from.

Failures are rows, so that a lock holds for all processes and outlives a restart.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from psycopg import AsyncConnection

from api import audit
from api.access import SQL
from api.context import row
from api.errors import TooManyAttempts
from core.settings import ApiSettings

# One address may hold many people (a site office behind one router), hence a wider limit than for one log-in.
_ADDRESS_FACTOR = 10
# Guesses at one log-in that are spread over many addresses. Wide, too: whoever knows a log-in could lock its owner out.
_LOGIN_FACTOR = 10


@dataclass(frozen=True, slots=True)
class Attempt:
    """Somebody tries to log in: under which name, from which address, when.

    Without a name where a provider is to say it: that is held against the address alone, since whoever enters so has
    guessed no password, and no lock of a password keeps them out.
    """

    login: str
    address: str
    at: datetime


async def refuse_locked(database: AsyncConnection, settings: ApiSettings, attempt: Attempt) -> None:
    """Raise TooManyAttempts while the log-in is locked for its address or everywhere, or the address as a whole."""
    lock = timedelta(minutes=settings.login_lock_minutes)
    asked = {"login": attempt.login, "address": attempt.address, "since": attempt.at - lock}
    found = await row(database, SQL["failures"], asked)
    assert found is not None
    limit = settings.login_attempts
    named = attempt.login != ""
    if (
        found["by_address"] >= limit * _ADDRESS_FACTOR
        or (named and found["by_pair"] >= limit)
        or (named and found["by_login"] >= limit * _LOGIN_FACTOR)
    ):
        left = math.ceil((found["newest"] + lock - attempt.at).total_seconds())
        raise TooManyAttempts("log-in is locked after repeated failures", retry_after_s=max(1, left))


async def remember_failure(
    database: AsyncConnection, settings: ApiSettings, attempt: Attempt, *, login: str = "", why: Mapping[str, str] = {}
) -> None:
    """Count a failure, and drop those that no longer count. `login` and `why` are for the audit log alone: the name
    that came out where the attempt has none, and what was wrong if not the password."""
    since = attempt.at - timedelta(minutes=settings.login_lock_minutes)
    async with database.transaction():
        await database.execute(SQL["failure_forget_old"], {"since": since})
        await database.execute(
            SQL["failure_insert"], {"now": attempt.at, "login": attempt.login, "address": attempt.address}
        )
        await audit.append(
            database,
            at=attempt.at,
            actor="",
            action="session.refused",
            thing=f"login:{attempt.login or login}",
            detail={"address": attempt.address, **why},
        )


async def forget(database: AsyncConnection, attempt: Attempt) -> None:
    """A log-in that succeeded clears its failures from there."""
    await database.execute(SQL["failure_forget"], {"login": attempt.login, "address": attempt.address})
