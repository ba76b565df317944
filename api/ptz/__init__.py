"""Moving cameras by hand: one person at a time, and the camera always stands still afterwards.

A movement is ordered with a time-out that the camera itself keeps, renewed while the person holds on. A stop is sent
when they let go, fall silent, leave, are taken over from or cannot be told from the database any more (steering); what
a process left moving when it died is stopped by whichever runs (desk).
"""

from api.ptz import routes

__all__ = ["routes"]
