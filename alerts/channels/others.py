"""All other contacts: apprise's own channels.

Loading apprise takes long: this module is imported with the first contact that needs it.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from urllib.parse import quote

import apprise

from alerts.channels.base import NOT_AN_ADDRESS, Means, Outgoing, Sent
from alerts.notices.contacts import scheme_of

# No plug-in folders, no storage on disk, no desktop pop-ups: only what the package itself brings.
_ASSET = apprise.AppriseAsset(plugin_paths=[], storage_path=None, async_mode=False, secure_logging=True)
# Schemes that would reach the machine we run on instead of a person.
_OF_THIS_MACHINE = frozenset({"dbus", "gnome", "glib", "kde", "macosx", "qt", "syslog", "windows"})
# apprise tells of every message at INFO; the notification's row says it better.
apprise.logger.setLevel(logging.WARNING)
_WITH_HEADERS = frozenset({"json", "jsons", "form", "forms", "xml", "xmls"})


async def send(contact: str, outgoing: Outgoing, means: Means) -> Sent:
    """Send one message in a thread; a channel that overruns the time-out keeps its thread a while.

    Webhooks get the headers X-Smartsite-Alert, X-Smartsite-Phase and X-Smartsite-Message, which is the same however
    often a message is tried.
    """
    begun = threading.Event()

    def call() -> Sent:
        begun.set()
        return _send(contact, outgoing, means.timeout_s)

    sending = asyncio.get_running_loop().run_in_executor(means.threads, call)
    try:
        async with asyncio.timeout(means.timeout_s):
            return await sending
    except TimeoutError:
        if not begun.is_set():
            return Sent(ok=False, error="all threads are busy with channels that do not answer")
        # A webhook is told by its header which message it has already.
        lost = scheme_of(contact) not in _WITH_HEADERS
        return Sent(ok=False, error=f"no answer from the channel within {means.timeout_s:g} s", lost=lost)


def _send(url: str, outgoing: Outgoing, timeout_s: float) -> Sent:
    scheme = scheme_of(url)
    # apprise does not say whether it gave up on the answer: it must not before we do, so that such a message counts as
    # lost. Of a webhook it makes no difference.
    options = {"cto": f"{timeout_s / 2:g}", "rto": f"{timeout_s if scheme not in _WITH_HEADERS else timeout_s / 2:g}"}
    if scheme in _WITH_HEADERS:
        options |= {
            **({"+X-Smartsite-Alert": str(outgoing.alert)} if outgoing.alert is not None else {}),
            "+X-Smartsite-Phase": outgoing.phase,
            "+X-Smartsite-Message": outgoing.reference,
        }
    plugin = _plugin(_with_options(url, options))
    if plugin is None:
        return NOT_AN_ADDRESS
    message = outgoing.message
    with _Complaints() as complaints:
        ok = bool(plugin.notify(title=message.title, body=message.body, notify_type=apprise.NotifyType.WARNING))
    return Sent(ok=ok, error="" if ok else complaints.text or "the channel did not take the message")


def _plugin(url: str) -> apprise.NotifyBase | None:
    if scheme_of(url) in _OF_THIS_MACHINE:
        return None
    return apprise.Apprise.instantiate(url, asset=_ASSET)


# With its first address apprise loads all its plug-ins: the first message of a process must not wait for that.
_plugin("json://localhost")


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
