"""Channels to people, a module each; see alerts.channels.base."""

from __future__ import annotations

import re
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

from alerts.channels.base import Means, Outgoing, Sent
from alerts.notices.contacts import scheme_of

__all__ = ["Means", "Outgoing", "Sent", "send"]

_SCHEME = re.compile(r"^[a-z][a-z0-9]{0,31}$")
_NOT_CHANNELS = frozenset({"base", "others"})


async def send(contact: str, outgoing: Outgoing, means: Means) -> Sent:
    """Send one message to a contact; what a channel raises passes through."""
    sent = await _channel(scheme_of(contact)).send(contact, outgoing, means)
    assert isinstance(sent, Sent)
    return sent


@cache
def _channel(scheme: str) -> ModuleType:
    own = _SCHEME.match(scheme) is not None and scheme not in _NOT_CHANNELS
    name = f"{__name__}.{scheme}"
    return import_module(name if own and find_spec(name) is not None else f"{__name__}.others")
