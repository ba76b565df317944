"""Rows for the API to show: two sites with people, devices, cameras and alerts, written by plain SQL."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
from argon2 import PasswordHasher
from psycopg.types.json import Jsonb

PASSWORD = "correct horse battery staple"
# Cheap on purpose: tests log in a hundred times.
_HASH = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)


@dataclass
class World:
    """Writes rows and remembers their ids by code."""

    connection: psycopg.AsyncConnection
    now: datetime
    ids: dict[str, int] = field(default_factory=dict)

    async def _insert(self, table: str, code_: str, /, **values: Any) -> int:
        columns, marks = ", ".join(values), ", ".join(f"%({name})s" for name in values)
        statement = f"INSERT INTO {table} ({columns}) VALUES ({marks}) RETURNING id"
        row = await (await self.connection.execute(statement.encode(), values)).fetchone()
        assert row is not None
        self.ids[code_] = row[0]
        return int(row[0])

    async def site(self, code: str, **values: Any) -> int:
        values = {"name": f"工地 {code}", "name_en": f"Site {code}", "latitude": 30.2, "longitude": 120.1} | values
        return await self._insert("site", code, code=code, **values)

    async def person(self, login: str, role: str, *, sites: list[str] | None, **values: Any) -> int:
        """`sites` None: all of them."""
        values = {"name": f"人员 {login}", "name_en": login} | values
        number = await self._insert(
            "person",
            login,
            code=f"code-{login}",
            login=login,
            password_hash=_HASH,
            role=role,
            all_sites=sites is None,
            **values,
        )
        for code in sites or []:
            await self.connection.execute("INSERT INTO person_site VALUES (%s, %s)", [number, self.ids[code]])
        return number

    async def device(self, code: str, site: str, kind: str = "dust", **values: Any) -> int:
        values = {"name": f"设备 {code}", "name_en": f"Device {code}", "interval_s": 10} | values
        return await self._insert("device", code, code=code, site_id=self.ids[site], kind=kind, **values)

    async def camera(self, code: str, site: str, **values: Any) -> int:
        values = {"name": f"摄像机 {code}", "name_en": f"Camera {code}", "url": "rtsp://user:hidden@10.0.0.9/"} | values
        # Nobody is asked whether it can be moved, but where a test has such a one.
        values.setdefault("options", Jsonb({"onvif": "off"}))
        return await self._insert("camera", code, code=code, site_id=self.ids[site], **values)

    async def seen(self, device: str, *, ago_s: float = 1, connected: bool | None = None) -> None:
        at = self.now - timedelta(seconds=ago_s)
        await self.connection.execute(
            "INSERT INTO device_seen VALUES (%(id)s, %(at)s, %(at)s, %(connected)s) ON CONFLICT (device_id) DO UPDATE "
            "SET last_time = excluded.last_time, last_seen_at = excluded.last_seen_at, connected = excluded.connected",
            {"id": self.ids[device], "at": at, "connected": connected},
        )

    async def camera_state(self, camera: str, state: str, *, reason: str = "", ago_s: float = 1) -> None:
        at = self.now - timedelta(seconds=ago_s)
        await self.connection.execute(
            "INSERT INTO camera_state (camera_id, state, reason, since, updated_at, frames_analysed, detail) "
            "VALUES (%s, %s, %s, %s, %s, 7, %s) ON CONFLICT (camera_id) DO UPDATE "
            "SET state = excluded.state, reason = excluded.reason, since = excluded.since, "
            "updated_at = excluded.updated_at",
            [self.ids[camera], state, reason, at, at, Jsonb({"fps": 25})],
        )

    async def alert(self, code: str, *, device: str = "", camera: str = "", ago_s: float = 10, **values: Any) -> int:
        """An open alert, `ago_s` old, of the site of its device or camera."""
        table, subject = ("device", device) if device else ("camera", camera)
        row = await (
            await self.connection.execute(f"SELECT site_id FROM {table} WHERE id = %s".encode(), [self.ids[subject]])
        ).fetchone()
        assert row is not None
        at = self.now - timedelta(seconds=ago_s)
        values = {
            "rule": f"rule-{code}",
            "rule_version": 1,
            "rule_kind": "threshold" if device else "vision",
            "severity": "major",
            "started_at": at,
            "raised_at": at,
            "metric": "pm10" if device else "",
            "first_value": 170.5 if device else None,
            "limit_value": 150.0 if device else None,
        } | values
        return await self._insert(
            "alert",
            code,
            subject=f"{table}:{self.ids[subject]}",
            site_id=row[0],
            **{f"{table}_id": self.ids[subject]},
            **values,
        )

    async def mute(self, code: str, site: str | None, **values: Any) -> int:
        """A mute window of an hour before and behind now."""
        hour = timedelta(hours=1)
        values = {"starts_at": self.now - hour, "ends_at": self.now + hour, "reason": "x", "made_by": "x"} | values
        return await self._insert("mute", code, site_id=None if site is None else self.ids[site], **values)

    async def permit(self, code: str, site: str, kind: str = "night_work", **values: Any) -> int:
        """A permit that covers an hour before and behind now."""
        hour = timedelta(hours=1)
        values = {"starts_at": self.now - hour, "ends_at": self.now + hour, "source": "bureau"} | values
        return await self._insert("permit", code, reference=code, site_id=self.ids[site], kind=kind, **values)

    async def document(self, code: str, site: str, **values: Any) -> int:
        """A construction permit of a site, whose file is its title; only rows, no file."""
        sha256 = values.pop("sha256", None) or await self.evidence(code.encode(), "application/pdf")
        row = {
            "kind": "construction_permit",
            "title": code,
            "file_name": f"{code}.pdf",
            "media_type": "application/pdf",
            "bytes": len(code),
            "uploaded_at": self.now,
            "uploaded_by": "code-leader",
            "request_key": code,
            "request_digest": "",
        } | values
        return await self._insert("site_document", code, site_id=self.ids[site], sha256=sha256, **row)

    async def episode(self, code: str, *, camera: str, files: dict[str, str], ago_s: float = 10, **values: Any) -> int:
        """An episode of a camera with its files, SHA-256 by role; their rows must be there. Its id: `episode CODE`."""
        row = await (
            await self.connection.execute("SELECT site_id FROM camera WHERE id = %s", [self.ids[camera]])
        ).fetchone()
        assert row is not None
        at = self.now - timedelta(seconds=ago_s)
        votes = [
            {"time": int(at.timestamp() * 1e6) + 200_000 * n, "score": 0.6 + 0.05 * n, "bare": n != 2} for n in range(6)
        ]
        values = {
            "kind": "no_helmet",
            "track": len(self.ids),
            "started_at": at,
            "last_seen_at": at,
            "peak_score": 0.85,
            "votes": Jsonb(votes),
            "history": Jsonb([*votes, {**votes[-1], "time": votes[-1]["time"] + 5_000_000, "bare": False}]),
            "zone": "gate",
            "box": [10, 20, 60, 80],
            "model": "hardhat-yolo26n@0123456789ab",
        } | values
        episode = await self._insert(
            "episode",
            f"episode {code}",
            camera_id=self.ids[camera],
            site_id=row[0],
            frame_sha256=files["frame"],
            crop_sha256=files["crop"],
            **values,
        )
        for role, sha256 in files.items():
            first, last = (at, at + timedelta(seconds=10)) if role == "clip" else (None, None)
            await self.connection.execute(
                "INSERT INTO episode_evidence VALUES (%s, %s, %s, %s, %s)", [episode, role, sha256, first, last]
            )
        return episode

    async def delivery(self, alert: int, state: str = "uncertain", **values: Any) -> int:
        """A delivery of an alert to the target "bureau", with one call made."""
        row = {"state": state, "reason": "no reply", "target": "bureau", "phase": "raise", **values}
        async with self.connection.cursor() as cursor:
            await cursor.execute(
                """INSERT INTO delivery (alert_id, target, phase, idempotency_key, state, reason, payload,
                                         pending_since, created_at)
                   VALUES (%s, %s, %s, gen_random_uuid(), %s, %s, '{}', %s, %s) RETURNING id""",
                [alert, row["target"], row["phase"], row["state"], row["reason"], self.now, self.now],
            )
            found = await cursor.fetchone()
            assert found is not None
            await cursor.execute(
                """INSERT INTO delivery_attempt (delivery_id, at, kind, status, outcome, error, request, response)
                   VALUES (%s, %s, 'send', NULL, 'no_reply', 'no reply', '{"method": "POST"}', '')""",
                [found[0], self.now],
            )
        return int(found[0])

    async def token(self, name: str, person: str, *, rights: list[str] | None = None, **values: Any) -> int:
        """A token of the person, good for a day from now on; the token itself is its name."""
        day = timedelta(days=1)
        values = {"rights": rights or [], "created_at": self.now, "expires_at": self.now + day} | values
        return await self._insert(
            "api_token",
            f"token {name}",
            name=name,
            person_id=self.ids[person],
            token_sha256=hashlib.sha256(name.encode()).hexdigest(),
            **values,
        )

    async def report(self, site: str | None, kind: str = "daily", *, first_day: date | None = None) -> int:
        """A report of a site, or of all, with one alert and nothing else in it."""
        first_day = first_day or date(2026, 7, 31)
        starts_at = datetime(first_day.year, first_day.month, first_day.day, tzinfo=ZoneInfo("Asia/Shanghai"))
        figures = {
            "alerts": [{"kind": "threshold", "severity": "critical", "count": 1, "false_alarms": 0}],
            "open_at_end": 0,
            "exceedances": [{"metric": "pm10", "unit": "µg/m³", "minutes": 12.4, "devices": 1}],
            "deliveries": [],
            "orders": {"ordered": 0, "passed": 0, "open": 1, "overdue": 0},
            "available": 0.75,
            "devices": [{"device": "d", "name": f"=report {site}", "name_en": "", "kind": "dust", "share": 0.75}],
            "sites": [],
        }
        return await self._insert(
            "report",
            f"report-{site}-{kind}-{first_day}",
            kind=kind,
            site_id=None if site is None else self.ids[site],
            first_day=first_day,
            starts_at=starts_at,
            ends_at=starts_at + timedelta(days=1 if kind == "daily" else 7),
            figures=Jsonb(figures),
            made_at=self.now,
        )

    async def order(self, site: str, person: str = "southerner") -> int:
        """A rectification order on a site, due in a day."""
        return await self._insert(
            "rectification",
            f"order-{site}",
            number=f"{site}-2026-0001",
            site_id=self.ids[site],
            source="free",
            level="general",
            title=f"hazard {site}",
            requirement="r",
            person_id=self.ids[person],
            state="ordered",
            ordered_at=self.now,
            ordered_by="x",
            term_from=self.now,
            deadline_at=self.now + timedelta(days=1),
        )

    async def inspection(self, site: str, by: str = "code-southerner") -> int:
        """An open inspection of one item on a site."""
        number = await self._insert(
            "inspection",
            f"inspection-{site}",
            number=f"XC-{site}-2026-0001",
            site_id=self.ids[site],
            checklist="x",
            name="x",
            name_en="x",
            begun_at=self.now,
            begun_by=by,
            request_key="x",
        )
        await self.connection.execute(
            "INSERT INTO inspection_item (inspection_id, position, code, title, title_en) "
            "VALUES (%s, 1, 'x', 'x', 'x')",
            [number],
        )
        return number

    async def evidence(self, data: bytes, media_type: str = "image/jpeg") -> str:
        sha256 = hashlib.sha256(data).hexdigest()
        await self.connection.execute("INSERT INTO evidence VALUES (%s, %s, %s)", [sha256, media_type, len(data)])
        return sha256

    async def reading(self, device: str, *, ago_s: float = 1, **values: float) -> None:
        """A row of the dust table."""
        columns = "".join(f", {name}" for name in values)
        marks = "".join(f", %({name})s" for name in values)
        await self.connection.execute(
            f"INSERT INTO reading_dust (device_id, time, flags{columns}) VALUES (%(id)s, %(at)s, 0{marks})".encode(),
            {"id": self.ids[device], "at": self.now - timedelta(seconds=ago_s), **values},
        )


async def furnish(world: World) -> World:
    """Sites `north` and `south` with a station, a crane and a camera each, and people who see one, both or none."""
    for site in ("north", "south"):
        await world.site(site)
        await world.device(f"dust-{site}", site)
        await world.device(f"crane-{site}", site, "tower_crane")
        await world.camera(f"cam-{site}", site)
    await world.person("operator", "operator", sites=None)
    await world.person("officer", "officer", sites=["north"])
    await world.person("supervisor", "supervisor", sites=["north"])
    await world.person("southerner", "inspector", sites=["south"])
    await world.person("nobody", "officer", sites=[])
    await world.person("auditor", "auditor", sites=None)
    await world.person("leader", "leader", sites=None)
    await world.person("integrator", "integrator", sites=None)
    return world
