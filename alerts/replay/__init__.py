"""History through rules: the alerts that rules would have raised, with the engine that raises them in service."""

from __future__ import annotations

from alerts.replay.history import History, read_csv
from alerts.replay.run import Episode, replay

__all__ = ["Episode", "History", "read_csv", "replay"]
