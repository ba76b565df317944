"""Templates of the form adapter: text with names in braces, `{client_id}_{timestamp}_{secret}`."""

from __future__ import annotations

import re
from collections.abc import Callable

_NAME = re.compile(r"\{([A-Za-z0-9_.]+)\}")
NAMES = {"client_id", "secret", "timestamp", "nonce", "method", "path", "body", "params", "key", "receipt"}
"""What every template may name, besides secrets.NAME and the parameters of a signature."""


def check_template(template: str) -> None:
    """Raise ValueError where braces hold something that is no name."""
    rest = _NAME.sub("", template)
    if "{" in rest or "}" in rest:
        raise ValueError("braces hold a name, such as {client_id}")


def fill(template: str, read: Callable[[str], str]) -> str:
    """The template with each name replaced by what `read` says of it."""
    return _NAME.sub(lambda match: read(match[1]), template)


def names_in(template: str) -> set[str]:
    """The names that a template uses."""
    return set(_NAME.findall(template))
