"""Sites and devices in a file, so that ingest can take messages although the database is away when it starts."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from pathlib import Path

import msgspec

from sensors.registry import Device, Registry, RegistryWatch, Site

logger = logging.getLogger(__name__)


class _Copy(msgspec.Struct, frozen=True, array_like=True):
    sites: list[Site]
    devices: list[Device]


_decoder = msgspec.msgpack.Decoder(_Copy)


def save(path: Path, registry: Registry) -> None:
    """Write the copy, readable by this user alone: it holds the hashes of secrets and keys of stations."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    data = msgspec.msgpack.encode(_Copy(list(registry.sites.values()), list(registry.devices.values())))
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)
    fresh.replace(path)


def load(path: Path) -> Registry | None:
    """The registry of the copy, without people, units and cameras; None where there is none that can be read.

    Its version is -1: whatever the database has is newer.
    """
    try:
        copy = _decoder.decode(path.read_bytes())
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError as error:
        # Of another release, or damaged: the database has the original.
        logger.warning("the copy of the registry cannot be read", extra={"file": str(path), "error": str(error)})
        return None
    return Registry(
        version=-1,
        sites={site.id: site for site in copy.sites},
        units={},
        site_units=(),
        people={},
        devices={device.id: device for device in copy.devices},
        cameras={},
        by_topic={(device.site, device.code): device for device in copy.devices},
        by_mn={device.mn: device for device in copy.devices if device.mn is not None},
    )


async def open_watch(watch: RegistryWatch, stop: asyncio.Event, *, copy: Path | None, patience_s: float) -> bool:
    """Open the watch, after `patience_s` seconds without the database from the copy; False where `stop` came first.

    From then on the copy follows the watch.
    """
    opening = asyncio.create_task(watch.open(), name="registry opens")
    halt = asyncio.create_task(stop.wait(), name="stop")
    try:
        await asyncio.wait({opening, halt}, timeout=patience_s, return_when=asyncio.FIRST_COMPLETED)
        kept = None if copy is None or opening.done() or halt.done() else load(copy)
        if kept is not None:
            logger.warning("the database is away, devices are known from a copy", extra={"devices": len(kept.devices)})
        else:
            await asyncio.wait({opening, halt}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        halt.cancel()
        if not opening.done():
            opening.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await opening
    if kept is not None:
        watch.adopt(kept)
    elif opening.cancelled():
        return False
    else:
        opening.result()
    if copy is not None:

        def follow(registry: Registry) -> None:
            try:
                save(copy, registry)
            except OSError:
                logger.exception("the copy of the registry cannot be written")

        if kept is None:
            follow(watch.current)
        watch.on_change(follow)
    return True
