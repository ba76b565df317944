"""Debian's Chromium, as whoever has no screen starts it."""

from __future__ import annotations

PROGRAM = "/usr/bin/chromium"
# As root, and without asking anybody on the network for anything.
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
