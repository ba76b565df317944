"""`log://`: a channel that writes to the log, for trials."""

from __future__ import annotations

import logging

from alerts.channels.base import Means, Outgoing, Sent

logger = logging.getLogger(__name__)


async def send(_contact: str, outgoing: Outgoing, _means: Means) -> Sent:
    """Write the message to the log."""
    body = outgoing.message.body.replace("\n", " | ")
    logger.info("notification: %s", outgoing.message.title, extra={"text": body})
    return Sent(ok=True)
