"""Ten thousand devices come back at once to a server that has just started: `python -m benchmarks.reconnect --json`."""
