"""What a report says, as it is stored; shares are 0 to 1, times are minutes."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

import msgspec

from alerts.model import RuleKind, Severity
from core.settings.reports import ReportKind

_DAY = timedelta(days=1)


class AlertCount(msgspec.Struct, frozen=True, kw_only=True):
    """Alerts raised in the period, by kind of rule and worst severity."""

    kind: RuleKind
    severity: Severity
    count: int
    false_alarms: int


class Exceedance(msgspec.Struct, frozen=True, kw_only=True):
    """Time beyond a limit of a metric, summed over the devices; of one device overlapping alerts count once."""

    metric: str
    unit: str
    minutes: float
    devices: int


class DeliveryCount(msgspec.Struct, frozen=True, kw_only=True):
    """Deliveries of the period to a regulator, and where they stand now; withdrawn ones do not count."""

    target: str
    total: int
    accepted: int
    rejected: int
    stopped: int
    waiting: int


class OrderCount(msgspec.Struct, frozen=True, kw_only=True):
    """Orders to rectify: given and passed in the period, open and overdue now."""

    ordered: int = 0
    passed: int = 0
    open: int = 0
    overdue: int = 0


class Availability(msgspec.Struct, frozen=True, kw_only=True):
    """Readings of normal quality that a device sent, of those that its interval lets expect."""

    device: str
    name: str
    name_en: str
    kind: str
    share: float


class CameraUptime(msgspec.Struct, frozen=True, kw_only=True):
    """Time in which a camera delivered pictures, of the whole period."""

    camera: str
    name: str
    name_en: str
    share: float


class SiteLine(msgspec.Struct, frozen=True, kw_only=True):
    """A site in the report of all; None: nothing to take a share of."""

    site: str
    name: str
    name_en: str
    alerts: int
    critical: int
    minutes: float
    delivered: float | None
    open_orders: int
    overdue_orders: int
    available: float | None
    cameras_online: float | None = None


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """A report's figures; of a site `devices` and `cameras` are listed, of all sites `sites`.

    What earlier releases did not reckon has a default here.
    """

    alerts: list[AlertCount]
    open_at_end: int
    exceedances: list[Exceedance]
    deliveries: list[DeliveryCount]
    orders: OrderCount
    available: float | None
    devices: list[Availability]
    sites: list[SiteLine]
    cameras_online: float | None = None
    cameras: list[CameraUptime] = []

    @property
    def raised(self) -> int:
        """Alerts raised in the period."""
        return sum(one.count for one in self.alerts)

    @property
    def critical(self) -> int:
        """Of them those that were ever critical."""
        return sum(one.count for one in self.alerts if one.severity == "critical")

    @property
    def minutes(self) -> float:
        """Time beyond limits of all metrics and devices."""
        return sum(one.minutes for one in self.exceedances)

    @property
    def delivered(self) -> float | None:
        """Share of the deliveries that were accepted; None: there were none."""
        total = sum(one.total for one in self.deliveries)
        return sum(one.accepted for one in self.deliveries) / total if total else None


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """A stored report; `site_id` None: all sites. `first_day` is by the clock of the site, or of the bureau."""

    id: int
    kind: ReportKind
    site_id: int | None
    first_day: date
    starts_at: datetime
    ends_at: datetime
    made_at: datetime
    figures: Figures

    @property
    def last_day(self) -> date:
        return self.first_day + LENGTH[self.kind] - _DAY


class Period(msgspec.Struct, frozen=True, kw_only=True):
    """A day or a week of a clock."""

    kind: ReportKind
    first_day: date
    starts_at: datetime
    ends_at: datetime


LENGTH: dict[Literal["daily", "weekly"], timedelta] = {"daily": _DAY, "weekly": 7 * _DAY}


def period(kind: ReportKind, first_day: date, zone: ZoneInfo) -> Period:
    """The day, or the seven days, that begin on a day; from midnight to midnight, an hour more where a clock moves."""
    first, last = (datetime(day.year, day.month, day.day, tzinfo=zone) for day in (first_day, first_day + LENGTH[kind]))
    return Period(kind=kind, first_day=first_day, starts_at=first, ends_at=last)


def newest_due(kind: ReportKind, now: datetime, zone: ZoneInfo, *, hour: int) -> date:
    """First day of the newest period that is over since `hour` o'clock."""
    today = (now.astimezone(zone) - timedelta(hours=hour)).date()
    return today - _DAY if kind == "daily" else today - timedelta(days=today.weekday() + 7)
