"""Benchmarks: `make bench NAME=x` runs `python -m benchmarks.x --json`, which ends with one JSON object."""
