"""Who publishes on a topic, where a broker has seen to it that the topic speaks the truth."""

from __future__ import annotations

import re
from collections.abc import Callable

from ingest.message import DISABLED, FORBIDDEN_TOPIC, PUBLISHED, ROOT, UNKNOWN_DEVICE, Origin
from sensors.codec_json import Reject
from sensors.registry import Registry, RegistryWatch

_KEPT = 20_000
_TOPIC = re.compile(rf"{ROOT}/([^/]+)/([^/]+)/({'|'.join(PUBLISHED)})")


class Origins:
    """Origins by topic, made once a topic and again when the registry changes.

    `topic_of` makes a topic of the name by which the source knows it; without it that is the topic.
    """

    def __init__(self, source: str, registry: RegistryWatch, *, topic_of: Callable[[str], str] = str) -> None:
        self._source = source
        self._registry = registry
        self._topic_of = topic_of
        self._by_name: dict[str, Origin] = {}
        registry.on_change(self._forget)

    def of(self, name: str) -> Origin:
        """The origin of a topic."""
        return self._by_name.get(name) or self._make(name)

    def _make(self, name: str) -> Origin:
        topic = self._topic_of(name)
        found = _TOPIC.fullmatch(topic)
        site, code, level = found.groups() if found else ("", "", "telemetry")
        registry = self._registry.current
        device = registry.by_topic.get((site, code))
        refusal = None
        if found is None:
            refusal = Reject(FORBIDDEN_TOPIC, "no device publishes on this topic")
        elif device is None:
            refusal = Reject(UNKNOWN_DEVICE, f"no device {site}/{code}"[:200])
        elif not device.enabled or not registry.sites[device.site_id].enabled:
            refusal = Reject(DISABLED, f"device {site}/{code} or its site is switched off")
        if len(self._by_name) >= _KEPT:
            self._by_name.clear()
        origin = self._by_name[name] = Origin(
            source=self._source,
            client="",
            topic=topic,
            leaf=PUBLISHED[level],
            device=device,
            refusal=refusal,
        )
        return origin

    def _forget(self, _: Registry) -> None:
        self._by_name.clear()
