"""Ties a process to the one that started it, so that nothing outlives its supervisor.

Run as a launcher (``python leash.py PARENT_PID -- command argument...``): asks the kernel to kill this process when
its parent dies, then becomes the command. The wish survives ``execve``; it is cleared when a program changes its user,
so a program that drops root must ask again by itself. Done in a launcher and not in a ``preexec_fn``, because code
between fork and exec may deadlock in a process that has threads.

Where the kernel has no such call (everything but Linux) the launcher stays, starts the command and watches both.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time

_PR_SET_PDEATHSIG = 1
_WATCH_S = 0.5


def tie_to_parent(parent: int) -> None:
    """Asks Linux to send SIGKILL to this process when ``parent`` (its parent, as a process id) dies.

    Raises OSError when the kernel refuses and ProcessLookupError when the parent is gone already.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent:  # it died between our start and the call
        raise ProcessLookupError(f"process {parent} is gone")


def _watch(parent: int, command: list[str]) -> int:
    """Starts the command and ends it when the parent is gone; returns its exit status."""
    with subprocess.Popen(command) as process:
        signal.signal(signal.SIGTERM, lambda _number, _frame: process.terminate())
        signal.signal(signal.SIGINT, lambda _number, _frame: process.send_signal(signal.SIGINT))
        while process.poll() is None:
            if os.getppid() != parent:
                process.kill()
            time.sleep(_WATCH_S)
        return process.returncode


def command_line(command: list[str] | tuple[str, ...], *, parent: int) -> list[str]:
    """The command line that runs ``command`` on a leash held by the process ``parent``."""
    # -I and -S: the launcher needs nothing of the environment, and starts in 15 ms instead of 60.
    return [sys.executable, "-I", "-S", __file__, str(parent), "--", *command]


def main(arguments: list[str]) -> int:
    """The launcher: ``arguments`` are PARENT_PID, ``--`` and the command. On Linux it does not come back."""
    parent, command = int(arguments[0]), arguments[2:]
    if sys.platform.startswith("linux"):
        tie_to_parent(parent)
        os.execvp(command[0], command)  # noqa: S606 - no shell is the point
    return _watch(parent, command)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
