"""One trial in a process of its own: `python -m alerts.replay.trial_process`. However long it computes, the engine and
the delivery worker beside it go on.

The order is a line of JSON on standard input, where no other user sees the password of the database; the answers are
lines of JSON on standard output, the last one with the report or an error. The end of the input ends the process.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from alerts.replay import stored
from alerts.replay.trial import report
from alerts.rules.files import RuleText, read
from alerts.rules.model import from_definition
from core.database import connect, connect_sync
from core.settings import DatabaseSettings
from sensors.profiles import load_profiles
from sensors.registry import Registry, load_registry

_LOADING = 0.8  # share of the whole, as it mostly is
_TELL_S = 0.5


class Order(msgspec.Struct, frozen=True):
    """What to try: a text of rules, and the definitions in force to compare them with."""

    database: dict[str, Any]
    kinds_dir: str | None
    text: str
    current: list[dict[str, Any]]
    site: str | None
    start: datetime
    end: datetime
    at_most: int


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """How far it is; at the end the report, or the code of what kept it from being made."""

    progress: float
    report: dict[str, Any] | None = None
    error: str = ""


def carry_out(order: Order, tell: Any) -> Answer:
    """Load and replay; `tell` gets an `Answer` now and then."""
    settings = DatabaseSettings.model_validate(order.database)
    profiles = load_profiles(None if order.kinds_dir is None else Path(order.kinds_dir))
    drafted, problems = read([RuleText("", order.text)])
    assert not problems, problems
    rules = [rule for rule, _ in drafted]
    current = [from_definition(definition) for definition in order.current]
    told = time.monotonic()

    def progress(share: float) -> None:
        nonlocal told
        if time.monotonic() - told >= _TELL_S:
            told = time.monotonic()
            tell(Answer(share * _LOADING))

    with connect_sync(settings, application="rule trial") as connection:
        try:
            history = stored.load(
                connection,
                asyncio.run(_registry(settings)),
                profiles,
                [*rules, *current],
                start=order.start,
                end=order.end,
                site=order.site,
                at_most=order.at_most,
                progress=progress,
            )
        except stored.TooManyReadings as error:
            return Answer(1, error=error.code)
    tell(Answer(_LOADING))
    return Answer(1, report=report(rules, current, history, profiles))


async def _registry(settings: DatabaseSettings) -> Registry:
    async with await connect(settings, application="rule trial") as connection:
        return await load_registry(connection)


def main() -> None:
    """Read the order, write the answers."""
    results = os.dup(1)
    os.dup2(2, 1)  # nothing but the answers may reach the owner's pipe
    os.nice(5)  # what is judged now comes first
    with open(0, "rb", buffering=0, closefd=False) as orders:  # a descriptor, open as long as we live
        order = msgspec.json.decode(orders.readline(), type=Order)

        def follow() -> None:
            orders.read()
            os._exit(0)

        threading.Thread(target=follow, daemon=True, name="owner").start()
        with os.fdopen(results, "wb", buffering=0) as answers:

            def tell(answer: Answer) -> None:
                answers.write(msgspec.json.encode(answer) + b"\n")

            tell(carry_out(order, tell))


if __name__ == "__main__":
    main()
