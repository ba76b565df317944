"""Makes the registry agree with rows: checks what they refer to, compares, and writes only what differs.

One transaction for all files. A statement fires the registry's triggers even where it changes nothing, so a row that
is already as it should be is not written at all: a second run leaves the registry's version alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import psycopg

from core.sql import queries
from sensors.profiles import Profile, load_profiles
from sensors.provision.credentials import device_hashes, person_hashes
from sensors.provision.files import Rows, Sourced, read_files
from sensors.provision.report import Outcome, Report, RowResult
from sensors.provision.rows import CameraRow, DeviceRow, PermitRow, Row, SiteRow
from sensors.provision.store import Store

SQL = queries("sensors")


async def apply(
    connection: psycopg.AsyncConnection,
    paths: Sequence[Path] | Path,
    *,
    profiles: Mapping[str, Profile] | None = None,
) -> Report:
    """Apply files to the registry: what is right is kept, what is wrong is left out and named in the report.

    Nothing is removed: set `enabled = false` to take something out of service. `profiles` are the kinds that devices
    may have (default: the built-in ones). Raises only what the database raises.
    """
    report = Report()
    rows = read_files([paths] if isinstance(paths, Path) else paths, report)
    await apply_rows(connection, rows, report, profiles=profiles)
    return report


async def apply_rows(
    connection: psycopg.AsyncConnection,
    rows: Rows,
    report: Report,
    *,
    profiles: Mapping[str, Profile] | None = None,
) -> None:
    """Apply rows that are right in themselves; what becomes of each goes into the report. Raises as `apply` does."""
    async with connection.transaction():
        await connection.execute(SQL["provision_lock"])
        store = await Store.load(connection)
        await _units(store, rows, report)
        await _sites(store, rows, report)
        await _people(store, rows, report)
        await _devices(store, rows, report, load_profiles() if profiles is None else profiles)
        await _cameras(store, rows, report)
        await _permits(store, rows, report)


async def _units(store: Store, rows: Rows, report: Report) -> None:
    for sourced in rows.units:
        _done(report, "units", sourced, await store.put("unit", sourced.row.code, _named(sourced.row)))


async def _sites(store: Store, rows: Rows, report: Report) -> None:
    for sourced in rows.sites:
        row = sourced.row
        absent = [part.unit for part in row.units if store.id("unit", part.unit) is None]
        if absent:
            report.errors.append(sourced.error("units", "no_unit", key=absent[0]))
            continue
        values = _named(row, without={"units"})
        present = store.values("site", row.code)
        if row.stage_since is not None:
            values["stage_since"] = _local(row.stage_since, _zone(row, present))
            if (
                present is not None
                and values.get("stage", present["stage"]) != present["stage"]
                and values["stage_since"] == present["stage_since"]
            ):
                report.errors.append(sourced.error("stage_since", "stage_began", stage=present["stage"], new=row.stage))
                continue
        outcome = await store.put("site", row.code, values)
        if "units" in row.model_fields_set:
            wanted = {(store.need("unit", part.unit), part.role) for part in row.units}
            if await store.link_units(store.need("site", row.code), wanted) and outcome == "unchanged":
                outcome = "updated"
        _done(report, "sites", sourced, outcome)


async def _people(store: Store, rows: Rows, report: Report) -> None:
    good = []
    logins = store.logins()
    for sourced in rows.people:
        row = sourced.row
        absent = [code for code in row.sites if store.id("site", code) is None]
        if row.unit is not None and store.id("unit", row.unit) is None:
            report.errors.append(sourced.error("unit", "no_unit", key=row.unit))
        elif absent:
            report.errors.append(sourced.error("sites", "no_site", key=absent[0]))
        elif row.login is not None and logins.setdefault(row.login, row.code) != row.code:
            report.errors.append(sourced.error("login", "login_taken", login=row.login, person=logins[row.login]))
        else:
            good.append(sourced)
    hashes = await person_hashes([sourced.row for sourced in good], store)
    for sourced in good:
        row = sourced.row
        values = _named(row, without={"unit", "sites", "password"}) | hashes.get(row.code, {})
        if "unit" in row.model_fields_set:
            values["unit_id"] = None if row.unit is None else store.need("unit", row.unit)
        outcome = await store.put("person", row.code, values)
        if "sites" in row.model_fields_set:
            wanted = {store.need("site", code) for code in row.sites}
            if await store.link_sites(store.need("person", row.code), wanted) and outcome == "unchanged":
                outcome = "updated"
        _done(report, "people", sourced, outcome)


async def _devices(store: Store, rows: Rows, report: Report, profiles: Mapping[str, Profile]) -> None:
    good = []
    mns = store.mns()
    for sourced in rows.devices:
        row = sourced.row
        present = store.values("device", f"{row.site}/{row.code}")
        if not _has_site(store, sourced, report):
            continue
        if row.kind not in profiles:
            report.errors.append(sourced.error("kind", "no_kind", kind=row.kind, kinds=", ".join(sorted(profiles))))
        elif present is not None and present["kind"] != row.kind:
            report.errors.append(sourced.error("kind", "other_kind", kind=present["kind"]))
        elif row.mn is not None and mns.setdefault(row.mn, f"{row.site}/{row.code}") != f"{row.site}/{row.code}":
            report.errors.append(sourced.error("mn", "mn_taken", mn=row.mn, device=mns[row.mn]))
        else:
            good.append(sourced)
    good = _gateways_first(store, good, report)
    hashes, report.secrets = await device_hashes([sourced.row for sourced in good], store)
    for sourced in good:
        row = sourced.row
        values = _named(row, without={"site", "secret", "hj212", "gateway"}) | {"site_id": store.need("site", row.site)}
        if "hj212" in row.model_fields_set:
            present = store.values("device", f"{row.site}/{row.code}")
            others = {} if present is None else present["protocol_options"]
            values["protocol_options"] = others | {"hj212": row.hj212}
        if "gateway" in row.model_fields_set:
            gateway = row.gateway
            values["gateway_id"] = None if gateway is None else store.need("device", f"{row.site}/{gateway}")
        values |= hashes.get(f"{row.site}/{row.code}", {})
        _done(report, "devices", sourced, await store.put("device", sourced.key, values))


def _gateways_first(store: Store, devices: Sequence[Sourced[DeviceRow]], report: Report) -> list[Sourced[DeviceRow]]:
    """The rows in an order in which a gateway is there before its devices; those without theirs are errors."""
    ordered: list[Sourced[DeviceRow]] = []
    known: set[str] = set()
    waiting = list(devices)
    while waiting:
        ready: list[Sourced[DeviceRow]] = []
        rest: list[Sourced[DeviceRow]] = []
        for sourced in waiting:
            row = sourced.row
            key = None if row.gateway is None else f"{row.site}/{row.gateway}"
            is_there = key is None or key in known or store.id("device", key) is not None
            (ready if is_there and row.gateway != row.code else rest).append(sourced)
        if not ready:
            for sourced in rest:
                row = sourced.row
                report.errors.append(
                    sourced.error("gateway", "own_gateway")
                    if row.gateway == row.code
                    else sourced.error("gateway", "no_device", key=f"{row.site}/{row.gateway}")
                )
            break
        ordered += ready
        known |= {sourced.key for sourced in ready}
        waiting = rest
    return ordered


async def _cameras(store: Store, rows: Rows, report: Report) -> None:
    for sourced in rows.cameras:
        row = sourced.row
        if _has_site(store, sourced, report):
            values = _named(row, without={"site"}) | {"site_id": store.need("site", row.site)}
            _done(report, "cameras", sourced, await store.put("camera", sourced.key, values))


async def _permits(store: Store, rows: Rows, report: Report) -> None:
    for sourced in rows.permits:
        row = sourced.row
        if not _has_site(store, sourced, report):
            continue
        values = _named(row, without={"site"}) | {"site_id": store.need("site", row.site)}
        place = store.values("site", row.site)
        zone = "Asia/Shanghai" if place is None else place.get("time_zone", "Asia/Shanghai")
        values |= {name: _local(getattr(row, name), zone) for name in ("starts_at", "ends_at")}
        _done(report, "permits", sourced, await store.put("permit", sourced.key, values))


def _done(report: Report, section: str, sourced: Sourced[Row], outcome: Outcome) -> None:
    report.applied(
        RowResult(
            file=sourced.file,
            row=sourced.place,
            line=sourced.line,
            section=section,
            key=sourced.key,
            outcome=outcome,
        )
    )


def _has_site(
    store: Store, sourced: Sourced[DeviceRow] | Sourced[CameraRow] | Sourced[PermitRow], report: Report
) -> bool:
    if store.id("site", sourced.row.site) is not None:
        return True
    report.errors.append(sourced.error("site", "no_site", key=sourced.row.site))
    return False


def _zone(row: SiteRow, present: Mapping[str, Any] | None) -> str:
    """The zone that the site will have."""
    return row.time_zone if present is None or "time_zone" in row.model_fields_set else str(present["time_zone"])


def _local(moment: datetime, zone: str) -> datetime:
    """A time without an offset is what the site's clock shows."""
    return moment.replace(tzinfo=ZoneInfo(zone)) if moment.tzinfo is None else moment


def _named(row: Row, without: frozenset[str] | set[str] = frozenset()) -> dict[str, object]:
    """The columns that the row names."""
    return {name: getattr(row, name) for name in row.model_fields_set if name not in without}
