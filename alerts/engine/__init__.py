"""The engine: readings and episodes in, violations' beginnings and ends out. Pure: no clock, no database, no file.

It works in event time, numpy arrays at a time; wall-clock time decides about absence only (`Engine.tick`). The same
entries in the same order give the same transitions however they are cut into batches, and across `dump` and `load`.
"""

from __future__ import annotations

from alerts.engine.engine import Engine
from alerts.engine.transitions import Progress, Sighting, Standing, Transition

__all__ = ["Engine", "Progress", "Sighting", "Standing", "Transition"]
