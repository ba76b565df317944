"""Sending one message through apprise, and our own channel `log://`, which writes it to the log.

Loading apprise takes long: only the notification worker imports this module.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from urllib.parse import quote

import apprise
from apprise.decorators import notify as apprise_notify

from alerts.contacts import scheme_of
from alerts.wording import Message

logger = logging.getLogger(__name__)

# No plug-in folders, no storage on disk, no desktop pop-ups: only what the package itself brings.
_ASSET = apprise.AppriseAsset(plugin_paths=[], storage_path=None, async_mode=False, secure_logging=True)
# Schemes that would reach the machine we run on instead of a person.
_OF_THIS_MACHINE = frozenset({"dbus", "gnome", "glib", "kde", "macosx", "qt", "syslog", "windows"})
# apprise tells of every message at INFO; the notification's row says it better.
apprise.logger.setLevel(logging.WARNING)
_WITH_HEADERS = frozenset({"json", "jsons", "form", "forms", "xml", "xmls"})


@apprise_notify(on="log", name="Smartsite log")  # type: ignore[no-untyped-call, untyped-decorator]
def _write_to_log(body: str, title: str, *_: object, **__: object) -> bool:
    logger.info("notification: %s", title, extra={"text": body.replace("\n", " | ")})
    return True


@dataclass(frozen=True, slots=True)
class Sent:
    """Whether the channel took the message; `error` says why not, without secrets. `usable`: a retry may help."""

    ok: bool
    error: str = ""
    usable: bool = True


def send(url: str, message: Message, *, alert: int, phase: str, timeout_s: float) -> Sent:
    """Send one message. Blocks, up to about `timeout_s` for channels that keep to it: call it in a thread.

    Webhooks get the headers X-Smartsite-Alert and X-Smartsite-Phase.
    """
    scheme = scheme_of(url)
    options = {"cto": f"{timeout_s / 2:g}", "rto": f"{timeout_s / 2:g}"}
    if scheme in _WITH_HEADERS:
        options |= {"+X-Smartsite-Alert": str(alert), "+X-Smartsite-Phase": phase}
    plugin = _plugin(_with_options(url, options))
    if plugin is None:
        return Sent(ok=False, error="the contact is not an address that can be used", usable=False)
    with _Complaints() as complaints:
        ok = bool(plugin.notify(title=message.title, body=message.body, notify_type=apprise.NotifyType.WARNING))
    return Sent(ok=ok, error="" if ok else complaints.text or "the channel did not take the message")


def _plugin(url: str) -> apprise.NotifyBase | None:
    if scheme_of(url) in _OF_THIS_MACHINE:
        return None
    return apprise.Apprise.instantiate(url, asset=_ASSET)


def _with_options(url: str, options: dict[str, str]) -> str:
    query = "&".join(f"{quote(name, safe='+')}={quote(value)}" for name, value in options.items())
    return f"{url}{'&' if '?' in url else '?'}{query}"


class _Complaints(logging.Handler):
    """Collects what apprise complains of in this thread. Its plug-ins say in the log, not in a result, what failed."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._thread = threading.get_ident()
        self._lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread:
            self._lines.append(record.getMessage())

    def __enter__(self) -> _Complaints:
        apprise.logger.addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        apprise.logger.removeHandler(self)

    @property
    def text(self) -> str:
        """What was collected, on one line."""
        return " ".join(" ".join(self._lines).split())[:500]
