"""Prometheus Alertmanager as a sink: POST /api/v2/alerts, many alerts in one call.

Source: the OpenAPI document of Alertmanager's API v2. An alert is known by its labels, so sending one again changes
nothing: such a target takes keys. A raise is given an end far ahead, for Alertmanager would otherwise resolve what is
not repeated every few minutes; the end of the violation replaces it. Pictures stay here.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import httpx
import msgspec
from pydantic import Field

from alerts.adapters.base import Adapter, Delivery, Outcome, options_of
from alerts.adapters.exchange import basic, exchange, refusal
from core.clock import Clock
from core.errors import ConfigurationError
from core.evidence import EvidenceStore
from core.settings import Section, TargetSettings

_OPEN = timedelta(days=365)
_encoder = msgspec.json.Encoder()


class Options(Section):
    """Options of the adapter `alertmanager`."""

    labels: dict[str, str] = Field(default={}, description="Labels that every alert carries besides its own.")


def create(target: TargetSettings, *, evidence: EvidenceStore, clock: Clock) -> Adapter:
    """The adapter of a target; `client_id` and `secret` are its log-in where it asks for one."""
    del evidence
    if target.client_id and not target.secret.get_secret_value():
        raise ConfigurationError(f"target {target.name} has a client_id and no secret", hint="give both or neither")
    return AlertmanagerAdapter(target, options_of(target, Options), clock=clock)


class AlertmanagerAdapter:
    """Sends each phase as the alert's present state."""

    asynchronous = False
    batch_max = 64

    def __init__(self, target: TargetSettings, options: Options, *, clock: Clock) -> None:
        self._url = target.url.rstrip("/") + "/api/v2/alerts"
        self._timeout_s = target.timeout_s
        self._labels = options.labels
        self._clock = clock
        self._headers = {"content-type": "application/json"}
        if target.client_id:
            self._headers["authorization"] = basic(target.client_id, target.secret.get_secret_value())

    async def send(self, client: httpx.AsyncClient, delivery: Delivery) -> Outcome:
        """One alert."""
        (outcome,) = await self.send_batch(client, [delivery])
        return outcome

    async def send_batch(self, client: httpx.AsyncClient, deliveries: Sequence[Delivery]) -> list[Outcome]:
        """All of them in one call, which is taken or refused as a whole."""
        content = _encoder.encode([self._alert(delivery) for delivery in deliveries])
        answer = await exchange(
            client,
            "POST",
            self._url,
            headers=self._headers,
            content=content,
            timeout_s=self._timeout_s,
            masked=frozenset({"authorization"}),
            clock=self._clock,
            about={"alerts": len(deliveries)},
        )
        if not isinstance(answer, Outcome):
            refused = refusal(answer, now=self._clock.now())
            answer = refused or Outcome(kind="accepted", **answer.kept)
        return [answer] * len(deliveries)

    async def poll(self, client: httpx.AsyncClient, delivery: Delivery) -> Outcome:
        """Never asked for: the answer is the result."""
        del client
        raise RuntimeError(f"delivery {delivery.id} was polled, but Alertmanager tells no results later")

    def _alert(self, delivery: Delivery) -> dict[str, Any]:
        event = delivery.payload
        site, subject = event["site"], event["subject"]
        ended = event["ended_at"]
        labels = {
            **self._labels,
            "alertname": event["alert"]["rule"],
            "alert_id": str(event["alert"]["id"]),
            "severity": event["alert"]["severity"],
            "site": site["code"],
            "subject": f"{subject['type']}:{subject['code']}",
            "metric": event["metric"],
        }
        values = {name: event[name] for name in ("unit", "limit", "first_value", "max_value")}
        return {
            "labels": {name: value for name, value in labels.items() if value},
            "annotations": {
                "site_name": site["name"],
                "subject_name": subject["name"],
                **{name: str(value) for name, value in values.items() if value not in (None, "")},
            },
            "startsAt": event["started_at"],
            "endsAt": ended or (datetime.fromisoformat(event["started_at"]) + _OPEN).isoformat(),
        }
