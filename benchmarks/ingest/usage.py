"""Processor time and memory of processes, read from /proc."""

from __future__ import annotations

import os
from pathlib import Path

_TICK = 1 / os.sysconf("SC_CLK_TCK")


def _stat(pid: int) -> list[str]:
    # The name in parentheses may hold blanks: fields are counted from behind it. [1] is the parent, [11:15] the times.
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def cpu_seconds(pid: int) -> float:
    """Processor seconds of a process, its waited-for children and its live children."""
    fields = _stat(pid)
    ticks = sum(int(value) for value in fields[11:15])
    for child in _children(pid):
        try:
            ticks += sum(int(value) for value in _stat(child)[11:13])
        except FileNotFoundError:
            continue  # it ended meanwhile; its parent has its times
    return ticks * _TICK


def peak_mb(pid: int) -> float:
    """Highest resident memory so far, in MB (1e6 bytes)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return round(int(line.split()[1]) * 1024 / 1e6, 1)
    return 0.0


def _children(pid: int) -> list[int]:
    return [int(number) for number in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


class Meter:
    """Processor time by name between two looks."""

    def __init__(self, pids: dict[str, int]) -> None:
        self._pids = pids
        self._before: dict[str, float] = {}

    def start(self) -> None:
        """Count from here."""
        self._before = {name: cpu_seconds(pid) for name, pid in self._pids.items()}

    def spent(self) -> dict[str, float]:
        """Seconds since `start`."""
        return {name: cpu_seconds(pid) - self._before[name] for name, pid in self._pids.items()}

    def peak(self) -> dict[str, float]:
        """Peak memory by name, MB; PostgreSQL's is spread over processes that share it and is left out."""
        return {name: peak_mb(pid) for name, pid in self._pids.items() if name != "postgres"}
