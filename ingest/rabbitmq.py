"""How telemetry lies in RabbitMQ: names, and the definitions that a node loads for its queue and its devices.

RabbitMQ's MQTT plugin publishes to the exchange `amq.topic`, with `.` for the `/` of a topic. One quorum queue is bound
there, and every ingest worker reads from it. What a device may publish is RabbitMQ's to see to: each device is a user
of its own, allowed its own topics only, so that a topic of this queue says truly who published.
"""

from __future__ import annotations

import argparse
import base64
import csv
import hashlib
import json
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from core.errors import InvalidInput
from ingest.message import PUBLISHED, ROOT

EXCHANGE = "amq.topic"
QUEUE_ARGUMENTS = {"x-queue-type": "quorum"}
_SWAP = str.maketrans("./", "/.")
_CODE = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SALT_BYTES = 4  # what RabbitMQ's hash has, no more and no fewer


def topic_of(routing_key: str) -> str:
    """The MQTT topic of a routing key, as the plugin translates it: `.` and `/` change places."""
    return routing_key.translate(_SWAP)


def routing_key_of(topic: str) -> str:
    """The routing key of an MQTT topic."""
    return topic.translate(_SWAP)


BINDINGS = tuple(routing_key_of(f"{ROOT}/*/*/{level}") for level in PUBLISHED)
"""Routing keys by which the queue is bound: the topics that devices publish to, of every device."""


def password_hash(password: str, salt: bytes | None = None) -> str:
    """A password as `rabbit_password_hashing_sha256` keeps it: base64 of salt and SHA-256 of salt and password."""
    salt = os.urandom(_SALT_BYTES) if salt is None else salt
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


def definitions(
    devices: Iterable[Mapping[str, str]], *, user: str, password: str, queue: str, vhost: str = "/"
) -> dict[str, Any]:
    """What `load_definitions` takes: the queue, the reader, and a user for each device.

    Args:
        devices: rows with `site`, `code` and `secret`.
        user, password: of the ingest workers.
        queue: name of the queue they read.
    Raises:
        InvalidInput: a row without secret, or with a code that cannot stand in a topic.
    """
    users = [_user(user, password)]
    permissions = [_permission(user, vhost, queue, f"^({re.escape(queue)}|amq\\.topic)$")]
    topics = [
        {
            "user": user,
            "vhost": vhost,
            "exchange": EXCHANGE,
            "read": r"^smartsite\.v1\.",
            "write": r"^smartsite\.v1\.[^.]+\.[^.]+\.command$",
        }
    ]
    for line, row in enumerate(devices, 2):
        site, code, secret = (row.get(name) or "" for name in ("site", "code", "secret"))
        if not (_CODE.fullmatch(site) and _CODE.fullmatch(code) and secret):
            raise InvalidInput(
                f"line {line}: device {site}/{code} needs site, code and secret",
                hint="codes are A-Z a-z 0-9 _ -; the secret is the one given to `smartsite provision`",
            )
        name = f"{site}/{code}"
        # The queue in which the plugin keeps commands for a device bears its client identifier: only its own.
        kept = f"mqtt-subscription-{name}qos1"
        own = rf"^smartsite\.v1\.{site}\.{code}\."
        users.append(_user(name, secret))
        permissions.append(_permission(name, vhost, kept, f"^({kept}|amq\\.topic)$"))
        topics.append(
            {
                "user": name,
                "vhost": vhost,
                "exchange": EXCHANGE,
                "read": f"{own}command$",
                "write": f"{own}({'|'.join(PUBLISHED)})$",
            }
        )
    return {
        "vhosts": [{"name": vhost}],
        "users": users,
        "permissions": permissions,
        "topic_permissions": topics,
        "queues": [
            {"name": queue, "vhost": vhost, "durable": True, "auto_delete": False, "arguments": QUEUE_ARGUMENTS}
        ],
        "bindings": [
            {
                "source": EXCHANGE,
                "vhost": vhost,
                "destination": queue,
                "destination_type": "queue",
                "routing_key": key,
                "arguments": {},
            }
            for key in BINDINGS
        ],
    }


def _user(name: str, password: str) -> dict[str, Any]:
    return {
        "name": name,
        "password_hash": password_hash(password),
        "hashing_algorithm": "rabbit_password_hashing_sha256",
        "tags": "",
    }


def _permission(user: str, vhost: str, configure: str, use: str) -> dict[str, str]:
    return {"user": user, "vhost": vhost, "configure": f"^{re.escape(configure)}$", "write": use, "read": use}


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the definitions for a sheet of devices to standard output; 1 where the sheet cannot be used."""
    parser = argparse.ArgumentParser(
        prog="python -m ingest.rabbitmq", description="RabbitMQ definitions for a sheet of devices (CSV)."
    )
    parser.add_argument("sheet", type=Path, help="devices.csv with the columns site, code and secret")
    parser.add_argument("--user", default="smartsite", help="user of the ingest workers")
    parser.add_argument("--queue", default="smartsite", help="name of the queue")
    chosen = parser.parse_args(arguments)
    password = os.environ.get("SMARTSITE_INGEST__AMQP_PASSWORD", "")
    if not password:
        parser.error("the password of the workers is missing: set SMARTSITE_INGEST__AMQP_PASSWORD")
    try:
        with chosen.sheet.open(encoding="utf-8-sig", newline="") as sheet:
            made = definitions(csv.DictReader(sheet), user=chosen.user, password=password, queue=chosen.queue)
    except (InvalidInput, OSError) as error:
        hint = getattr(error, "hint", "")
        sys.stderr.write(f"{error}{': ' if hint else ''}{hint}\n")
        return 1
    json.dump(made, sys.stdout, indent=1)
    sys.stdout.write("\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
