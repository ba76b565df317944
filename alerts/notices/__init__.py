"""Word to the people of a site: who is told, why or why not, and the worker that tells them."""

from __future__ import annotations

from alerts.notices.plan import Reason, plan

__all__ = ["Reason", "plan"]
