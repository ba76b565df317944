"""Hostile bytes over real TCP to a running ingest, beside devices that behave: `python -m benchmarks.fuzz --json`."""
