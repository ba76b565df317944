"""The adapter that speaks whatever its options describe."""

from __future__ import annotations

from typing import Any, Literal
from zoneinfo import ZoneInfo

import httpx

from alerts.adapters.base import Delivery, Outcome
from alerts.adapters.exchange import Answer, exchange
from alerts.adapters.form.answers import read_result, read_send
from alerts.adapters.form.mapping import Unmapped, filled
from alerts.adapters.form.options import Call, OAuth2Auth, Options
from alerts.adapters.form.request import put_together
from alerts.adapters.form.token import Tokens
from alerts.adapters.pictures import with_md5, with_pictures
from core.clock import Clock
from core.evidence import EvidenceStore
from core.settings import TargetSettings


class FormAdapter:
    """Maps the canonical event to the regulator's fields, signs the call and reads the answer."""

    def __init__(self, target: TargetSettings, options: Options, *, evidence: EvidenceStore, clock: Clock) -> None:
        self.asynchronous = options.result is not None
        self._url = target.url.rstrip("/")
        self._timeout_s = target.timeout_s
        self._options = options
        self._zone = ZoneInfo(options.time_zone)
        self._evidence = evidence
        self._clock = clock
        self._secrets = {name: value.get_secret_value() for name, value in target.secrets.items()}
        self._words = {
            "client_id": target.client_id,
            "secret": target.secret.get_secret_value(),
            **{f"secrets.{name}": value for name, value in self._secrets.items()},
        }
        self._tokens: Tokens | None = None
        self.trial: Literal["signed_accepted", "token_given"] | None = None
        if isinstance(options.auth, OAuth2Auth):
            self._tokens = Tokens(
                options.auth,
                url=self._url,
                client_id=target.client_id,
                secret=self._words["secret"],
                timeout_s=target.timeout_s,
                clock=clock,
            )
            self.trial = "token_given"

    async def send(self, client: httpx.AsyncClient, delivery: Delivery) -> Outcome:
        """Send the first message that fits; a violation that none fits is a configuration error."""
        event, missing = await with_pictures(delivery.payload, self._evidence)
        message = next((message for message in self._options.messages if message.fits(event)), None)
        if message is None:
            what = f"{event['phase']} of {event['metric'] or event['alert']['kind']} at a {event['subject']['type']}"
            return Outcome(kind="config_error", reason=f"none of the target's messages fits a {what}")
        return await self._ask(
            client, message, delivery, with_md5(event), {"evidence_missing": missing} if missing else {}
        )

    async def poll(self, client: httpx.AsyncClient, delivery: Delivery) -> Outcome:
        """Ask for the result as the options say."""
        result = self._options.result
        if result is None:
            raise RuntimeError("polled, but the options tell of no results")
        return await self._ask(client, result, delivery, delivery.payload, {})

    async def try_out(self, client: httpx.AsyncClient) -> Outcome:
        """Fetch a token, which calls go on with."""
        if self._tokens is None:
            raise RuntimeError("tried out, but the options tell of no token")
        return await self._tokens.renew(client)

    async def _ask(
        self, client: httpx.AsyncClient, call: Call, delivery: Delivery, event: dict[str, Any], about: dict[str, Any]
    ) -> Outcome:
        outcome, token, expired = await self._once(client, call, delivery, event, about)
        if expired and self._tokens is not None:
            # The call was refused for its token, so it is not there: once more with a new one.
            self._tokens.drop(token)
            outcome, token, expired = await self._once(client, call, delivery, event, about)
            if expired:
                self._tokens.drop(token)
        return outcome

    async def _once(
        self, client: httpx.AsyncClient, call: Call, delivery: Delivery, event: dict[str, Any], about: dict[str, Any]
    ) -> tuple[Outcome, str, bool]:
        token = ""
        if self._tokens is not None:
            given = await self._tokens.get(client)
            if isinstance(given, Outcome):
                return given, "", False
            token = given
        answer = await self._call(client, call, delivery, event, about, token)
        if isinstance(answer, Outcome):
            return answer, token, False
        now = self._clock.now()
        if call is self._options.result and self._options.result is not None:
            outcome, expired = read_result(answer, self._options.result, now=now)
        else:
            outcome, expired = read_send(answer, self._options.answer, now=now)
        return outcome, token, expired

    async def _call(
        self,
        client: httpx.AsyncClient,
        call: Call,
        delivery: Delivery,
        event: dict[str, Any],
        about: dict[str, Any],
        token: str,
    ) -> Answer | Outcome:
        now = self._clock.now()
        key = delivery.idempotency_key
        extra = {"key": key, "now": now, "client_id": self._words["client_id"], "receipt": delivery.receipt}
        try:
            fields = filled(call.node, event, extra, tables=self._options.tables, zone=self._zone)
        except Unmapped as error:
            return Outcome(kind="config_error", reason=f"not sent: {error}")
        request = put_together(
            call,
            fields,
            self._options.auth,
            {**self._words, "key": key, "receipt": delivery.receipt or ""},
            token=token,
            now=now,
            zone=self._zone,
        )
        return await exchange(
            client,
            call.method,
            self._url + request.path,
            headers={**self._options.headers, **request.headers},
            content=request.content,
            timeout_s=self._timeout_s,
            clock=self._clock,
            hidden=[*request.hidden, self._words["secret"], *self._secrets.values()],
            about={**about, **({"body": request.shown} if request.shown else {})},
        )
