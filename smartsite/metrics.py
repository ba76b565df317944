"""Figures of the keeper for Prometheus."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

EVIDENCE_FILES = Gauge("smartsite_evidence_files", "Files of evidence", multiprocess_mode="mostrecent")
EVIDENCE_BYTES = Gauge("smartsite_evidence_bytes", "Bytes of evidence", multiprocess_mode="mostrecent")
EVIDENCE_PINNED = Gauge(
    "smartsite_evidence_pinned_bytes",
    "Bytes of evidence that open alerts, deliveries or episodes refer to",
    multiprocess_mode="mostrecent",
)
EVIDENCE_FREE = Gauge(
    "smartsite_evidence_free_bytes", "Bytes that are free on the disk of the evidence", multiprocess_mode="mostrecent"
)
EVIDENCE_SHORT = Gauge(
    "smartsite_evidence_short_bytes",
    "Bytes that the limits of evidence ask to be removed and that cannot be",
    multiprocess_mode="mostrecent",
)
EVIDENCE_REMOVED = Counter("smartsite_evidence_removed_total", "Files of evidence removed, by reason", ["reason"])
