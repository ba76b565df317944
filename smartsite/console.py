"""What the command line says to people: plain lines on standard output and standard error."""

from __future__ import annotations

import sys


def say(text: str = "") -> None:
    """Writes a line to standard output at once, so that progress shows through pipes too."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def complain(text: str) -> None:
    """Writes a line to standard error."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
