"""Ingest from the device's publish to the committed row, beside the obvious way and the ceilings.

(a) the own endpoint; (b) Mosquitto and the broker source; (c) a paho callback with one INSERT a message; (d) ceilings:
the same bytes to an endpoint and to a subscriber that do nothing, the same rows by bare binary COPY.
Beside them, for docs/scale-out.md: devices on a RabbitMQ node and one or two workers on its quorum queue, and the
ceiling of that. All ways through our own ingest run as in production: `smartsite run ingest` and `smartsite run alerts`
with three rules a channel, on PostgreSQL with fsync and synchronous_commit on. Rounds are interleaved; figures are
medians.
"""
