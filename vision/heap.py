"""Freed memory given back to the system.

glibc keeps what is freed below the top of a heap. After a clip of megabytes that were many small packets, a capture
process would hold on to a second clip's worth for good.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable


def _found() -> Callable[[int], int] | None:
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):  # another C library, which has its own ways
        return None
    trim.argtypes, trim.restype = [ctypes.c_size_t], ctypes.c_int
    return trim


_trim = _found()


def give_back() -> None:
    """Hand free pages of the heap back, where the C library can. Takes milliseconds."""
    if _trim is not None:
        _trim(0)
