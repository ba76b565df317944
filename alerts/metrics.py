"""Figures of the alerts room. The log's lag is told by core; what waits to go out is counted in its own tables."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

READINGS = Counter("smartsite_alerts_readings", "Messages that the engine evaluated")
TRANSITIONS = Counter("smartsite_alerts_transitions", "Violations begun, joined and over", ["rule", "phase"])
POISON = Counter("smartsite_alerts_poison_entries", "Entries of the log that could not be read and were passed over")
GAPS = Counter("smartsite_alerts_dropped_entries", "Entries that the log dropped over its cap before they were judged")
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
DELIVERY_CALLS = Counter("smartsite_alerts_delivery_calls", "Calls to regulators", ["target", "kind", "outcome"])
ACCEPTED_AFTER = Histogram(
    "smartsite_alerts_accepted_after_seconds",
    "From the moment a delivery became due for the first time to its acceptance",
    ["target"],
    buckets=(0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 30, 300, 3600, 86400),
)
REGULATOR_SKEW = Gauge(
    "smartsite_alerts_regulator_clock_skew_seconds",
    "The regulator's clock minus ours, by the Date of its last answer",
    ["target"],
    multiprocess_mode="mostrecent",
)
UPLINK_PACKETS = Counter(
    "smartsite_alerts_uplink_packets", "Packets of up-links by HJ 212", ["uplink", "command", "outcome"]
)
UPLINK_CONNECTED = Gauge(
    "smartsite_alerts_uplink_connected",
    "Whether an up-link's connection stands",
    ["uplink"],
    multiprocess_mode="livemax",
)
MESSAGES = Counter("smartsite_alerts_messages", "Messages to people that were sent or failed", ["channel", "state"])
