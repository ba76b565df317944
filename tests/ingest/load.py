"""Devices that publish on and on through paho, and know what was acknowledged."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import paho.mqtt.client as paho

from tests.ingest.plant import SECRET


class Publisher:
    """One dust station in a thread of its own: a reading a tick, each with its own ts, sent again after a reconnect."""

    def __init__(
        self,
        device: str,
        port: int,
        *,
        every_s: float = 0.002,
        user: str = "",
        version: int = 4,
        beside: Mapping[str, float] = MappingProxyType({}),
    ) -> None:
        self.acknowledged: set[int] = set()
        self.published: list[int] = []
        self._topic = f"smartsite/v1/{device}/telemetry"
        self._every_s = every_s
        self._beside = beside
        self._ts = time.time_ns() // 1_000_000 - 600_000
        self._by_mid: dict[int, int] = {}
        self._early: set[int] = set()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._client = paho.Client(
            paho.CallbackAPIVersion.VERSION2,
            client_id=f"load-{device}",
            protocol=paho.MQTTProtocolVersion(version),
            clean_session=False if version == 4 else None,
        )
        self._client.username_pw_set(user or device, SECRET)
        self._client.reconnect_delay_set(0.1, 0.5)
        self._client.max_inflight_messages_set(50)
        self._client.on_publish = self._on_publish
        self._client.connect_async("127.0.0.1", port, keepalive=5)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> Publisher:
        """Begin."""
        self._client.loop_start()
        self._thread.start()
        return self

    def finish(self, timeout: float = 60) -> None:
        """Publish no more, wait until all is acknowledged, disconnect."""
        self._stop.set()
        self._thread.join()
        deadline = time.monotonic() + timeout
        while self.waiting and time.monotonic() < deadline:
            time.sleep(0.02)
        self._client.disconnect()
        self._client.loop_stop()

    @property
    def waiting(self) -> int:
        """Messages published and not acknowledged."""
        with self._lock:
            return len(self._by_mid)

    def _run(self) -> None:
        while not self._stop.wait(self._every_s):
            if self.waiting > 2000:  # more than the receive maximum: after a reconnect paho sends all of it at once
                continue
            self._ts += 1
            payload = json.dumps({"ts": self._ts, "values": {"pm10": self._ts % 1000, "laeq": 60.5, **self._beside}})
            info = self._client.publish(self._topic, payload, qos=1)
            with self._lock:
                self.published.append(self._ts)
                if info.mid in self._early:
                    self._early.remove(info.mid)
                    self.acknowledged.add(self._ts)
                else:
                    self._by_mid[info.mid] = self._ts

    def _on_publish(self, _client: Any, _data: Any, mid: int, _reason: Any, _properties: Any) -> None:
        with self._lock:
            ts = self._by_mid.pop(mid, None)
            if ts is None:
                self._early.add(mid)  # acknowledged before publish() returned its identifier
            else:
                self.acknowledged.add(ts)
