"""A person's contacts and the names under which rows and logs speak of them.

A contact is an apprise URL and may hold tokens, so it is never shown: a channel is told by its scheme, `json`, and
`json-2` for a second contact of that scheme. Only contacts are used; there is no default channel.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit


def by_channel(contacts: Iterable[str]) -> dict[str, str]:
    """The contact behind each channel name, in the person's order."""
    named: dict[str, str] = {}
    for contact in contacts:
        scheme = scheme_of(contact)
        channel, number = scheme, 1
        while channel in named:
            number += 1
            channel = f"{scheme}-{number}"
        named[channel] = contact
    return named


def scheme_of(contact: str) -> str:
    """The scheme of a contact; `unknown` where it has none."""
    try:
        return urlsplit(contact).scheme.lower() or "unknown"
    except ValueError:
        return "unknown"
