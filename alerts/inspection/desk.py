"""What an inspector does. Every step happens in the caller's transaction and makes the version grow.

Where the version that the inspector looked at is not the present one the step is a Conflict and changes nothing. What
only adds (a camera looked through, a picture) names no version.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
from psycopg.types.json import Jsonb

from alerts.inspection.checklists import Checklist
from alerts.inspection.marks import Mark, draw
from alerts.inspection.model import Inspection, Result, contents, lock
from alerts.inspection.report import Report, sealed
from alerts.rectification import desk as rectification
from alerts.rectification.model import Order
from core.clock import Clock
from core.errors import Conflict, InvalidInput, NotFound
from core.evidence import EvidenceStore, record
from core.settings import Settings
from core.signing import SigningKey
from core.sql import queries
from sensors.registry import Registry

_SQL = queries(__package__)
PICTURES_MOST = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """An inspector at work."""

    connection: psycopg.AsyncConnection[Any]
    actor: str
    registry: Registry
    store: EvidenceStore
    settings: Settings
    clock: Clock

    async def begin(self, site_id: int, checklist: Checklist, key: str) -> int:
        """Begin an inspection; under the same key the one that was begun.

        Raises:
            Conflict: under this key another inspection was begun.
            NotFound: there is no such site.
        """
        now = self.clock.now()
        if site_id not in self.registry.sites:
            raise NotFound(f"there is no site {site_id}")
        zone = ZoneInfo(self.registry.sites[site_id].time_zone)
        asked = {"by": self.actor, "key": key}
        values = {
            "site_id": site_id,
            "checklist": checklist.id,
            "name": checklist.name,
            "name_en": checklist.name_en,
            "now": now,
            "year": str(now.astimezone(zone).year),
            **asked,
        }
        row = await (await self.connection.execute(_SQL["begin"], values)).fetchone()
        if row is None:
            known = await (await self.connection.execute(_SQL["begun"], asked)).fetchone()
            if known is None or known[1:] != (site_id, checklist.id):
                raise Conflict("the idempotency key was used for something else", hint="choose a new key")
            return int(known[0])
        for position, item in enumerate(checklist.items, start=1):
            await self.connection.execute(_SQL["item_put"], {"id": row[0], "position": position, **item.model_dump()})
        return int(row[0])

    async def judge(self, inspection_id: int, version: int, position: int, result: Result, note: str) -> None:
        """Say how an item stands."""
        await self._take(inspection_id, version)
        asked = {"id": inspection_id, "position": position, "result": result, "note": note}
        if await (await self.connection.execute(_SQL["judge"], asked)).fetchone() is None:
            raise InvalidInput(f"the inspection has no item {position}")
        await self._grow(inspection_id)

    async def look(self, inspection_id: int, camera_id: int) -> None:
        """Note that a camera was looked through; again it changes nothing."""
        inspection = await self._take(inspection_id)
        await self._must_have_camera(inspection, camera_id)
        asked = {"id": inspection_id, "camera_id": camera_id, "now": self.clock.now()}
        await self.connection.execute(_SQL["look"], asked)

    async def add_picture(self, inspection_id: int, camera_id: int, jpeg: bytes, key: str) -> bool:
        """Keep a picture of a camera; False where one was kept under the same key.

        Raises:
            Conflict: the inspection is over or has as many pictures as it may have.
        """
        inspection = await self._take(inspection_id)
        await self._must_have_camera(inspection, camera_id)
        asked = {"id": inspection_id, "camera_id": camera_id, "key": key, "now": self.clock.now()}
        known = await (await self.connection.execute(_SQL["picture_known"], asked)).fetchone()
        if known is not None:
            if known[1] != camera_id:
                raise Conflict("the idempotency key was used for something else", hint="choose a new key")
            return False
        count = await (await self.connection.execute(_SQL["picture_count"], asked)).fetchone()
        if count is not None and count[0] >= PICTURES_MOST:
            raise Conflict(f"the inspection has {PICTURES_MOST} pictures already", hint="remove some")
        await self.connection.execute(_SQL["look"], asked)
        await self.connection.execute(_SQL["picture_put"], {**asked, "sha256": await self._keep(jpeg, "image/jpeg")})
        await self._grow(inspection_id)
        return True

    async def mark_picture(
        self,
        inspection_id: int,
        version: int,
        picture_id: int,
        *,
        marks: Sequence[Mark],
        note: str,
        position: int | None,
    ) -> None:
        """Draw marks on a picture, in place of those before, and say what it shows.

        Raises:
            Conflict: the picture was filed with a finding and stays as it is.
        """
        inspection = await self._take(inspection_id, version)
        plain = await self._free_picture(inspection, picture_id)
        await self._must_have_item(inspection_id, position)
        shown = plain
        if marks:
            jpeg = await asyncio.to_thread(self.store.open(plain).read_bytes)
            shown = await self._keep(await asyncio.to_thread(draw, jpeg, marks), "image/jpeg")
        values = {
            "id": inspection_id,
            "picture_id": picture_id,
            "marks": Jsonb([mark.model_dump() for mark in marks]),
            "sha256": shown,
            "note": note,
            "position": position,
        }
        await self.connection.execute(_SQL["picture_mark"], values)
        await self._grow(inspection_id)

    async def drop_picture(self, inspection_id: int, version: int, picture_id: int) -> None:
        """Remove a picture that no finding shows."""
        inspection = await self._take(inspection_id, version)
        await self._free_picture(inspection, picture_id)
        await self.connection.execute(_SQL["picture_drop"], {"id": inspection_id, "picture_id": picture_id})
        await self._grow(inspection_id)

    async def file(
        self,
        inspection_id: int,
        version: int,
        draft: rectification.Draft,
        *,
        position: int | None,
        pictures: Sequence[int],
    ) -> Order:
        """Order the rectification of what was found; the item fails, the order shows the pictures.

        Raises:
            InvalidInput: a picture is not this inspection's or shows another finding already.
        """
        inspection = await self._take(inspection_id, version)
        await self._must_have_item(inspection_id, position)
        asked = {"id": inspection_id, "position": position}
        clerk = rectification.Desk(
            connection=self.connection,
            actor=self.actor,
            registry=self.registry,
            settings=self.settings,
            clock=self.clock,
        )
        order = await clerk.order(replace(draft, site_id=inspection.site_id, source="inspection", alert_id=None))
        used = {"id": inspection_id, "order_id": order.id, "pictures": list(pictures)}
        shown = await (await self.connection.execute(_SQL["pictures_use"], used)).fetchall()
        if missing := sorted(set(pictures) - {row[0] for row in shown}):
            raise InvalidInput(
                f"picture {missing[0]} is not this inspection's, or shows another finding", hint="take it again"
            )
        await clerk.show(order, sorted({row[1] for row in shown}))
        await self.connection.execute(_SQL["finding_put"], {**asked, "order_id": order.id})
        if position is not None:
            await self.connection.execute(_SQL["item_failed"], asked)
        await self._grow(inspection_id)
        return order

    async def finish(self, inspection_id: int, version: int, conclusion: str, key: SigningKey, language: str) -> None:
        """End the inspection with a signed report (HTML) in the language (`zh` or `en`).

        Raises:
            InvalidInput: items are not judged yet.
        """
        inspection = await self._take(inspection_id, version)
        parts = await contents(self.connection, inspection_id)
        if missing := [item["position"] for item in parts.items if item["result"] == "open"]:
            raise InvalidInput(
                f"{len(missing)} items are not judged, the first is {missing[0]}",
                hint="say of each whether it passes, fails or does not apply",
            )
        now = self.clock.now()
        report = await Report.gather(
            self.connection, inspection, parts, conclusion=conclusion, ended_at=now, language=language
        )
        page = await asyncio.to_thread(report.html, self.store, key.id)
        sha256 = await self._keep(sealed(page, key), "text/html")
        ending = {"id": inspection_id, "state": "finished", "now": now, "conclusion": conclusion, "report": sha256}
        await self.connection.execute(_SQL["end"], ending)

    async def cancel(self, inspection_id: int, version: int, reason: str) -> None:
        """End the inspection without a report; orders that were given stay."""
        await self._take(inspection_id, version)
        now = self.clock.now()
        ending = {"id": inspection_id, "state": "cancelled", "now": now, "conclusion": reason, "report": None}
        await self.connection.execute(_SQL["end"], ending)

    async def _take(self, inspection_id: int, version: int | None = None) -> Inspection:
        inspection = await lock(self.connection, inspection_id)
        if inspection.begun_by != self.actor:
            raise Conflict(
                f"the inspection {inspection.number} is {inspection.begun_by}'s", hint="begin one of your own"
            )
        if inspection.state != "open":
            raise Conflict(f"the inspection {inspection.number} is {inspection.state}", hint="begin a new one")
        if version is not None and inspection.version != version:
            raise Conflict(
                f"the inspection {inspection.number} is at version {inspection.version}, not {version}",
                hint="read it again",
            )
        return inspection

    async def _grow(self, inspection_id: int) -> None:
        await self.connection.execute(_SQL["step"], {"id": inspection_id})

    async def _keep(self, data: bytes, media_type: str) -> str:
        evidence = await asyncio.to_thread(self.store.put, data, media_type)
        await record(self.connection, evidence)
        return evidence.sha256

    async def _must_have_camera(self, inspection: Inspection, camera_id: int) -> None:
        asked = {"camera_id": camera_id, "site_id": inspection.site_id}
        if await (await self.connection.execute(_SQL["camera"], asked)).fetchone() is None:
            raise InvalidInput(f"camera {camera_id} is not on the site", hint="choose one of the site's cameras")

    async def _must_have_item(self, inspection_id: int, position: int | None) -> None:
        asked = {"id": inspection_id, "position": position}
        if position is not None and await (await self.connection.execute(_SQL["has_item"], asked)).fetchone() is None:
            raise InvalidInput(f"the inspection has no item {position}")

    async def _free_picture(self, inspection: Inspection, picture_id: int) -> str:
        asked = {"id": inspection.id, "picture_id": picture_id}
        row = await (await self.connection.execute(_SQL["picture"], asked)).fetchone()
        if row is None:
            raise InvalidInput(f"the inspection has no picture {picture_id}")
        if row[1] is not None:
            raise Conflict("the picture was filed with a finding and stays as it is", hint="take another one")
        return str(row[0])
