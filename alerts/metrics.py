"""Figures of the alerts room. The log's lag is told by core; deliveries and notices count in their own tables."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

READINGS = Counter("smartsite_alerts_readings", "Messages that the engine evaluated")
TRANSITIONS = Counter("smartsite_alerts_transitions", "Violations begun, joined and over", ["rule", "phase"])
POISON = Counter("smartsite_alerts_poison_entries", "Entries of the log that could not be read and were passed over")
LATE = Gauge(
    "smartsite_alerts_late_readings",
    "Readings that came too late for their window, since the last rebuild",
    multiprocess_mode="livemax",
)
RULES = Gauge("smartsite_alerts_rules", "Rules in force", multiprocess_mode="livemax")
SNAPSHOT_BYTES = Gauge(
    "smartsite_alerts_snapshot_bytes", "Size of the engine's last snapshot", multiprocess_mode="livemax"
)
DELAY = Histogram(
    "smartsite_alerts_evaluation_delay_seconds",
    "From an entry's writing to the commit of what it caused",
    buckets=(0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 30, 300),
)
