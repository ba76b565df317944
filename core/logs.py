"""What the processes print: one line an event, for people or as JSON; secrets are cut out on the way."""

from __future__ import annotations

import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import Any

from core.settings import LogSettings

_PLAIN = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName", "color_message"}
_URL_PASSWORD = re.compile(r"(?P<head>[a-z][a-z0-9+.-]*://[^\s/:@]*):(?P<password>[^\s/]+)@", re.IGNORECASE)
_SECRET = re.compile(
    r"(?P<head>(?:password|passwd|secret|token|access_token|signature|authorization|api_key)[\"']?\s*[=:]\s*[\"']?)(?P<value>[^\s\"'&,;}]+)",
    re.IGNORECASE,
)
_WEBHOOK_SECRET = re.compile(r"whsec_[A-Za-z0-9+/=_-]+")


def redact(text: str) -> str:
    """The text without passwords of URLs and without values of fields that are named as secrets."""
    text = _URL_PASSWORD.sub(r"\g<head>:***@", text)
    text = _WEBHOOK_SECRET.sub("whsec_***", text)
    return _SECRET.sub(r"\g<head>***", text)


def redact_url(url: str) -> str:
    """A URL that may be shown: no password, no query secrets."""
    return redact(url)


class _Formatter(logging.Formatter):
    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def _fields(self, record: logging.LogRecord) -> dict[str, Any]:
        return {name: value for name, value in record.__dict__.items() if name not in _PLAIN}

    def _time(self, record: logging.LogRecord) -> str:
        return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class ConsoleFormatter(_Formatter):
    """`time LEVEL process logger: message key=value`."""

    def format(self, record: logging.LogRecord) -> str:
        fields = "".join(f" {name}={value}" for name, value in self._fields(record).items())
        line = (
            f"{self._time(record)} {record.levelname:<7} {self._process} {record.name}: {record.getMessage()}{fields}"
        )
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return redact(line)


class JsonFormatter(_Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        event: dict[str, Any] = {
            "time": self._time(record),
            "level": record.levelname.lower(),
            "process": self._process,
            "logger": record.name,
            "message": redact(record.getMessage()),
        }
        for name, value in self._fields(record).items():
            event[name] = value if isinstance(value, int | float | bool) or value is None else redact(str(value))
        if record.exc_info:
            event["exception"] = redact(self.formatException(record.exc_info))
        return json.dumps(event, ensure_ascii=False)


def setup(settings: LogSettings, process: str) -> None:
    """Send everything that the process logs to standard error in the chosen form."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(process) if settings.format == "json" else ConsoleFormatter(process))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.level.upper())
    for noisy in ("httpx", "httpcore", "apscheduler", "websockets", "uvicorn.access", "psycopg.pool", "apprise"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
