"""The machine itself: room on the disk, a clock that is right, free ports."""

from __future__ import annotations

import ctypes
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from core.settings import Settings
from smartsite.doctor.finding import Finding, fail, ok, warn

_ENOUGH_BYTES = 5_000_000_000
_LEAST_BYTES = 500_000_000
_TIME_ERROR = 5  # adjtimex(2): the clock is not synchronised


def examine_disk(settings: Settings) -> Iterator[Finding]:
    """Whether the data directory can be written, and how much room it has."""
    folder = settings.data_dir.absolute()
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        yield fail(
            "data directory", f"{existing} cannot be written", "give this user the right, or set SMARTSITE_DATA_DIR"
        )
        return
    try:
        with tempfile.TemporaryFile(dir=existing) as file:
            file.write(b"0" * 4096)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        yield fail("data directory", f"{existing} takes no file: {error.strerror}", "mend the disk or make room on it")
        return
    yield ok("data directory", str(folder))
    free = shutil.disk_usage(existing).free
    fact = f"{free / 1e9:.1f} GB free at {existing}"
    if free < _LEAST_BYTES:
        yield fail("disk", fact, "make room: the database stops when the disk is full")
    elif free < _ENOUGH_BYTES:
        yield warn("disk", fact, "make room, or shorten database.retention_days")
    else:
        yield ok("disk", fact)


def examine_clock() -> Finding:
    """Whether the kernel holds the clock for synchronised; readings are judged by it."""
    if not sys.platform.startswith("linux"):
        return ok("clock", "its synchronisation is not asked on this system")
    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(512)  # struct timex; all zero asks and changes nothing
    if libc.adjtimex(buffer) == _TIME_ERROR:
        return warn(
            "clock",
            "the kernel does not hold the clock for synchronised",
            "run an NTP client (chrony, systemd-timesyncd); in a container, on its host",
        )
    return ok("clock", "synchronised")


def examine_port(name: str, host: str, port: int, setting: str) -> Finding:
    """Whether a port that a room wants to listen on is free."""
    if port == 0:
        return ok(name, "takes any free port")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return fail(name, f"{host}:{port}: {error.strerror}", f"stop what listens there, or change {setting}")
    return ok(name, f"{host}:{port} is free")


def examine_page(folder: Path) -> Finding:
    """Whether ``folder`` holds the built web page."""
    if (folder / "index.html").is_file():
        return ok("web page", str(folder))
    return fail("web page", f"{folder} holds no index.html", "build it with `make web`")
