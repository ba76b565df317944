"""Figures of the ingest room."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

CONNECTIONS = Gauge(
    "smartsite_ingest_connections", "Devices connected to the own endpoint", multiprocess_mode="livesum"
)
STATIONS = Gauge(
    "smartsite_ingest_hj212_stations", "HJ 212 stations connected to the gateway", multiprocess_mode="livesum"
)
REFUSED = Counter("smartsite_ingest_refused_connects", "Connects refused by the own endpoint", ["reason"])
VIOLATIONS = Counter(
    "smartsite_ingest_protocol_violations",
    "MQTT connections ended, HJ 212 frames refused and connections ended",
    ["reason"],
)
BROKER_CONNECTED = Gauge(
    "smartsite_ingest_broker_connected", "1 while the broker source is connected", multiprocess_mode="livemax"
)
AMQP_CONNECTED = Gauge(
    "smartsite_ingest_amqp_connected", "Workers that read from the RabbitMQ queue", multiprocess_mode="livesum"
)
REDELIVERED = Counter("smartsite_ingest_redelivered", "Messages that RabbitMQ says it had given out before")
WAITING = Gauge("smartsite_ingest_waiting_messages", "Messages queued for the writer", multiprocess_mode="livesum")
SPOOLED = Gauge(
    "smartsite_ingest_spooled_bytes", "Bytes of the spool that the database lacks", multiprocess_mode="livesum"
)
MESSAGES = Counter("smartsite_ingest_messages", "Messages dealt with and acknowledged", ["leaf"])
ROWS = Counter("smartsite_ingest_rows", "Readings by what became of them", ["outcome"])
QUARANTINED = Counter("smartsite_ingest_quarantined", "Messages or readings set aside", ["reason"])
BATCH = Histogram(
    "smartsite_ingest_batch_messages", "Messages in a transaction", buckets=(1, 3, 10, 30, 100, 300, 1000, 3000, 10000)
)
COMMIT_SECONDS = Histogram(
    "smartsite_ingest_commit_seconds",
    "Time from the start of a batch's transaction to its commit",
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 5),
)
RETRIES = Counter("smartsite_ingest_batch_retries", "Transactions that were run again", ["cause"])
COMMANDS = Counter("smartsite_ingest_commands", "Commands sent, returned by RabbitMQ, expired", ["what"])
