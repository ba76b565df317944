"""Reports of days and weeks: figures reckoned by hand, made once and in time, told to whom it is set."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from alerts.reports import job
from alerts.reports.files import as_csv, as_html
from alerts.reports.model import AlertCount, Exceedance, OrderCount, Report, newest_due, period
from alerts.reports.store import load_many
from core.schedule import Schedule
from core.settings import AlertsSettings, NotifySettings, Settings, TargetSettings
from core.settings.reports import ReportSettings
from sensors.profiles import load_profiles
from smartsite.keeper import LOCK, Housekeeping
from tests.alerts.outgoing import World, world
from tests.alerts.providers import Feishu
from tests.alerts.script import script
from tests.sensors.stored import store
from tests.support.clock import FakeClock
from tests.support.stubs import served

SHANGHAI = ZoneInfo("Asia/Shanghai")
PROFILES = load_profiles()
DAY = timedelta(days=1)


@pytest.fixture
async def place(settings: Settings, clock: FakeClock) -> AsyncIterator[World]:
    async with world(settings, clock) as made:
        yield made


def with_reports(place: World, **changes: object) -> None:
    alerts = place.settings.alerts.model_copy(update={"reports": ReportSettings.model_validate(changes)})
    place.settings = place.settings.model_copy(update={"alerts": alerts})


async def make(place: World) -> list[Report]:
    """Make all that is due; every report that there is."""
    while await job.make_due(place.connection, place.registry, PROFILES, place.settings.alerts, place.clock):
        pass
    rows = await (await place.connection.execute("SELECT id FROM report ORDER BY id")).fetchall()
    found = {one.id: one for one in await load_many(place.connection, [row[0] for row in rows])}
    return [found[row[0]] for row in rows]


def moment(text: str) -> datetime:
    """Of 31 July 2026, by Shanghai's clock."""
    hour, minute = map(int, text.split(":"))
    return datetime(2026, 7, 31, tzinfo=SHANGHAI) + timedelta(hours=hour, minutes=minute)


# -- when


@pytest.mark.parametrize(
    ("now", "daily", "weekly"),
    [
        ("2026-08-02T21:59:59", "2026-08-01", "2026-07-20"),  # Monday 3 August, 05:59:59 in Shanghai
        ("2026-08-02T22:00:00", "2026-08-02", "2026-07-27"),
        ("2026-08-03T21:59:59", "2026-08-02", "2026-07-27"),
    ],
)
def test_a_report_is_due_from_its_hour_of_the_day_after(now: str, daily: str, weekly: str) -> None:
    at = datetime.fromisoformat(now).replace(tzinfo=UTC)
    assert newest_due("daily", at, SHANGHAI, hour=6) == date.fromisoformat(daily)
    assert newest_due("weekly", at, SHANGHAI, hour=6) == date.fromisoformat(weekly)


def test_days_are_the_sites_own_however_long() -> None:
    paris = ZoneInfo("Europe/Paris")
    lengths = []
    for kind, day in (("daily", date(2026, 3, 29)), ("daily", date(2026, 10, 25)), ("weekly", date(2026, 10, 19))):
        over = period(kind, day, paris)  # type: ignore[arg-type]
        lengths.append((over.ends_at.astimezone(UTC) - over.starts_at.astimezone(UTC)).total_seconds() / 3600)
    assert lengths == [23, 25, 7 * 24 + 1]


async def test_each_is_made_once_and_a_pause_is_made_up_for(place: World, clock: FakeClock) -> None:
    def made(reports: list[Report]) -> list[tuple[str, int | None, str]]:
        return [(one.kind, one.site_id, str(one.first_day)) for one in reports]

    # 1 August 2026 is a Saturday; it is 16:00 in Shanghai.
    first = [("daily", None, "2026-07-31"), ("daily", place.site_id, "2026-07-31")]
    first += [("weekly", None, "2026-07-20"), ("weekly", place.site_id, "2026-07-20")]
    assert made(await make(place)) == first
    assert made(await make(place)) == first
    await clock.advance(3 * 86_400)
    days = [str(date(2026, 8, day)) for day in (1, 2, 3)]
    later = [("daily", site, day) for site in (None, place.site_id) for day in days]
    later += [("weekly", site, "2026-07-27") for site in (None, place.site_id)]
    assert made(await make(place))[4:] == later
    await clock.advance(60 * 86_400)
    # Of a long pause the last week of days, and the last four weeks.
    assert len(await make(place)) == 4 + 8 + 2 * 7 + 2 * 4
    await clock.advance(401 * 86_400)
    assert {one.made_at for one in await make(place)} == {clock.now()}


