"""Prometheus metrics. Each room declares its own in `<room>/metrics.py`, named `smartsite_<room>_...`.

Where `PROMETHEUS_MULTIPROC_DIR` is set (the supervisor sets it), the processes of one machine share their figures
through that folder and any of them can show all.
"""

from __future__ import annotations

import os

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest, start_http_server
from prometheus_client.multiprocess import MultiProcessCollector

CONTENT_TYPE = CONTENT_TYPE_LATEST


def _registry() -> CollectorRegistry:
    if not os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        return REGISTRY
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return registry


def render() -> bytes:
    """All figures in the text format, of this process or of the machine's."""
    return generate_latest(_registry())


def serve(port: int, host: str = "0.0.0.0") -> int:
    """Show this process's figures on a port of its own, for a room that runs alone; return the port."""
    server, _ = start_http_server(port, addr=host, registry=_registry())
    return int(server.server_port)
