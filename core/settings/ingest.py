"""Where readings come from, and what is accepted."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from core.settings.section import Section


class IngestSettings(Section):
    """Where readings come from and what is accepted."""

    worker: str = Field(
        default="1", pattern=r"^[a-z0-9-]{1,32}$", description="Name of this worker, unique among ingest workers."
    )
    sources: list[Literal["endpoint", "broker", "amqp", "hj212"]] = Field(
        default=["endpoint"],
        min_length=1,
        description="Where messages come from: own MQTT endpoint, MQTT broker, RabbitMQ queue, HJ 212 stations.",
    )
    mqtt_host: str = Field(default="0.0.0.0", description="Address that the own MQTT endpoint listens on.")
    mqtt_port: int = Field(
        default=1883, ge=0, le=65535, description="Port of the own MQTT endpoint; 0 takes a free one."
    )
    tls_host: str = Field(default="0.0.0.0", description="Address that the own endpoint listens on for MQTT over TLS.")
    tls_port: int | None = Field(
        default=None,
        ge=0,
        le=65535,
        description="Port for MQTT over TLS, 8883 by custom; empty: no TLS; 0 takes a free one.",
    )
    tls_certificate: Path | None = Field(
        default=None, description="Certificate of the own endpoint with its chain, PEM; read at start."
    )
    tls_key: Path | None = Field(default=None, description="Private key of that certificate, PEM without passphrase.")
    tls_client_ca: Path | None = Field(
        default=None,
        description="Authorities, PEM, whose client certificates stand for the device that they name; empty: none.",
    )
    tls_require_certificate: bool = Field(
        default=False, description="Whether a client without such a certificate is refused over TLS."
    )
    connect_rate: float = Field(
        default=5,
        ge=0,
        description="Connects a second of one device from one address, in bursts of ten seconds' worth; 0: no limit.",
    )
    publish_rate: float = Field(
        default=2000,
        ge=0,
        description="Messages a second of one device, likewise; beyond it its connection is read slower. 0: no limit.",
    )
    max_packet_kb: int = Field(
        default=256, ge=1, le=262_143, description="Largest MQTT packet that the own endpoint takes, in KiB."
    )
    in_flight: int = Field(
        default=1000,
        ge=1,
        le=65535,
        description="QoS 1 messages that a device, or the broker, may send before the first is acknowledged.",
    )
    max_connections: int = Field(default=5000, ge=1, description="Connections at a time to the own endpoint.")
    address_connections: int = Field(
        default=1000,
        ge=1,
        description="Connections at a time from one address (of IPv6: one /64), to the own endpoint and to the gateway "
        "each. A site's devices often share one address.",
    )
    device_connections: int = Field(
        default=10, ge=1, description="MQTT connections of one device; one more ends the oldest."
    )
    remember_verified: bool = Field(
        default=True,
        description="Whether secrets that were found right are noted, keyed, in data_dir/verified, so that devices "
        "with chosen secrets come back at once after a restart; docs/protocol-mqtt.md tells what that means.",
    )
    broker_url: str = Field(
        default="mqtt://127.0.0.1:1883",
        pattern=r"^mqtts?://[^\s/@:]+(:[0-9]{1,5})?/?$",
        description="Address of the MQTT broker, mqtt:// or mqtts:// (TLS); user and password are fields of their own.",
    )
    broker_user: str = Field(default="", description="User name at the broker; empty: none.")
    broker_password: SecretStr = Field(default=SecretStr(""), description="Password at the broker.")
    broker_client_id: str = Field(
        default="",
        max_length=64,
        description="Client identifier of the persistent session at the broker; empty: smartsite-ingest-<worker>.",
    )
    broker_group: str = Field(
        default="",
        pattern=r"^[A-Za-z0-9_-]{0,64}$",
        description="Name of the shared subscription of several workers on one broker; empty: this worker reads alone.",
    )
    amqp_urls: list[str] = Field(
        default=[],
        description="Nodes of the RabbitMQ cluster: amqp://host:port/vhost, or amqps:// for TLS; no user or password.",
    )
    amqp_user: str = Field(default="smartsite", description="User name of the workers at RabbitMQ.")
    amqp_password: SecretStr = Field(default=SecretStr(""), description="Password of the workers at RabbitMQ.")
    amqp_queue: str = Field(
        default="smartsite",
        pattern=r"^[A-Za-z0-9_.-]{1,100}$",
        description="Name of the quorum queue that all ingest workers read.",
    )
    amqp_prefetch: int = Field(
        default=2000,
        ge=1,
        le=65535,
        description="Messages that RabbitMQ gives a worker before the first is acknowledged.",
    )
    amqp_declare: bool = Field(
        default=True,
        description="Whether the worker makes the queue and its bindings where they are missing.",
    )
    hj212_host: str = Field(default="0.0.0.0", description="Address that the gateway for HJ 212 stations listens on.")
    hj212_port: int = Field(
        default=2120, ge=0, le=65535, description="Port of the gateway for HJ 212 stations; 0 takes a free one."
    )
    hj212_max_connections: int = Field(default=2000, ge=1, description="Connections of HJ 212 stations at a time.")
    hj212_max_frame_kb: int = Field(
        default=64, ge=1, le=1024, description="Longest frame of HJ 212 that is taken, in KiB; the standard says 1."
    )
    hj212_idle_s: float = Field(
        default=900, ge=10, le=86_400, description="Seconds of silence after which an HJ 212 connection is ended."
    )
    max_age_days: float = Field(
        default=30, gt=0, le=35, description="Days that a reading may be old; older ones go to quarantine."
    )
    max_ahead_s: float = Field(
        default=300, ge=0, le=86_400, description="Seconds that a reading may lie in the future before it goes there."
    )
    batch_messages: int = Field(default=2000, ge=1, le=100_000, description="Messages in one transaction at most.")
    waiting_messages: int = Field(
        default=50_000, ge=1, description="Messages that may wait in memory before sources stop reading."
    )
    waiting_mb: int = Field(default=128, ge=1, description="The same bound for their payloads, in MiB.")
    spool_mb: int = Field(
        default=1024,
        ge=0,
        description="MiB of messages that wait on disk (data_dir/spool) while the database is away; 0: no spool. "
        "A worker that only reads from a broker has none.",
    )
    spool_after_s: float = Field(
        default=2, gt=0, description="Seconds that a transaction may take before what arrives goes to the spool."
    )
    quarantine_rows: int = Field(
        default=1000, ge=1, description="Newest rows of the quarantine that are kept for each device."
    )

    @model_validator(mode="after")
    def _tls_is_whole(self) -> IngestSettings:
        if self.tls_port is not None and (self.tls_certificate is None or self.tls_key is None):
            raise ValueError("tls_port needs tls_certificate and tls_key")
        if self.tls_require_certificate and self.tls_client_ca is None:
            raise ValueError("tls_require_certificate needs tls_client_ca")
        return self

    @field_validator("amqp_urls")
    @classmethod
    def _nodes_can_be_reached(cls, urls: list[str]) -> list[str]:
        for url in urls:
            # `port` raises ValueError beyond 65535. The address is not shown: it may hold a password by mistake.
            if not re.fullmatch(r"amqps?://[^\s/@:]+(:[0-9]{1,5})?(/[^\s/@]*)?", url) or urlsplit(url).port == 0:
                raise ValueError("an address is not of the form amqp://host:port/vhost")
        return urls

    @model_validator(mode="after")
    def _sources_have_addresses(self) -> IngestSettings:
        if "amqp" in self.sources and not self.amqp_urls:
            raise ValueError("the source amqp needs amqp_urls")
        return self