async def test_what_is_not_wanted_is_not_made(place: World) -> None:
    with_reports(place, kinds=["weekly"])
    await place.connection.execute("UPDATE site SET enabled = false")
    await place.reload()
    assert [(one.kind, one.site_id) for one in await make(place)] == [("weekly", None)]


# -- what


async def raised(place: World, begin: str, end: str | None, **changes: object) -> int:
    """An alert of 31 July by its times; its id."""
    at = moment(begin)
    ended = None if end is None else moment(end)
    values = {"started_at": at, "raised_at": at, "ended_at": ended, "cleared_at": ended, **changes}
    return (await place.alert(**values)).id


async def furnish(place: World) -> None:
    """31 July at the site: overlapping and false alerts, deliveries, orders, and another site's."""
    await raised(place, "10:00", "10:30")
    await raised(place, "10:20", "10:50", rule="pm10-mean", rule_kind="window", severity="critical")
    await raised(place, "23:30", "26:00", rule="pm10-late")  # 30 minutes of it within the day
    await raised(place, "-1:00", "1:00", rule="pm10-early")  # raised the day before, 60 minutes within
    await raised(place, "12:00", "13:00", rule="pm10-false", verdict="false_alarm")
    await raised(place, "12:00", "13:00", rule="pm10-night", exempt='{"kind": "permit"}')
    await raised(place, "14:00", None, rule="away", rule_kind="offline", metric="", unit="", limit_value=None)
    other = await place.insert("site", code="west", name="西区")
    station = await place.insert("device", site_id=other, code="d", kind="dust", name="站")
    west = {"site_id": other, "device_id": station, "subject": f"device:{station}"}
    alert = await raised(place, "15:00", "15:06", **west)
    for number, (state, at) in enumerate(
        [("validated", "15:00"), ("accepted", "15:01"), ("dead", "15:02"), ("withdrawn", "15:03"), ("dead", "30:00")]
    ):
        await place.insert(
            "delivery", alert_id=alert, target="bureau", phase="raise", amendment=number, state=state,
            idempotency_key=str(number), payload="{}", created_at=moment(at), pending_since=moment(at),
        )  # fmt: skip
    person = await place.person("wang")
    for number, (site, state, given, closed) in enumerate(
        [
            (other, "passed", "-50:00", "9:00"),
            (other, "ordered", "9:00", None),
            (place.site_id, "ordered", "-9:00", None),
        ]
    ):
        await place.insert(
            "rectification", number=str(number), site_id=site, source="free", level="general", title="x",
            requirement="x", person_id=person, state=state, ordered_at=moment(given), ordered_by="x",
            term_from=moment(given), deadline_at=moment(given) + timedelta(hours=20),
            closed_at=None if closed is None else moment(closed),
        )  # fmt: skip
    await place.reload()


