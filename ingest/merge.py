"""Same key, three cases: a channel still empty is filled, the same value is a duplicate, a different one a conflict.

A cell is (value, quality letter). It is empty while it has no value; a letter without a value, say D for a fault, is
said once and gives way to a value. Of two different cells the first is kept.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ingest.rows import Rows, as_stored
from sensors.profiles import Profile

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Cells:
    """Values float64[n, c] and quality uint8[n, c] of rows."""

    values: npt.NDArray[np.float64]
    quality: npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Comparison:
    """What incoming cells are to the cells that are there: bool[n, c] each. Neither: absent or a duplicate."""

    fill: Mask
    conflict: Mask


def compare(profile: Profile, there: Cells, incoming: Cells) -> Comparison:
    """Compare rows of the same keys, cell by cell, as the table stores them."""
    old, new = as_stored(profile, there.values), as_stored(profile, incoming.values)
    old_none, new_none = np.isnan(old), np.isnan(new)
    said = incoming.quality != 0
    fill = said & old_none & (~new_none | (there.quality == 0))
    same = ((old == new) | (old_none & new_none)) & (there.quality == incoming.quality)
    return Comparison(fill, said & ~fill & ~same)


@dataclass(frozen=True, slots=True)
class Folded:
    """Rows of a batch with each key once.

    `rows` are the first of each key, filled from the later ones. The others by what became of them, as places in the
    batch's rows: `filled` gave a cell, `duplicates` nothing new, `conflicts` something different.
    """

    rows: Rows
    filled: npt.NDArray[np.intp]
    duplicates: npt.NDArray[np.intp]
    conflicts: npt.NDArray[np.intp]


_NONE = np.empty(0, dtype=np.intp)


def fold(rows: Rows) -> Folded:
    """Merge rows of the same (device, time) within one batch; a message sent twice in a row often lands in one."""
    order = np.lexsort((rows.time, rows.device))  # stable: the first arrival of a key comes first
    device, time = rows.device[order], rows.time[order]
    fresh = np.ones(len(rows), dtype=bool)
    fresh[1:] = (device[1:] != device[:-1]) | (time[1:] != time[:-1])
    if bool(fresh.all()):
        return Folded(rows, _NONE, _NONE, _NONE)
    group = np.cumsum(fresh) - 1
    nth = np.arange(len(rows)) - np.flatnonzero(fresh)[group]
    firsts = order[fresh]
    values, quality = rows.values[firsts], rows.quality[firsts]
    flags = rows.flags[firsts]
    filled, duplicates, conflicts = [], [], []
    for turn in range(1, int(nth.max()) + 1):
        places, base = order[nth == turn], group[nth == turn]
        incoming = Cells(rows.values[places], rows.quality[places])
        found = compare(rows.profile, Cells(values[base], quality[base]), incoming)
        values[base] = np.where(found.fill, incoming.values, values[base])
        quality[base] = np.where(found.fill, incoming.quality, quality[base])
        flags[base] |= np.where(found.fill.any(axis=1), rows.flags[places], 0).astype(np.uint8)
        conflict, fill = found.conflict.any(axis=1), found.fill.any(axis=1)
        conflicts.append(places[conflict])
        filled.append(places[fill & ~conflict])
        duplicates.append(places[~fill & ~conflict])
    kept = rows.pick(firsts).with_cells(values, quality, flags)
    return Folded(kept, np.concatenate(filled), np.concatenate(duplicates), np.concatenate(conflicts))
