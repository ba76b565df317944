"""Answers without end and without being asked: a process for tests."""

from __future__ import annotations

import sys

if __name__ == "__main__":
    while True:
        sys.stdout.buffer.write(b"x" * 65536)