async def test_the_figures_of_a_day_are_those_reckoned_by_hand(place: World) -> None:
    with_reports(place, kinds=["daily"])
    await furnish(place)
    everything, east, west = await make(place)
    assert east.site_id == place.site_id
    assert east.figures.alerts == [
        AlertCount(kind="offline", severity="major", count=1, false_alarms=0),
        AlertCount(kind="threshold", severity="major", count=3, false_alarms=1),
        AlertCount(kind="window", severity="critical", count=1, false_alarms=0),
    ]
    # 10:00 to 10:50 once, though two alerts cover 10:20 to 10:30; the last half hour; the first hour.
    assert east.figures.exceedances == [Exceedance(metric="pm10", unit="µg/m³", minutes=140, devices=1)]
    assert east.figures.open_at_end == 2
    assert east.figures.orders == OrderCount(ordered=0, passed=0, open=1, overdue=1)
    assert (east.figures.delivered, east.figures.deliveries) == (None, [])
    assert west.figures.delivered == pytest.approx(2 / 3)
    (delivery,) = west.figures.deliveries
    assert (delivery.total, delivery.accepted, delivery.stopped) == (3, 2, 1)
    assert west.figures.orders == OrderCount(ordered=1, passed=1, open=1, overdue=1)
    assert everything.site_id is None
    assert everything.figures.raised == east.figures.raised + west.figures.raised == 6
    assert everything.figures.exceedances == [Exceedance(metric="pm10", unit="µg/m³", minutes=146, devices=2)]
    assert everything.figures.orders == OrderCount(ordered=1, passed=1, open=2, overdue=2)
    assert [(line.site, line.alerts, line.critical, line.minutes) for line in everything.figures.sites] == [
        ("east", 5, 1, 140),
        ("west", 1, 0, 6),
    ]


async def test_availability_is_what_the_roll_ups_hold_of_the_day(place: World, clock: FakeClock) -> None:
    with_reports(place, kinds=["daily"])
    await place.connection.execute("UPDATE device SET interval_s = 900 WHERE id = %s", [place.device_id])
    await place.insert("device", site_id=place.site_id, code="silent", kind="tower_crane", name="塔机", name_en="Crane")
    await place.reload()
    jobs = Housekeeping(place.settings, clock)
    keeper = Schedule(place.settings.database, name="keeper", lock=LOCK, clock=clock)
    assert await keeper.turn(jobs.partitions)
    # Of 96 readings 24; one of the day before and one of the day after do not count, a reading without a value neither.
    times = [moment("-1:45"), *(moment(f"{hour}:00") for hour in range(24)), moment("24:00")]
    await store(place.connection, place.device_id, [{"time": at, "pm10": 10.0} for at in times])
    assert await keeper.turn(jobs.rollups)
    await keeper.close()
    everything, east = await make(place)
    assert [(one.device, one.kind, one.share) for one in east.figures.devices] == [
        ("dust-1", "dust", 0.25),
        ("silent", "tower_crane", 0),
    ]
    assert (east.figures.available, everything.figures.sites[0].available) == (0.125, 0.125)


async def test_cameras_were_online_for_what_was_added_up_in_the_day(place: World) -> None:
    with_reports(place, kinds=["daily"])
    await place.insert("camera", site_id=place.site_id, code="yard", name="料场", name_en="Yard", url="1")
    await place.insert("camera", site_id=place.site_id, code="gone", name="旧", url="2", enabled=False)
    await place.reload()
    # Six hours of the day; the last quarter of the day before and the first of the day after do not count.
    for quarter in (-1, *range(24), 96):
        at = moment("0:00") + timedelta(minutes=15 * quarter)
        await place.connection.execute("INSERT INTO camera_uptime VALUES (%s, %s, 900.4)", [place.camera_id, at])
    everything, east = await make(place)
    assert [(one.camera, round(one.share, 3)) for one in east.figures.cameras] == [("gate", 0.25), ("yard", 0)]
    assert everything.figures.cameras == []
    shares = [
        east.figures.cameras_online,
        everything.figures.cameras_online,
        everything.figures.sites[0].cameras_online,
    ]
    assert [round(share or 0, 3) for share in shares] == [0.125] * 3
    page = as_html(east, "en", place.registry, PROFILES, SHANGHAI)
    assert "Cameras online" in page
    assert "Yard" in page


async def test_reports_of_earlier_releases_are_read(place: World) -> None:
    with_reports(place, kinds=["daily"])
    _, east = await make(place)
    await place.connection.execute("UPDATE report SET figures = figures - 'cameras' - 'cameras_online'")
    (read,) = await load_many(place.connection, [east.id])
    assert (read.figures.cameras, read.figures.cameras_online) == ([], None)
    assert ["概要", "摄像机在线率", "–"] in list(csv.reader(io.StringIO(as_csv(read, "zh", place.registry, PROFILES))))


