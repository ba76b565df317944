"""The state of everything at one moment, and what changed between two: the content of the live push."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from psycopg import AsyncConnection

from api.cameras import load_cameras
from api.context import millis
from api.devices import load_devices
from api.journal import Item, Lists
from api.sites import site_rows

_LISTS = ("sites", "devices", "cameras")
_SITE_FIELDS = ("id", "state", "devices", "cameras", "open_alerts")
_CAMERA_FIELDS = ("id", "site_id", "state", "reason")


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
    sites = await site_rows(connection, None, devices=devices, cameras=cameras)
    return Picture(
        # Rows and no models: this is made every two seconds, for as many sites as there are.
        sites={
            site["id"]: {
                **{name: site[name] for name in _SITE_FIELDS},
                "reason": site["reason"].model_dump(),
                "site_id": site["id"],
            }
            for site in sites
        },
        devices={one["id"]: {"id": one["id"], "site_id": one["site_id"], "online": one["online"]} for one in devices},
        # The count of frames moves all the time and is no change of state.
        cameras={
            one["id"]: {**{name: one[name] for name in _CAMERA_FIELDS}, "since": one["since"] and millis(one["since"])}
            for one in cameras
        },
    )


NOTHING: Lists = {name: [] for name in _LISTS}


def whole(picture: Picture) -> Lists:
    """All items of a picture, by list."""
    return {name: list(getattr(picture, name).values()) for name in _LISTS}


def changes(old: Picture, new: Picture) -> Lists:
    """Items of `new` that `old` lacks or has otherwise, by list."""
    if old is new:
        return NOTHING
    return {
        name: [item for number, item in getattr(new, name).items() if getattr(old, name).get(number) != item]
        for name in _LISTS
    }
