"""Reports of days and weeks: listed, read, and fetched as files in either language."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Path, Query
from fastapi.responses import Response
from pydantic import BaseModel, Field

from alerts.reports.files import STYLE_HASH, as_csv, as_html
from alerts.reports.model import Report
from alerts.reports.store import of_row
from api import audit
from api.access import SQL, Seen, Viewer
from api.context import Database, Here, Millis, row, rows
from api.errors import documented
from core.errors import NotFound
from core.settings.reports import ReportKind
from sensors.registry import load_registry

router = APIRouter(prefix="/reports", tags=["reports"])

ReportId = Annotated[int, Path(ge=1, lt=2**63, examples=[7])]
_TYPES = {"html": "text/html; charset=utf-8", "csv": "text/csv; charset=utf-8"}
_PAGE_POLICY = f"default-src 'none'; style-src '{STYLE_HASH}'; base-uri 'none'; frame-ancestors 'none'"


class ListedReport(BaseModel):
    """A report with the figures that a list shows."""

    id: int
    kind: ReportKind
    site_id: int | None = Field(description="null: of all sites, for those who see all.")
    first_day: date = Field(description="By the clock of the site.")
    last_day: date
    starts_at: Millis
    ends_at: Millis
    made_at: Millis
    alerts: int = Field(description="Raised in the period.")
    critical: int
    minutes: float = Field(description="Beyond limits, summed over the devices.")
    delivered: float | None = Field(description="Share of the deliveries that were accepted; null: there were none.")
    open_orders: int = Field(description="Orders to rectify, when the report was made.")
    overdue_orders: int
    available: float | None = Field(description="Share of the readings that were there; null: there are no devices.")
    cameras_online: float | None = Field(description="Share of the time online; null: there are no cameras.")


class ReportDetail(ListedReport):
    """A report with all that it says."""

    figures: dict[str, Any] = Field(
        description="alerts, open_at_end, exceedances, deliveries, orders, available, cameras_online; `devices` and "
        "`cameras` of a site's report, `sites` of that of all."
    )


class ReportPage(BaseModel):
    """Newest first."""

    items: list[ListedReport]
    next: int | None = Field(description="`before` of the next page; null on the last.")


@router.get("", summary="List reports", responses=documented(401, 422))
async def page(
    viewer: Seen,
    database: Database,
    kind: Annotated[ReportKind | None, Query(description="None: both.")] = None,
    site_id: Annotated[int | None, Query(ge=1, lt=2**31)] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    before: Annotated[int | None, Query(ge=1, lt=2**63, description="`next` of the page before.")] = None,
) -> ReportPage:
    """Reports of the sites that the person may see; those of all sites for people who see all."""
    asked = {"sites": viewer.scope, "id": None, "kind": kind, "site_id": site_id, "before": before, "limit": limit}
    found = [of_row(one) for one in await rows(database, SQL["reports"], asked)]
    return ReportPage(
        items=[ListedReport(**_listed(one)) for one in found],
        next=found[-1].id if len(found) == limit else None,
    )


@router.get("/{report_id}", summary="One report", responses=documented(401, 404, 422))
async def read(report_id: ReportId, viewer: Seen, database: Database) -> ReportDetail:
    """All figures of a report as they were when it was made."""
    asked = _one(viewer, report_id)
    found = await row(database, SQL["reports"], asked)
    if found is None:
        raise _missing(report_id)
    return ReportDetail(**_listed(of_row(found)), figures=found["figures"])


@router.get(
    "/{report_id}/file",
    summary="A report as a file",
    response_class=Response,
    responses={
        200: {"description": "The file.", "content": {"text/html": {}, "text/csv": {}}},
        **documented(401, 404, 422),
    },
)
async def file(
    report_id: ReportId,
    viewer: Seen,
    context: Here,
    database: Database,
    format: Annotated[Literal["html", "csv"], Query(description="To read, or to reckon with.")] = "html",  # noqa: A002
    language: Literal["zh", "en"] = "zh",
) -> Response:
    """The report in either language; every one that is fetched is audited."""
    found = await row(database, SQL["reports"], _one(viewer, report_id))
    if found is None:
        raise _missing(report_id)
    report, registry = of_row(found), await load_registry(database)
    zone = context.settings.alerts.reports.time_zone
    if report.site_id is not None:
        zone = registry.sites[report.site_id].time_zone
    await audit.append(
        database,
        at=context.clock.now(),
        actor=viewer.code,
        action="report.file",
        thing=f"report:{report_id}",
        detail={"format": format, "site": report.site_id},
    )
    if format == "csv":
        content = as_csv(report, language, registry, context.profiles)
        headers = {"Content-Disposition": f'attachment; filename="report-{report_id}.csv"'}
    else:
        content = as_html(report, language, registry, context.profiles, ZoneInfo(zone))
        headers = {"Content-Security-Policy": _PAGE_POLICY}
    return Response(content, media_type=_TYPES[format], headers={**headers, "Cache-Control": "no-store"})


def _one(viewer: Viewer, report_id: int) -> dict[str, Any]:
    return {"sites": viewer.scope, "id": report_id, "kind": None, "site_id": None, "before": None, "limit": 1}


def _missing(report_id: int) -> NotFound:
    return NotFound(f"there is no report {report_id}")


def _listed(report: Report) -> dict[str, Any]:
    figures = report.figures
    return {
        "id": report.id,
        "kind": report.kind,
        "site_id": report.site_id,
        "first_day": report.first_day,
        "last_day": report.last_day,
        "starts_at": report.starts_at,
        "ends_at": report.ends_at,
        "made_at": report.made_at,
        "alerts": figures.raised,
        "critical": figures.critical,
        "minutes": figures.minutes,
        "delivered": figures.delivered,
        "open_orders": figures.orders.open,
        "overdue_orders": figures.orders.overdue,
        "available": figures.available,
        "cameras_online": figures.cameras_online,
    }
