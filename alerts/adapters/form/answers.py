"""What the answers of a regulator mean, by the codes of its options."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from alerts.adapters.base import Outcome
from alerts.adapters.exchange import Answer, refusal
from alerts.adapters.form.options import Answer as Rule
from alerts.adapters.form.options import Code, Result, text_of
from alerts.adapters.form.pointer import at, json_of

_REASON = 500
TOKEN_STATUS = 401


def read_send(answer: Answer, rule: Rule, *, now: datetime) -> tuple[Outcome, bool]:
    """(what became of a report, whether a new token is asked for)."""
    refused = refusal(answer, now=now)
    body = json_of(answer.body)
    code = text_of(at(body, rule.code)) if rule.code and isinstance(body, dict | list) else ""
    if answer.status not in rule.statuses:
        if refused is None:
            reason = f"status {answer.status} is none of those that the target's options expect"
            return Outcome(kind="no_reply", reason=reason, **answer.kept), False
        told = " ".join(part for part in (code, _message(body, rule.message)) if part)
        expired = answer.status == TOKEN_STATUS or _has(rule.token_expired, code)
        return replace(refused, reason=f"{refused.reason}: {told}"[:_REASON] if told else refused.reason), expired
    receipt = text_of(at(body, rule.receipt))[:200] if rule.receipt else ""
    if not rule.code:
        return Outcome(kind="accepted", receipt=receipt or None, **answer.kept), False
    if not code:
        # Something said yes, but not in the words of this API: a proxy's page, or a reply that was cut.
        reason = f"status {answer.status}, but the answer holds no code at {rule.code}"
        return Outcome(kind="no_reply", reason=reason, **answer.kept), False
    if _has(rule.success, code) or _has(rule.duplicate, code):
        return Outcome(kind="accepted", receipt=receipt or None, **answer.kept), False
    reason = f"code {code}: {_message(body, rule.message)}".rstrip(": ")[:_REASON]
    if _has(rule.token_expired, code):
        return Outcome(kind="temporary", reason=reason, **answer.kept), True
    if _has(rule.retry, code):
        return Outcome(kind="temporary", reason=reason, **answer.kept), False
    kind = "config_error" if _has(rule.refused, code) else rule.otherwise
    return Outcome(kind=kind, reason=reason, **answer.kept), False


def read_result(answer: Answer, rule: Result, *, now: datetime) -> tuple[Outcome, bool]:
    """(the result of a report, whether a new token is asked for)."""
    refused = refusal(answer, now=now)
    if refused is not None:
        return refused, answer.status == TOKEN_STATUS
    body = json_of(answer.body)
    code = text_of(at(body, rule.code)) if rule.code else ""
    if rule.code and not _has(rule.success, code):
        reason = f"code {code or 'missing'}: {_message(body, rule.message)}".rstrip(": ")[:_REASON]
        return Outcome(kind="temporary", reason=reason, **answer.kept), False
    state = text_of(at(body, rule.state))
    if _has(rule.validated, state):
        return Outcome(kind="validated", **answer.kept), False
    if _has(rule.rejected, state):
        reason = _message(body, rule.message)[:_REASON] or f"rejected ({state})"
        return Outcome(kind="rejected", reason=reason, **answer.kept), False
    if _has(rule.pending, state):
        return Outcome(kind="pending", **answer.kept), False
    reason = f"the answer holds no state that is known at {rule.state}: {state[:100]!r}"
    return Outcome(kind="temporary", reason=reason, **answer.kept), False


def _has(codes: list[Code], code: str) -> bool:
    return bool(code) and code in map(text_of, codes)


def _message(body: Any, pointer: str) -> str:
    return text_of(at(body, pointer)) if pointer else ""
