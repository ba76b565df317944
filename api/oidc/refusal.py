"""Why nobody entered through the provider: a code that the log-in page has words for, and the facts for the log."""

from __future__ import annotations

from typing import Literal

Code = Literal[
    "oidc_denied",
    "oidc_expired",
    "oidc_away",
    "oidc_provider",
    "oidc_invalid",
    "oidc_unknown",
    "oidc_disabled",
    "oidc_taken",
    "oidc_role",
    "oidc_locked",
    "unavailable",
]

COUNTED: frozenset[Code] = frozenset({"oidc_invalid", "oidc_unknown", "oidc_disabled", "oidc_taken", "oidc_role"})
"""What counts as a failed log-in of its address. A provider that is away or wrongly set up is nobody's guess."""


class Refusal(Exception):
    """Nobody enters; `code` is for the page, `reason` for the log (no secrets), `user` the name where it is known."""

    def __init__(self, code: Code, reason: str, *, user: str = "") -> None:
        super().__init__(reason)
        self.code: Code = code
        self.reason = reason
        self.user = user
