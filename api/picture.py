"""The state of everything at one moment, and what changed between two: the content of the live push."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection

from api.cameras import Camera, load_cameras
from api.devices import load_devices
from api.sites import load_sites

Item = dict[str, Any]
_LISTS = ("sites", "devices", "cameras")
_SITE_FIELDS = {"id", "state", "reason", "devices", "cameras", "open_alerts"}


@dataclass(frozen=True, slots=True)
class Picture:
    """Sites, devices and cameras by id, as the JSON of the push; each item names its site."""

    sites: Mapping[int, Item]
    devices: Mapping[int, Item]
    cameras: Mapping[int, Item]


async def take(connection: AsyncConnection, now: datetime) -> Picture:
    """The state of all sites; what each client gets of it is cut to its scope afterwards."""
    devices = await load_devices(connection, None, now)
    cameras = await load_cameras(connection, None, now)
    sites = await load_sites(connection, None, devices=devices, cameras=cameras)
    return Picture(
        sites={site.id: {**site.model_dump(include=_SITE_FIELDS), "site_id": site.id} for site in sites},
        devices={one["id"]: {"id": one["id"], "site_id": one["site_id"], "online": one["online"]} for one in devices},
        # The count of frames moves all the time and is no change of state.
        cameras={
            one["id"]: Camera(**one).model_dump(include={"id", "site_id", "state", "reason", "since"})
            for one in cameras
        },
    )


def whole(picture: Picture) -> dict[str, list[Item]]:
    """All items of a picture, by list."""
    return {name: list(getattr(picture, name).values()) for name in _LISTS}


def changes(old: Picture, new: Picture) -> dict[str, list[Item]]:
    """Items of `new` that `old` lacks or has otherwise, by list."""
    if old is new:
        return {name: [] for name in _LISTS}
    return {
        name: [item for number, item in getattr(new, name).items() if getattr(old, name).get(number) != item]
        for name in _LISTS
    }
