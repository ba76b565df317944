"""What the engine's verdicts do to the alerts in the database, inside the caller's transaction."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, TypedDict

import psycopg

from alerts import life
from alerts.engine import Engine, Standing, Transition
from alerts.exemption import code_of
from alerts.model import AlertRow
from core.clock import Clock, micros
from core.settings import Settings
from sensors.registry import Registry

logger = logging.getLogger(__name__)


class Common(TypedDict):
    """What every step of an alert's life is given."""

    registry: Registry
    settings: Settings
    clock: Clock


async def write(
    connection: psycopg.AsyncConnection[Any],
    told: Transition,
    version: int,
    ended: list[AlertRow],
    *,
    registry: Registry,
    settings: Settings,
    clock: Clock,
) -> bool:
    """Write one transition of version `version` of its rule, add to `ended` what is cleared.

    False where the database holds this very violation as told and cleared already.
    """
    common: Common = {"registry": registry, "settings": settings, "clock": clock}
    alert = None
    if told.phase == "raise":
        alert = await life.raise_(connection, told, version, **common)
        if alert is None:
            return await life.find_open(connection, told) is not None
    elif told.phase == "clear":
        alert = await life.end(connection, told, **common)
        ended += [alert] if alert else []
    elif told.phase == "severity":
        await life.follow(connection, told, **common)
    else:
        await life.join(connection, told, clock=clock)
    if alert is not None:
        what = "alert raised" if told.phase == "raise" else "alert cleared"
        logger.info(what, extra={"alert": alert.id, "rule": alert.rule, "subject": alert.subject})
    return True


async def adopt(
    connection: psycopg.AsyncConnection[Any],
    engine: Engine,
    opened: Sequence[AlertRow],
    *,
    registry: Registry,
    settings: Settings,
    clock: Clock,
) -> None:
    """Make the engine agree with the alerts that are open, and end those that no rule looks at any more."""
    standing = {(alert.rule, alert.subject): alert for alert in opened}
    orphans = engine.adopt([_standing(alert) for alert in standing.values()], micros(clock.now()))
    for orphan in orphans:
        await life.withdraw(
            connection,
            standing[orphan.rule, orphan.subject].id,
            "out_of_scope" if orphan.rule in engine.rules else "rule_withdrawn",
            registry=registry,
            settings=settings,
            clock=clock,
        )


def _standing(alert: AlertRow) -> Standing:
    return Standing(
        rule=alert.rule,
        subject=alert.subject,
        started_at=micros(alert.started_at),
        first=alert.first_value,
        last=alert.last_value,
        worst=alert.max_value,
        exempt=code_of(alert.exempt),
        limit=alert.limit_value,
    )
