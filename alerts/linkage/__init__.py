"""Linkages: while a violation stands, devices of its site are switched on; a sprayer against dust is the first user.

`model` says what a linkage is and reads its files, `decide` is the pure decision about one device, `linker` applies it
in the transaction of the alerts' transitions, `standing` shows it to people and takes their word.
"""

from __future__ import annotations

from alerts.linkage.linker import Linker
from alerts.linkage.model import Linkage, load

__all__ = ["Linkage", "Linker", "load"]
