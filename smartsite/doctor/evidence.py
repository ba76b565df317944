"""The store of evidence: what it takes, and whether there is room for more."""

from __future__ import annotations

from core.database import connect
from core.settings import Settings
from smartsite.doctor.finding import Finding, fail, ok, warn
from smartsite.sweep import state


async def examine(settings: Settings) -> Finding:
    """Whether new pictures are stored, and whether the limits are kept."""
    async with await connect(settings.database, application="doctor") as connection:
        now = await state(connection, settings)
    fact = f"{now.files} files, {now.bytes / 1e9:.2f} GB, {now.pinned_files} of them in use"
    if now.oldest is not None:
        fact += f", from {now.oldest:%Y-%m-%d} on"
    if now.free_bytes < settings.evidence.reserve_bytes:
        return fail(
            "evidence",
            f"{fact}; only {now.free_bytes / 1e9:.1f} GB free: pictures of new episodes are lost",
            "make room on the disk, or lower evidence.least_free_gb",
        )
    if now.short_bytes:
        return warn(
            "evidence",
            f"{fact}; {now.short_bytes / 1e9:.2f} GB over its limits",
            "the keeper removes the oldest every minute; if this stays, settle alerts and deliveries or make room",
        )
    return ok("evidence", fact)
