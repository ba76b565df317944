"""Processor time and memory of a process and all that it started, read from /proc."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_TICK = 1 / os.sysconf("SC_CLK_TCK")


def family(pid: int) -> Iterator[int]:
    """The process and everything below it."""
    yield pid
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            for child in (thread / "children").read_text().split():
                yield from family(int(child))


def cpu_s(pid: int) -> float:
    """Processor seconds of the family, those that have ended included."""
    ticks = 0
    for member in family(pid):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            # Counted from behind the name in parentheses, which may hold blanks: own times, waited-for children's.
            fields = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(int(value) for value in fields[11:15])
    return ticks * _TICK


@dataclass(frozen=True, slots=True)
class Memory:
    """MB (1e6 bytes) of the family: `pss` counts a page that several share once in all, `rss` once for each; `own` is
    what of `pss` lies in no file: the share of a file's pages depends on who else on the machine maps it."""

    pss: float
    own: float
    rss: float
    files: int
    processes: int


def memory(pid: int) -> Memory:
    """What the family holds now."""
    pss = own = rss = files = processes = 0
    for member in family(pid):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            lines = Path(f"/proc/{member}/smaps_rollup").read_text().splitlines()
            sizes = {line.split()[0]: int(line.split()[1]) for line in lines[1:]}
            pss += sizes["Pss:"]
            own += sizes["Pss_Anon:"] + sizes["Pss_Shmem:"]
            rss += sizes["Rss:"]
            files += len(list(Path(f"/proc/{member}/fd").iterdir()))
            processes += 1
    return Memory(*(round(kib * 1024 / 1e6, 1) for kib in (pss, own, rss)), files, processes)
