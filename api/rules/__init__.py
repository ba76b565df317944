"""Rules: as they are written and judged by, changed on the platform, and tried on history."""

from api.rules import routes, trial

__all__ = ["routes", "trial"]
