"""Answers each line with itself: a process for tests."""

from __future__ import annotations

import sys

if __name__ == "__main__":
    for line in sys.stdin.buffer:
        sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()
