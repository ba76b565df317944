"""What was lost and what was doubled: the devices' journal against the platform, the platform against its neighbours.

Pure functions over what `journal`, `expected` and `ledger` found; each item is a line for the report.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from core.clock import from_micros, micros
from sensors.simulator.journal import Deed
from smartsite.demo import downlink
from smartsite.demo.expected import Reading, Violation
from smartsite.demo.ledger import AlertFact, DeliveryFact, Ledger, NotificationFact

#: States of a delivery in which the regulator need not have it.
_NOT_DUE = frozenset({"held", "withdrawn"})


@dataclass(frozen=True, slots=True)
class Balance:
    """Lines on what is missing and what is there twice; ``repeated_messages`` are messages a person got again.

    A message to a person cannot be taken back nor carry a key: after a kill in the wrong moment it is sent again rather
    than not at all. It is counted, and is no loss.
    """

    lost: list[str]
    doubled: list[str]
    repeated_messages: int


def settle(
    *,
    readings: Sequence[Reading],
    rows: Collection[tuple[str, int]],
    new_rows: int,
    stored: int,
    violations: Sequence[Violation],
    ledger: Ledger,
    deeds: Sequence[Deed],
    ended_at: float,
) -> Balance:
    """Compares everything.

    ``readings`` are those that their devices hold for acknowledged and good, ``rows`` the (device, event time) in the
    reading tables, ``new_rows`` how many more rows they have than before the run and ``stored`` how many ingest says it
    made, ``violations`` what the readings mean, ``deeds`` the commands that the devices carried out before they went
    at ``ended_at`` (seconds since the epoch).
    """
    return Balance(
        lost=[
            *_lost_readings(readings, rows),
            *_lost_violations(violations, ledger),
            *_lost_episodes(ledger),
            *_lost_deliveries(ledger),
            *_lost_messages(ledger),
            *downlink.lost(ledger, deeds, ended_at=ended_at),
        ],
        doubled=[
            *_doubled_readings(new_rows, stored),
            *_doubled_alerts(ledger),
            *_doubled_deliveries(ledger),
            *downlink.doubled(ledger, deeds),
        ],
        repeated_messages=sum(count - 1 for count in Counter(ledger.inbox).values()) - _several_told(ledger),
    )


def _lost_readings(readings: Sequence[Reading], rows: Collection[tuple[str, int]]) -> Iterator[str]:
    for reading in readings:
        if (reading.device, reading.time) not in rows:
            yield f"reading of {reading.device} at {_time(reading.time)}: acknowledged, and not in its table"


def _lost_violations(violations: Sequence[Violation], ledger: Ledger) -> Iterator[str]:
    raised = {(alert.rule, alert.device, micros(alert.started_at)) for alert in ledger.alerts}
    for violation in violations:
        if (violation.rule, violation.device, violation.reading.time) not in raised:
            yield f"violation of {violation.rule} by {violation.device} at {_time(violation.reading.time)}: no alert"


def _lost_episodes(ledger: Ledger) -> Iterator[str]:
    for episode in ledger.episodes:
        if not episode.told:
            yield f"episode {episode.id} at {episode.site}: no alert"


def _lost_deliveries(ledger: Ledger) -> Iterator[str]:
    held = {(item.alert, item.phase, item.amendment) for item in ledger.received}
    for delivery in ledger.deliveries:
        if delivery.state not in _NOT_DUE and (delivery.alert_id, delivery.phase, delivery.amendment) not in held:
            yield f"{_delivery(delivery)}: {delivery.state}, not at the regulator. {delivery.reason}".rstrip()
    announced = {(delivery.alert_id, delivery.phase) for delivery in ledger.deliveries}
    for alert in ledger.alerts:
        # An alert that has a raise for the regulator must have its end there, too, once it is over.
        if alert.cleared_at is not None and (alert.id, "raise") in announced and (alert.id, "end") not in announced:
            yield f"alert {alert.id} of {alert.rule}: over, and its end was never put in the outbox"


def _lost_messages(ledger: Ledger) -> Iterator[str]:
    arrived = set(ledger.inbox)
    # A digest arrives as the first that it tells of; an alert that began and ended before it is told of once.
    digests = {one.message for one in ledger.notifications if (one.alert_id, one.phase) in arrived} - {""}
    for message in ledger.notifications:
        if message.state == "failed":
            yield f"{_message(message)}: failed"
        elif message.message not in digests and (
            message.state == "sent" and message.channel == "json" and (message.alert_id, message.phase) not in arrived
        ):
            yield f"{_message(message)}: did not arrive"


def _doubled_readings(new_rows: int, stored: int) -> Iterator[str]:
    # The key forbids two rows; a reading that was taken for new twice shows in the count alone.
    if stored != new_rows:
        yield f"{abs(stored - new_rows)} readings: ingest counted {stored} new rows, the tables have {new_rows} more"


def _doubled_alerts(ledger: Ledger) -> Iterator[str]:
    counts = Counter((alert.rule, alert.subject, alert.started_at) for alert in ledger.alerts)
    for (rule, subject, started_at), count in counts.items():
        if count > 1:
            yield f"violation of {rule} by {subject} at {started_at:%H:%M:%S.%f}: {count} alerts"


def _doubled_deliveries(ledger: Ledger) -> Iterator[str]:
    counts: Counter[tuple[int, str, int]] = Counter()
    for item in ledger.received:
        counts[item.alert, item.phase, item.amendment] += item.accepted
    for (alert, phase, amendment), count in counts.items():
        if count > 1:
            yield f"{phase} of alert {alert} (amendment {amendment}): the regulator accepted it {count} times"


def _several_told(ledger: Ledger) -> int:
    """Messages about the same alert and phase that went to several people, and so are no repetition."""
    told = Counter(
        (message.alert_id, message.phase)
        for message in ledger.notifications
        if message.state == "sent" and message.channel == "json"
    )
    return sum(count - 1 for count in told.values())


def raises_of(ledger: Ledger, alert: AlertFact) -> Iterator[DeliveryFact]:
    """The deliveries of an alert's raise."""
    return (item for item in ledger.deliveries if item.alert_id == alert.id and item.phase == "raise")


def _delivery(delivery: DeliveryFact) -> str:
    return f"{delivery.phase} of alert {delivery.alert_id} to {delivery.target}"


def _message(message: NotificationFact) -> str:
    return f"message to person {message.person_id} about alert {message.alert_id} ({message.phase})"


def _time(value: int) -> str:
    return f"{from_micros(value):%H:%M:%S.%f}"
