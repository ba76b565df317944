"""Sites, units, people, devices, cameras and permits in memory, and the watch that keeps the copy fresh."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from operator import attrgetter
from typing import TypeVar

import psycopg
from psycopg.rows import class_row, scalar_row

from core.clock import Clock
from core.database import Reconnecting, is_outage
from core.settings import DatabaseSettings
from core.sql import queries
from core.tasks import until

logger = logging.getLogger(__name__)
SQL = queries(__package__)

_BACK_STOP_S = 30.0
Row = TypeVar("Row")


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """A company: builder, contractor or supervisor of sites."""

    id: int
    code: str
    name: str
    name_en: str
    credit_code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteUnit:
    """The part that a unit plays on a site."""

    site_id: int
    unit_id: int
    role: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A construction site. Coordinates are WGS-84 degrees, `time_zone` is an IANA name."""

    id: int
    code: str
    name: str
    name_en: str
    address: str
    region_code: str
    latitude: float | None
    longitude: float | None
    time_zone: str
    stage: str
    area_m2: float | None
    project_code: str
    permit_number: str
    supervision_number: str
    vision_policy: str
    vision_auto_score: float
    enabled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Someone who may log in or be told; `sites` are those named for the person, besides `all_sites`."""

    id: int
    code: str
    name: str
    name_en: str
    role: str
    unit_id: int | None
    phone: str
    language: str
    contacts: tuple[str, ...] = field(repr=False)  # apprise URLs hold tokens
    login: str | None
    all_sites: bool
    enabled: bool
    sites: frozenset[int]

    def __post_init__(self) -> None:
        # The driver brings lists; the copy in memory is shared and must not change.
        object.__setattr__(self, "contacts", tuple(self.contacts))
        object.__setattr__(self, "sites", frozenset(self.sites))

    def may_see(self, site_id: int) -> bool:
        """Whether the site is one of the person's."""
        return self.enabled and (self.all_sites or site_id in self.sites)


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A station or machine; `site` and `code` are two levels of its MQTT topics and make up its user name.

    `mn` names it in HJ 212, None where it does not speak that; `protocol_options` are options by protocol.
    """

    id: int
    site_id: int
    site: str
    code: str
    kind: str
    name: str
    name_en: str
    secret_hash: str | None = field(repr=False)
    record_number: str
    factory: str
    latitude: float | None
    longitude: float | None
    clock_offset_ms: int
    interval_s: float
    tags: tuple[str, ...]
    mn: str | None = None
    protocol_options: dict[str, dict[str, object]] = field(default_factory=dict, repr=False, hash=False)  # holds keys
    enabled: bool

    def __post_init__(self) -> None:
        object.__setattr__(self, "tags", tuple(self.tags))


@dataclass(frozen=True, slots=True, kw_only=True)
class Camera:
    """A camera and where its stream is; `url` may hold a password and is kept out of logs."""

    id: int
    site_id: int
    code: str
    name: str
    name_en: str
    url: str = field(repr=False)
    zone: str
    options: dict[str, object]
    latitude: float | None
    longitude: float | None
    enabled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Permit:
    """What exempts a site from rules in [starts_at, ends_at): a night-work permit, a sandstorm day."""

    id: int
    site_id: int
    kind: str
    reference: str
    starts_at: datetime
    ends_at: datetime
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteStage:
    """A construction stage of a site: from `since` (None: since ever) until the next one of the site."""

    site_id: int
    stage: str
    since: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """One consistent picture of the registry; maps are by id, `by_topic` by (site code, device code), `by_mn` by MN.

    `stages` are by site, in the order of their times.
    """

    version: int
    sites: dict[int, Site]
    units: dict[int, Unit]
    site_units: tuple[SiteUnit, ...]
    people: dict[int, Person]
    devices: dict[int, Device]
    cameras: dict[int, Camera]
    by_topic: dict[tuple[str, str], Device]
    by_mn: dict[str, Device] = field(default_factory=dict)
    permits: tuple[Permit, ...] = ()
    stages: dict[int, tuple[SiteStage, ...]] = field(default_factory=dict)


async def load_registry(connection: psycopg.AsyncConnection) -> Registry:
    """Read the whole registry in one snapshot; not to be called inside a transaction."""
    async with connection.transaction():
        await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        version = await _version(connection)
        devices = await _rows(connection, Device, "registry_devices")
        stages = groupby(await _rows(connection, SiteStage, "registry_stages"), attrgetter("site_id"))
        return Registry(
            version=version,
            sites={site.id: site for site in await _rows(connection, Site, "registry_sites")},
            units={unit.id: unit for unit in await _rows(connection, Unit, "registry_units")},
            site_units=tuple(await _rows(connection, SiteUnit, "registry_site_units")),
            people={person.id: person for person in await _rows(connection, Person, "registry_people")},
            devices={device.id: device for device in devices},
            cameras={camera.id: camera for camera in await _rows(connection, Camera, "registry_cameras")},
            by_topic={(device.site, device.code): device for device in devices},
            by_mn={device.mn: device for device in devices if device.mn is not None},
            permits=tuple(await _rows(connection, Permit, "registry_permits")),
            stages={site: tuple(gone_through) for site, gone_through in stages},
        )


async def _version(connection: psycopg.AsyncConnection) -> int:
    async with connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(SQL["registry_version"])
        return int(await cursor.fetchone() or 0)


async def _rows(connection: psycopg.AsyncConnection, row: type[Row], name: str) -> list[Row]:
    async with connection.cursor(row_factory=class_row(row)) as cursor:
        await cursor.execute(SQL[name])
        return await cursor.fetchall()


class RegistryWatch:
    """Keeps `current` fresh: reloads when the registry's notification rings, and every 30 s in case one was missed.

    `await open()` loads first (waiting as long as the database is away), then `run(stop)` is started as a task.
    Callbacks get the new registry, in the event loop, after `current` has moved; they must not raise.
    """

    def __init__(self, settings: DatabaseSettings, *, application: str, clock: Clock) -> None:
        self._keeper = Reconnecting(settings, application=f"{application} registry", clock=clock)
        self._current: Registry | None = None
        self._callbacks: list[Callable[[Registry], None]] = []

    @property
    def current(self) -> Registry:
        """The newest registry that was read."""
        if self._current is None:
            raise RuntimeError("RegistryWatch.open() was not awaited")
        return self._current

    def on_change(self, callback: Callable[[Registry], None]) -> None:
        """Call back with every new registry after the first."""
        self._callbacks.append(callback)

    def adopt(self, registry: Registry) -> None:
        """Begin with a picture from elsewhere instead of `open`; its version says that the database's is another."""
        self._current = registry

    async def open(self) -> Registry:
        """Load the registry for the first time."""
        while True:
            try:
                async with self._keeper.connection() as connection:
                    # Listening starts before the load, so that no change falls between the two.
                    await connection.execute("LISTEN smartsite_registry")
                    self._current = await load_registry(connection)
                    return self._current
            except psycopg.Error as error:
                if not is_outage(error):
                    raise

    async def run(self, stop: asyncio.Event) -> None:
        """Reload on every change until `stop` is set; outages are waited out."""
        try:
            await until(stop, self._watch())
        finally:
            await self._keeper.close()

    async def _watch(self) -> None:
        while True:
            try:
                async with self._keeper.connection() as connection:
                    await connection.execute("LISTEN smartsite_registry")
                    while True:
                        await self._reload(connection)
                        async for _ in connection.notifies(timeout=_BACK_STOP_S, stop_after=1):
                            pass
            except psycopg.Error as error:
                if not is_outage(error):
                    raise

    async def _reload(self, connection: psycopg.AsyncConnection) -> None:
        if self._current is not None and await _version(connection) == self._current.version:
            return
        self._current = await load_registry(connection)
        logger.info("registry loaded", extra={"version": self._current.version, "devices": len(self._current.devices)})
        for callback in self._callbacks:
            callback(self._current)
