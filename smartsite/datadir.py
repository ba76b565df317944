"""The data directory of an installation, and the lock that keeps two supervisors out of one."""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path
from types import TracebackType

from core.errors import ConfigurationError, Conflict


class DataDirectory:
    """``data_dir`` while this process owns it; a context manager.

    The lock is an advisory one of the kernel (``flock``) on ``run/lock``: it vanishes with its holder, however that
    ended, so there is no stale lock to clean. The file's text, the holder's process id, is only for the message.

    Raises Conflict when another process holds the directory and ConfigurationError when it cannot be written.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.run = self.root / "run"
        self.metrics = self.run / "metrics"
        self._lock: int | None = None

    def __enter__(self) -> DataDirectory:
        try:
            self.run.mkdir(parents=True, exist_ok=True)
            lock = os.open(self.run / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise ConfigurationError(
                f"the data directory {self.root} cannot be written: {error.strerror}",
                hint="choose another with SMARTSITE_DATA_DIR, or give this user the right to write there",
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(lock, 32, 0).decode().strip() or "unknown"
            os.close(lock)
            raise Conflict(
                f"the data directory {self.root} is in use by process {holder}",
                hint="stop that one first, or choose another directory with SMARTSITE_DATA_DIR",
            ) from None
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        self._lock = lock
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def clear_metrics(self) -> None:
        """Empties the folder in which the processes share their figures."""
        # Counter files of processes that are gone would be added to the new ones for ever.
        if self.metrics.exists():
            shutil.rmtree(self.metrics)
        self.metrics.mkdir()