async def test_files_tell_the_figures_in_both_languages_and_no_markup(place: World) -> None:
    with_reports(place, kinds=["daily"])
    await furnish(place)
    await place.connection.execute("UPDATE site SET name = '<b>东</b>区', name_en = 'East' WHERE code = 'east'")
    await place.connection.execute("UPDATE device SET name = '=1+1' WHERE id = %s", [place.device_id])
    await place.reload()
    everything, east, _ = await make(place)
    page = as_html(east, "zh", place.registry, PROFILES, SHANGHAI)
    assert "<b>" not in page
    assert "&lt;b&gt;东&lt;/b&gt;区日报 2026-07-31" in page
    assert "生成时间 2026-08-01 16:00:00" in page
    for shown in ("超标时长", '<td class="number">140</td>', "扬尘", "瞬时超限", "误报"):
        assert shown in page, shown
    assert "Daily report: East, 2026-07-31" in as_html(east, "en", place.registry, PROFILES, SHANGHAI)
    text = as_csv(east, "en", place.registry, PROFILES)
    assert text.startswith("\ufeff")
    rows = list(csv.reader(io.StringIO(text.removeprefix("\ufeff"))))
    assert ["Time beyond limits", "PM10", "µg/m³", "140.0", "1"] in rows
    assert ["Summary", "Delivered", "–"] in rows
    assert any(row[:3] == ["Availability of devices", "dust-1", "'=1+1"] for row in rows)
    lines = list(csv.reader(io.StringIO(as_csv(everything, "zh", place.registry, PROFILES))))
    assert ["各工地", "east", "<b>东</b>区", "5", "1", "140.0", "", "1", "1", "0.0", "0.0"] in lines


# -- who


async def test_word_of_a_report_goes_to_the_roles_that_are_set(place: World, clock: FakeClock) -> None:
    with_reports(place, kinds=["daily"], tell={"daily": ["supervisor", "leader"]})
    feishu = Feishu(clock)
    async with served(feishu.app) as base:
        await place.person("supervisor", feishu.contact(base), role="supervisor")
        await place.person("nameless", role="supervisor")
        await place.person("officer", feishu.contact(base))
        leader = await place.person("leader", feishu.contact(base), role="leader", language="en")
        await place.connection.execute("UPDATE person SET all_sites = true WHERE id = %s", [leader])
        await place.reload()
        everything, east = await make(place)
        async with script(place, clock) as story:
            await story.settle()
    rows = await place.rows("notification")
    names = {person.id: person.code for person in place.registry.people.values()}
    assert [(row["report_id"], names[row["person_id"]], row["state"], row["reason"]) for row in rows] == [
        (everything.id, "leader", "sent", "report"),
        (east.id, "nameless", "withheld", "no_contact"),
        (east.id, "supervisor", "sent", "report"),
    ]
    cards = {body["card"]["header"]["title"]["content"]: body["card"]["elements"] for _, body in feishu.taken}
    assert set(cards) == {"【东区一号工地日报 2026-07-31】", "Daily report: All sites, 2026-07-31"}
    text, action = cards["【东区一号工地日报 2026-07-31】"]
    assert text["text"]["content"].splitlines()[0] == "告警数：0"
    assert action["actions"][0]["url"] == f"http://127.0.0.1:8000/reports/{east.id}"


async def test_channels_for_grave_things_are_left_alone(place: World) -> None:
    notify = NotifySettings(channels={"sms": "major"})
    target = TargetSettings(name="x", url="http://x", requires=[])
    alerts = AlertsSettings(notify=notify, targets=[target], reports=ReportSettings(tell={"weekly": ["officer"]}))
    place.settings = place.settings.model_copy(update={"alerts": alerts})
    await place.person("wang", "sms://", "log://x")
    await make(place)
    assert [(row["channel"], row["state"], row["reason"]) for row in await place.rows("notification")] == [
        ("sms", "withheld", "below_channel"),
        ("log", "pending", "report"),
    ]
