"""Devices from a sheet: good rows are applied, wrong ones named with line, column and what to do."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from api import audit
from api.access import Writer
from api.context import Here
from api.errors import documented
from core.errors import Forbidden
from sensors import provision

router = APIRouter(prefix="/devices", tags=["administration"])

_BODY: dict[str, Any] = {
    "requestBody": {"required": True, "content": {"text/csv": {"schema": {"type": "string", "format": "binary"}}}}
}


class ImportedRow(BaseModel):
    """What became of a row."""

    row: str = Field(examples=["line 3 (dust-1)"])
    device: str = Field(description="site/code; empty where the row is wrong.", examples=["riverside/dust-1"])
    outcome: Literal["created", "updated", "unchanged", "error"]
    line: int | None = Field(description="Of the sheet; null where the fault is the sheet's as a whole.", examples=[3])
    field: str = Field(description="The column at fault.")
    code: str = Field(description="What is wrong, for programs; empty where nothing is.", examples=["no_kind"])
    values: dict[str, str] = Field(description="What belongs to the code.", examples=[{"kind": "dusty"}])
    message: str = Field(description="What is wrong and what to do.")


class DeviceSecret(BaseModel):
    """A secret that was made; it is told this once."""

    user: str = Field(examples=["riverside/dust-1"])
    secret: str


class ImportResult(BaseModel):
    """What became of the sheet."""

    rows: list[ImportedRow]
    secrets: list[DeviceSecret]


@router.post(
    "/import",
    summary="Import devices from CSV",
    responses=documented(401, 403, 413, 422),
    openapi_extra=_BODY,
)
async def take_in(request: Request, viewer: Writer, context: Here) -> ImportResult:
    """Apply a sheet of devices, as `smartsite provision` does; the same sheet again changes nothing."""
    if not viewer.all_sites:
        raise Forbidden("a sheet may name any site: it is for those who see all sites")
    body = await request.body()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "devices.csv"
        await asyncio.to_thread(path.write_bytes, body)
        async with context.connection() as database, database.transaction():
            report = await provision.apply(database, path, profiles=context.profiles)
            counts = {str(outcome): count for outcome, count in report.outcomes.get("devices", {}).items()}
            await audit.append(
                database,
                at=context.clock.now(),
                actor=viewer.code,
                action="device.import",
                thing="devices",
                detail={**counts, "errors": len(report.errors)},
            )
    done = [
        ImportedRow(
            row=one.row,
            line=one.line,
            device=one.key,
            outcome=one.outcome,
            field="",
            code="",
            values={},
            message="",
        )
        for one in report.results
    ]
    wrong = [
        ImportedRow(
            row=one.row,
            line=one.line,
            device="",
            outcome="error",
            field=one.field,
            code=one.code,
            values=dict(one.values),
            message=one.message,
        )
        for one in report.errors
    ]
    made = [DeviceSecret(user=one.user, secret=one.secret) for one in report.secrets]
    return ImportResult(rows=[*wrong, *done], secrets=made)
