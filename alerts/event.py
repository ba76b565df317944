"""The canonical event: one violation in one phase, as it is stored in the outbox and mapped by adapters.

It is the body of the reference regulator API (docs/regulator-api.md) without the bytes of its pictures.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from zoneinfo import ZoneInfo

import psycopg

from alerts.model import AlertRow
from core.sql import queries
from sensors.registry import Registry, Site

Phase = Literal["raise", "end"]

_SQL = queries("alerts")


async def build(
    connection: psycopg.AsyncConnection[Any], alert: AlertRow, phase: Phase, registry: Registry, amendment: int = 0
) -> dict[str, Any]:
    """The event of an alert as it stands.

    Times are RFC 3339 with the offset of the site's zone, values in `unit`. A raise has no end even where it is known
    already, so that the same raise is the same event whenever it is built.
    """
    site = registry.sites[alert.site_id]
    ended = phase == "end"
    return {
        "phase": phase,
        "alert": {
            "id": alert.id,
            "rule": alert.rule,
            "rule_version": alert.rule_version,
            "kind": alert.rule_kind,
            "severity": alert.severity,
        },
        "site": site_part(site, registry),
        "subject": subject_part(alert, registry),
        "metric": alert.metric,
        "unit": alert.unit,
        "limit": alert.limit_value,
        "first_value": alert.first_value,
        "max_value": alert.max_value,
        "started_at": _local(alert.started_at, site),
        # A clear by hand may come without an end in event time; then it ended when it was cleared.
        "ended_at": _local(max(alert.ended_at or alert.cleared_at or alert.started_at, alert.started_at), site)
        if ended
        else None,
        "quality": alert.quality,
        "evidence": await _evidence(connection, alert),
        "amendment": amendment,
    }


def site_part(site: Site, registry: Registry) -> dict[str, Any]:
    """The site by the keys under which a regulator has it, with its units."""
    units = [(part.role, registry.units[part.unit_id]) for part in registry.site_units if part.site_id == site.id]
    return {
        "code": site.code,
        "name": site.name,
        "project_code": site.project_code,
        "permit_number": site.permit_number,
        "supervision_number": site.supervision_number,
        "region_code": site.region_code,
        "address": site.address,
        "latitude": site.latitude,
        "longitude": site.longitude,
        "units": [{"role": role, "name": unit.name, "credit_code": unit.credit_code} for role, unit in units],
    }


def subject_part(alert: AlertRow, registry: Registry) -> dict[str, str]:
    """The device or camera that the alert is about."""
    if alert.camera_id is not None:
        camera = registry.cameras[alert.camera_id]
        return {"type": "camera", "code": camera.code, "name": camera.name, "record_number": "", "factory": ""}
    if alert.device_id is None:
        raise ValueError(f"alert {alert.id} is about neither a device nor a camera")
    device = registry.devices[alert.device_id]
    return {
        "type": "device",
        "code": device.code,
        "name": device.name,
        "record_number": device.record_number,
        "factory": device.factory,
    }


async def _evidence(connection: psycopg.AsyncConnection[Any], alert: AlertRow) -> list[dict[str, str]]:
    pictures = [("frame", alert.frame_sha256), ("crop", alert.crop_sha256)]
    roles = {role: digest for role, digest in pictures if digest is not None}
    if not roles:
        return []
    rows = await (await connection.execute(_SQL["evidence_media_types"], {"digests": [*roles.values()]})).fetchall()
    media_types = dict(rows)
    return [
        {"role": role, "sha256": digest, "media_type": media_types[digest]}
        for role, digest in roles.items()
        if digest in media_types
    ]


def _local(moment: datetime, site: Site) -> str:
    return moment.astimezone(ZoneInfo(site.time_zone)).isoformat(timespec="milliseconds")
