"""One base error; every other error of the project derives from it and maps to one JSON shape."""

from __future__ import annotations

from typing import Any


class SmartsiteError(Exception):
    """Something is wrong that a person can understand and mend.

    `code` is stable and part of the API, `status` is the HTTP status it maps to, `hint` says what to do.
    """

    code = "internal"
    status = 500

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message

    def as_json(self) -> dict[str, Any]:
        """The one error shape: `{"error": {"code", "message", "hint"}}`."""
        return {"error": {"code": self.code, "message": self.message, "hint": self.hint}}


class ConfigurationError(SmartsiteError):
    """A setting, file or environment is not usable as it stands."""

    code = "configuration"
    status = 500


class InvalidInput(SmartsiteError):
    """The caller sent something that does not fit."""

    code = "invalid_input"
    status = 422


class Unauthenticated(SmartsiteError):
    """Nobody is logged in, or the log-in failed."""

    code = "unauthenticated"
    status = 401


class Forbidden(SmartsiteError):
    """The caller may not do this."""

    code = "forbidden"
    status = 403


class NotFound(SmartsiteError):
    """There is no such thing, or not for this caller."""

    code = "not_found"
    status = 404


class Conflict(SmartsiteError):
    """The thing is no longer in the state that the caller assumed."""

    code = "conflict"
    status = 409


class Unavailable(SmartsiteError):
    """A part that is needed is away at the moment; trying again later may help."""

    code = "unavailable"
    status = 503
