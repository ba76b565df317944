"""A small world for tests of what goes out: one site with a station, a camera and people, and alerts made by hand."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from alerts import delivery, outbox
from alerts.event import Phase
from alerts.model import AlertRow, load
from core.clock import Clock
from core.database import connect
from core.evidence import EvidenceStore, record
from core.settings import AlertsSettings, Settings, TargetSettings
from sensors.registry import Registry, load_registry
from tests.support.regulator import CLIENT, SECRET


def target(url: str, **changes: Any) -> TargetSettings:
    """A target that takes everything; a call that is not to hang is not given up, however busy the machine is."""
    return TargetSettings.model_validate(
        {
            "name": "bureau",
            "url": url,
            "client_id": CLIENT,
            "secret": SECRET,
            "rules": ["*"],
            "timeout_s": 20,
            **changes,
        }
    )


def with_targets(settings: Settings, *targets: TargetSettings) -> Settings:
    """The settings with these targets."""
    return settings.model_copy(update={"alerts": AlertsSettings(targets=list(targets))})


class World:
    """Rows of one site, and a hand that raises and clears alerts without an engine."""

    def __init__(self, connection: psycopg.AsyncConnection[Any], settings: Settings, clock: Clock) -> None:
        self.connection = connection
        self.settings = settings
        self.clock = clock
        self.registry: Registry
        self.site_id = self.device_id = self.camera_id = 0

    async def insert(self, table: str, **values: Any) -> int:
        """Insert a row and return its id."""
        statement = sql.SQL("INSERT INTO {} ({}) VALUES ({}) RETURNING id").format(
            sql.Identifier(table),
            sql.SQL(", ").join(map(sql.Identifier, values)),
            sql.SQL(", ").join(map(sql.Placeholder, values)),
        )
        row = await (await self.connection.execute(statement, values)).fetchone()
        assert row is not None
        return int(row[0])

    async def build(self) -> None:
        """The site "east" with complete registration data, a dust station and a camera."""
        self.site_id = await self.insert(
            "site",
            code="east",
            name="东区一号工地",
            project_code="5101072608010101",
            permit_number="510107202608010101",
        )
        self.device_id = await self.insert(
            "device", site_id=self.site_id, code="dust-1", kind="dust", name="扬尘站", record_number="B-7", factory="F"
        )
        self.camera_id = await self.insert("camera", site_id=self.site_id, code="gate", name="大门", url="0")
        await self.reload()

    async def reload(self) -> None:
        """Read the registry again."""
        self.registry = await load_registry(self.connection)

    async def person(self, code: str, *contacts: str, role: str = "officer", language: str = "zh") -> int:
        """Someone of the site with these contacts."""
        person = await self.insert(
            "person", code=code, name=code, role=role, language=language, contacts=list(contacts)
        )
        await self.connection.execute("INSERT INTO person_site VALUES (%s, %s)", (person, self.site_id))
        await self.reload()
        return person

    async def alert(self, **changes: Any) -> AlertRow:
        """A raised alert: PM10 above its limit at the station, unless changed."""
        now = self.clock.now()
        values = {
            "rule": "pm10-high",
            "rule_version": 1,
            "rule_kind": "threshold",
            "subject": f"device:{self.device_id}",
            "site_id": self.site_id,
            "device_id": self.device_id,
            "metric": "pm10",
            "unit": "µg/m³",
            "severity": "major",
            "started_at": now - timedelta(seconds=1),
            "raised_at": now,
            "first_value": 163.5,
            "last_value": 163.5,
            "max_value": 163.5,
            "limit_value": 150.0,
            "quality": Jsonb({}),
            **changes,
        }
        return await load(self.connection, await self.insert("alert", **values))

    async def vision_alert(
        self, *, kind: str = "no_helmet", score: float = 0.8, picture: bytes = b"\xff\xd8\xff frame"
    ) -> AlertRow:
        """An episode of `kind` before the camera, with a frame as evidence."""
        stored = EvidenceStore(self.settings.evidence_dir).put(picture, "image/jpeg")
        await record(self.connection, stored)
        return await self.alert(
            rule="no-helmet",
            rule_kind="vision",
            subject=f"camera:{self.camera_id}",
            device_id=None,
            camera_id=self.camera_id,
            metric=kind,
            unit="",
            first_value=score,
            max_value=score,
            limit_value=None,
            frame_sha256=stored.sha256,
        )

    async def change(self, alert: AlertRow, **values: Any) -> AlertRow:
        """The alert after an update of its row."""
        statement = sql.SQL("UPDATE alert SET {} WHERE id = {}").format(
            sql.SQL(", ").join(
                sql.SQL("{} = {}").format(sql.Identifier(name), sql.Placeholder(name)) for name in values
            ),
            sql.Placeholder("_id"),
        )
        await self.connection.execute(statement, {**values, "_id": alert.id})
        return await load(self.connection, alert.id)

    async def clear(self, alert: AlertRow) -> AlertRow:
        """The alert after its end."""
        now = self.clock.now()
        return await self.change(alert, ended_at=now, cleared_at=now, cleared_by="auto", max_value=210.0)

    async def enqueue(self, alert: AlertRow, phase: Phase = "raise") -> None:
        """Write its deliveries, in a transaction as the engine does."""
        async with self.connection.transaction():
            await outbox.enqueue(self.connection, alert, phase, self.registry, self.settings, self.clock)

    async def resend(self, delivery_id: int) -> str:
        """What `smartsite deliveries --resend` does; the delivery's new state."""
        return await outbox.resend(
            self.connection, delivery_id, self.registry, self.settings.alerts.targets, self.clock
        )

    async def rows(self, table: str) -> list[dict[str, Any]]:
        """All rows of a table by id."""
        async with self.connection.cursor(row_factory=dict_row) as cursor:
            await cursor.execute(sql.SQL("SELECT * FROM {} ORDER BY id").format(sql.Identifier(table)))
            return await cursor.fetchall()

    async def states(self) -> list[str]:
        """States of all deliveries by id."""
        return [row["state"] for row in await self.rows("delivery")]


@contextlib.asynccontextmanager
async def world(settings: Settings, clock: Clock) -> AsyncIterator[World]:
    """A world in a migrated database."""
    async with await connect(settings.database, application="tests") as connection:
        made = World(connection, settings, clock)
        await made.build()
        yield made


@contextlib.asynccontextmanager
async def delivering(settings: Settings, clock: Clock) -> AsyncIterator[asyncio.Task[None]]:
    """A delivery worker that ends in order at the end of the block, unless the block cancels it first."""
    stop = asyncio.Event()
    worker = asyncio.create_task(delivery.run(settings, clock, stop))
    try:
        yield worker
    finally:
        stop.set()
        with contextlib.suppress(asyncio.CancelledError):
            await worker


def folder(settings: Settings) -> Path:
    """Where a test's regulator keeps its state."""
    return settings.data_dir.parent / "regulator"
