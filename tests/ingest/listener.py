"""A device that hears commands through paho and replies to them."""

from __future__ import annotations

import json
import threading
from typing import Any

import paho.mqtt.client as paho

from tests.ingest.plant import SECRET


class Listener:
    """Subscribes to the command topic of `device` after each connect, in a session that the broker keeps."""

    def __init__(self, device: str, port: int, *, replies: bool = True) -> None:
        self.heard: list[int] = []
        self.qualities: set[int] = set()
        self.subscribed = threading.Event()
        self._root = f"smartsite/v1/{device}"
        self._replies = replies
        self._client = paho.Client(
            paho.CallbackAPIVersion.VERSION2, client_id=device, protocol=paho.MQTTv311, clean_session=False
        )
        self._client.username_pw_set(device, SECRET)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = lambda client, *_: client.subscribe(f"{self._root}/command", qos=1)
        self._client.on_subscribe = lambda *_: self.subscribed.set()
        self._client.on_disconnect = lambda *_: self.subscribed.clear()
        self._client.on_message = self._on_message
        self._client.connect_async("127.0.0.1", port, keepalive=5)

    def start(self) -> Listener:
        """Connect, and again whenever the connection is lost."""
        self._client.loop_start()
        return self

    def say_online(self) -> None:
        """Publish the status, as devices do after they have subscribed."""
        self._client.publish(f"{self._root}/status", b"online", qos=1)

    def leave(self) -> None:
        """Disconnect; the session stays."""
        self._client.disconnect()
        self._client.loop_stop()
        left = self._client.socket()
        if left is not None:
            left.close()  # it was just connecting

    def _on_message(self, client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        number = json.loads(message.payload)["id"]
        self.heard.append(number)
        self.qualities.add(message.qos)
        if self._replies:
            client.publish(f"{self._root}/reply", json.dumps({"id": number, "ok": True}), qos=1)
