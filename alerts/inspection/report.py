"""The report of an inspection: one HTML page with its pictures in it, for the screen and for paper (A4), and its seal.

The seal is the file's last line, a comment with the platform's public key and an Ed25519 signature of every byte before
that line: whoever changes anything breaks it.
"""

from __future__ import annotations

import base64
import re
import tomllib
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from psycopg.rows import dict_row

from alerts.inspection.model import Contents, Inspection
from core.errors import InvalidInput, NotFound
from core.evidence import EvidenceStore
from core.signing import SigningKey, fingerprint, verify
from core.sql import queries

_SQL = queries(__package__)
_HERE = Path(__file__).parent
_SEAL = re.compile(rb"<!-- smartsite-seal key=([0-9a-f]{64}) signature=([0-9a-f]{128}) -->\n\Z")


@dataclass(frozen=True, slots=True)
class Report:
    """What a report says."""

    inspection: Inspection
    parts: Contents
    conclusion: str
    ended_at: datetime
    language: str
    site: dict[str, Any]
    inspector: dict[str, Any]

    @classmethod
    async def gather(
        cls,
        connection: psycopg.AsyncConnection[Any],
        inspection: Inspection,
        parts: Contents,
        *,
        conclusion: str,
        ended_at: datetime,
        language: str,
    ) -> Report:
        """The report, with what the registry says of site and inspector now; `language` is `zh` or `en`."""
        async with connection.cursor(row_factory=dict_row) as cursor:
            await cursor.execute(_SQL["site"], {"site_id": inspection.site_id})
            site = await cursor.fetchone()
            await cursor.execute(_SQL["person"], {"code": inspection.begun_by})
            inspector = await cursor.fetchone()
        assert site is not None
        person = inspector or {"name": inspection.begun_by, "name_en": "", "role": ""}
        return cls(inspection, parts, conclusion, ended_at, language, site, person)

    def html(self, store: EvidenceStore, key_id: str) -> bytes:
        """The page in UTF-8. Reads the pictures: call in a thread."""
        numbers = {one["rectification_id"]: one["number"] for one in self.parts.findings}
        page = (
            _environment()
            .get_template("report.html.j2")
            .render(
                language=self.language,
                w=_words()[self.language],
                inspection=self.inspection,
                site=self._name(self.site),
                address=self.site["address"],
                checklist=self._name({"name": self.inspection.name, "name_en": self.inspection.name_en}),
                inspector=self._name(self.inspector),
                begun=self._time(self.inspection.begun_at),
                ended=self._time(self.ended_at),
                minutes=round((self.ended_at - self.inspection.begun_at).total_seconds() / 60),
                looks=[
                    {"name": self._name(look), "at": self._time(look["at"], "%H:%M:%S")} for look in self.parts.looks
                ],
                items=[{**item, "title": self._name(item, "title")} for item in self.parts.items],
                findings=[
                    {
                        **one,
                        "person": self._name(one, "person_name"),
                        "unit": self._name(one, "unit_name"),
                        "deadline": self._time(one["deadline_at"], "%Y-%m-%d %H:%M"),
                    }
                    for one in self.parts.findings
                ],
                pictures=[
                    {
                        "data": _embedded(store, picture["sha256"]),
                        "camera": self._name(picture, "camera_name"),
                        "taken": self._time(picture["taken_at"]),
                        "position": picture["position"],
                        "order": numbers.get(picture["rectification_id"]),
                        "note": picture["note"],
                    }
                    for picture in self.parts.pictures
                ],
                conclusion=self.conclusion,
                key_id=key_id,
            )
        )
        return page.encode()

    def _name(self, of: dict[str, Any], field: str = "name") -> str:
        return str((self.language == "en" and of[f"{field}_en"]) or of[field] or "")

    def _time(self, moment: datetime, form: str = "%Y-%m-%d %H:%M:%S") -> str:
        return moment.astimezone(ZoneInfo(self.site["time_zone"])).strftime(form)


@dataclass(frozen=True, slots=True)
class Seal:
    """What a report's seal says: the public key (hex), its fingerprint, and whether the page is as it was signed."""

    key: str
    key_id: str
    intact: bool


def sealed(page: bytes, key: SigningKey) -> bytes:
    """The page with its seal."""
    page = page.rstrip(b"\n") + b"\n"
    return page + f"<!-- smartsite-seal key={key.public} signature={key.sign(page)} -->\n".encode()


def check(file: bytes) -> Seal:
    """What the seal of a report says.

    Raises:
        InvalidInput: the file has no seal.
    """
    found = _SEAL.search(file)
    if found is None:
        raise InvalidInput("the file carries no seal", hint="give the report as it was downloaded, not a print of it")
    key, signature = (part.decode() for part in found.groups())
    return Seal(key, fingerprint(key), verify(key, file[: found.start()], signature))


def _embedded(store: EvidenceStore, sha256: str) -> str:
    try:
        data = store.open(sha256).read_bytes()
    except NotFound:  # removed at the end of its time, while the inspection was left open for weeks
        return ""
    return "data:image/jpeg;base64," + base64.b64encode(data).decode()


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )


@cache
def _words() -> dict[str, Any]:
    return tomllib.loads((_HERE / "report.toml").read_text(encoding="utf-8"))
