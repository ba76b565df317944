"""What the platform talks to: the MQTT broker, the regulators, the provider of log-ins."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import httpx
from paho.mqtt.client import Client, ConnectFlags
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from api.oidc.provider import Provider
from api.oidc.refusal import Refusal
from core.clock import Clock
from core.errors import ConfigurationError
from core.settings import IngestSettings, OidcSettings, TargetSettings
from smartsite.doctor.finding import Finding, fail, ok, warn

_PATIENCE_S = 5.0
#: A signed call is refused beyond some minutes; half of that leaves time to notice.
_SKEW_S = 150.0


async def examine_broker(settings: IngestSettings) -> Finding:
    """Whether the MQTT broker takes our log-in. Nothing is subscribed, and the persistent session is left alone."""
    return await asyncio.to_thread(_log_in, settings)


def _log_in(settings: IngestSettings) -> Finding:
    address = urlsplit(settings.broker_url)
    secure = address.scheme == "mqtts"
    host, port = address.hostname or "", address.port or (8883 if secure else 1883)
    where = f"{host}:{port}"
    answered = threading.Event()
    answer: list[ReasonCode] = []

    def on_connect(
        _client: Client, _data: object, _flags: ConnectFlags, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        answer.append(reason)
        answered.set()

    client = Client(CallbackAPIVersion.VERSION2, client_id="smartsite-doctor", clean_session=True)
    client.on_connect = on_connect
    client.on_disconnect = lambda *_: answered.set()
    if settings.broker_user:
        client.username_pw_set(settings.broker_user, settings.broker_password.get_secret_value())
    if secure:
        client.tls_set()
    try:
        client.connect(host, port)
    except OSError as error:
        return fail("broker", f"{where} does not answer: {error}", "start the broker, or correct ingest.broker_url")
    client.loop_start()
    try:
        answered.wait(_PATIENCE_S)
    finally:
        client.disconnect()
        client.loop_stop()
    if not answer:
        return fail("broker", f"{where} gave no answer to CONNECT", "see that an MQTT broker listens there")
    if answer[0].is_failure:
        remedy = "correct ingest.broker_user and ingest.broker_password, or the broker's password file"
        return fail("broker", f"{where} refuses the log-in: {answer[0]}", remedy)
    return ok("broker", f"{where} takes the log-in")


async def examine_provider(settings: OidcSettings, *, clock: Clock) -> Finding:
    """Whether the OpenID Connect provider answers, shows keys and is the issuer that the settings name."""
    subject = "provider of log-ins"
    try:
        provider = Provider(settings, clock=clock)
    except ConfigurationError as error:
        return fail(subject, error.message, error.hint)
    try:
        issuer = await provider.check()
    except Refusal as refusal:
        remedy = "see that it runs and can be reached from here" if refusal.code == "oidc_away" else "correct api.oidc"
        return fail(subject, refusal.reason, remedy)
    finally:
        await provider.close()
    return ok(subject, f"{issuer} answers; whether it takes the client's secret shows with the first log-in")


async def examine_regulators(targets: list[TargetSettings], *, clock: Clock) -> AsyncIterator[Finding]:
    """Whether each regulator answers, and how far its clock is from ours: signatures carry the time."""
    if not targets:
        yield ok("regulators", "none is configured (alerts.targets)")
    async with httpx.AsyncClient(timeout=_PATIENCE_S) as client:
        for target in targets:
            yield await _examine_regulator(client, target, clock=clock)


async def _examine_regulator(client: httpx.AsyncClient, target: TargetSettings, *, clock: Clock) -> Finding:
    subject = f"regulator {target.name}"
    try:
        answer = await client.get(target.url)
    except httpx.TransportError as error:
        reason = str(error) or type(error).__name__
        return fail(subject, f"{target.url} does not answer: {reason}", "see network and firewall, or correct its url")
    stated = answer.headers.get("date")
    if stated is None:
        return ok(subject, f"{target.url} answers")
    # The header tells whole seconds, cut off: half a second late on average.
    skew = parsedate_to_datetime(stated).timestamp() + 0.5 - clock.now().timestamp()
    if abs(skew) > _SKEW_S:
        return warn(subject, f"its clock is {skew:+.0f} s from ours", "synchronise this machine's clock (NTP)")
    return ok(subject, f"{target.url} answers, clock {skew:+.0f} s from ours")
