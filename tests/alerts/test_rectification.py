"""Orders from the hazard to the review: states, versions, photos, reminders, words, numbers."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args

import cv2
import numpy as np
import pytest

from alerts.notices.order_wording import compose_order
from alerts.rectification import model, photos, reminders, requests, statistics, telling
from alerts.rectification.desk import Desk, Draft
from alerts.rectification.model import Order
from core.errors import Conflict, InvalidInput
from core.evidence import EvidenceStore
from core.settings import RectificationSettings, Settings
from tests.alerts.outgoing import World, world
from tests.alerts.providers import Feishu
from tests.alerts.script import script
from tests.support.clock import FakeClock
from tests.support.stubs import served

HOUR = 3600.0


class Site:
    """A world with an inspector who orders, an officer who rectifies and a supervisor who reviews."""

    def __init__(self, place: World) -> None:
        self.place = place
        self.people: dict[str, int] = {}

    def desk(self, actor: str) -> Desk:
        return Desk(
            connection=self.place.connection,
            actor=actor,
            registry=self.place.registry,
            settings=self.place.settings,
            clock=self.place.clock,
        )

    async def order(self, **changes: Any) -> Order:
        draft = {
            "site_id": self.place.site_id,
            "source": "free",
            "alert_id": None,
            "level": "general",
            "title": "临边防护缺失",
            "description": "",
            "location": "3 号楼 5 层",
            "requirement": "立即恢复临边防护",
            "unit_id": None,
            "person_id": self.people["wang"],
            **changes,
        }
        async with self.place.connection.transaction():
            return await self.desk("zhao").order(Draft(**draft))

    async def photo(self, order: Order, shade: int = 90) -> str:
        prepared = photos.prepare(picture(shade), keep=False)
        async with self.place.connection.transaction():
            return await photos.add(
                self.place.connection,
                EvidenceStore(self.place.settings.evidence_dir),
                order.id,
                prepared,
                by="wang",
                most=5,
                clock=self.place.clock,
            )

    async def submit(self, order: Order, shade: int = 90) -> Order:
        sha256 = await self.photo(order, shade)
        async with self.place.connection.transaction():
            return await self.desk("wang").submit(order.id, order.version, "已恢复", [sha256])

    async def told(self) -> list[tuple[str, str, str, str]]:
        names = {number: code for code, number in self.people.items()}
        return [
            (names[one["person_id"]], one["phase"], one["reason"], one["state"])
            for one in await self.place.rows("notification")
        ]

    async def history(self) -> list[tuple[str, str, int]]:
        return [(one["kind"], one["actor"], one["version"]) for one in await self.place.rows("rectification_event")]


def picture(shade: int = 90, width: int = 64, height: int = 48, suffix: str = ".jpg") -> bytes:
    written, data = cv2.imencode(suffix, np.full((height, width, 3), shade, np.uint8))
    assert written
    return bytes(data)


@pytest.fixture
async def site(settings: Settings, clock: FakeClock) -> AsyncIterator[Site]:
    async with world(settings, clock) as place:
        made = Site(place)
        for code, role in (("wang", "officer"), ("li", "supervisor"), ("zhao", "inspector"), ("chen", "leader")):
            made.people[code] = await place.person(code, f"log://{code}", role=role)
        yield made


async def test_from_the_order_to_the_pass(site: Site, clock: FakeClock) -> None:
    order = await site.order()
    assert (order.number, order.state, order.version) == ("east-2026-0001", "ordered", 1)
    assert order.deadline_at == clock.now() + timedelta(hours=72)
    async with site.place.connection.transaction():
        order = await site.desk("wang").start(order.id, 1)
    order = await site.submit(order)
    assert (order.state, order.rounds, order.submitted_by) == ("submitted", 1, "wang")
    async with site.place.connection.transaction():
        order = await site.desk("li").review(order.id, order.version, passed=False, text="缺踢脚板")
    assert (order.state, order.term_from) == ("returned", clock.now())
    order = await site.submit(order, shade=120)
    async with site.place.connection.transaction():
        order = await site.desk("li").review(order.id, order.version, passed=True, text="合格")
    assert (order.state, order.rounds, order.closed_at) == ("passed", 2, clock.now())
    assert await site.history() == [
        ("ordered", "zhao", 1),
        ("started", "wang", 2),
        ("submitted", "wang", 3),
        ("returned", "li", 4),
        ("submitted", "wang", 5),
        ("passed", "li", 6),
    ]
    assert [row[:3] for row in await site.told()] == [
        ("wang", "ordered", "responsible"),
        ("li", "submitted", "reviewer"),
        ("zhao", "submitted", "reviewer"),
        ("wang", "returned", "responsible"),
        ("li", "submitted", "reviewer"),
        ("zhao", "submitted", "reviewer"),
        ("wang", "passed", "responsible"),
    ]
    assert (await site.order(level="serious")).number == "east-2026-0002"


async def test_whoever_was_slower_changes_nothing(site: Site) -> None:
    order = await site.order()
    async with site.place.connection.transaction():
        await site.desk("wang").start(order.id, 1)
    with pytest.raises(Conflict, match="is at version 2, not 1"):
        async with site.place.connection.transaction():
            await site.desk("wang").start(order.id, 1)
    with pytest.raises(Conflict, match="is rectifying"):
        async with site.place.connection.transaction():
            await site.desk("li").review(order.id, 2, passed=True, text="")
    assert len(await site.history()) == 2


async def test_a_submission_needs_photos_that_are_free_and_of_this_order(site: Site) -> None:
    first, second = await site.order(), await site.order()
    foreign = await site.photo(second)
    for chosen, why in (([], "needs a photo"), ([foreign], "no photo of this order"), (["0" * 64], "no photo of this")):
        with pytest.raises(InvalidInput, match=why):
            async with site.place.connection.transaction():
                await site.desk("wang").submit(first.id, 1, "", chosen)
    submitted = await site.submit(second)
    async with site.place.connection.transaction():
        returned = await site.desk("li").review(second.id, submitted.version, passed=False, text="还差")
    with pytest.raises(InvalidInput, match="free to be shown"):
        async with site.place.connection.transaction():
            await site.desk("wang").submit(second.id, returned.version, "", [foreign])


async def test_nobody_reviews_what_they_submitted_and_a_return_has_a_reason(site: Site, clock: FakeClock) -> None:
    order = await site.submit(await site.order())
    with pytest.raises(Conflict, match="nobody reviews"):
        async with site.place.connection.transaction():
            await site.desk("wang").review(order.id, order.version, passed=True, text="")
    with pytest.raises(InvalidInput, match="needs a reason"):
        async with site.place.connection.transaction():
            await site.desk("li").review(order.id, order.version, passed=False, text=" ")
    await clock.advance(100 * HOUR)
    with pytest.raises(InvalidInput, match="deadline has passed"):
        async with site.place.connection.transaction():
            await site.desk("li").review(order.id, order.version, passed=False, text="还差")


async def test_an_order_needs_a_deadline_ahead_and_people_of_the_site(site: Site, clock: FakeClock) -> None:
    stranger = await site.place.person("stranger", "log://s")
    await site.place.connection.execute("DELETE FROM person_site WHERE person_id = %s", [stranger])
    unit = await site.place.insert("unit", code="u", name="U")
    await site.place.reload()
    for changes, why in (
        ({"deadline_at": clock.now()}, "deadline has passed"),
        ({"person_id": stranger}, "person has no part"),
        ({"unit_id": unit}, "unit has no part"),
    ):
        with pytest.raises(InvalidInput, match=why):
            await site.order(**changes)
    assert await site.place.rows("rectification") == []


async def test_an_alert_has_one_order(site: Site) -> None:
    alert = await site.place.alert()
    first = await site.order(alert_id=alert.id, source="alert")
    with pytest.raises(Conflict, match=first.number):
        await site.order(alert_id=alert.id, source="alert")
    async with site.place.connection.transaction():
        await site.desk("zhao").withdraw(first.id, 1, "重复")
    assert (await site.order(alert_id=alert.id, source="alert")).number == "east-2026-0002"


async def test_supervision_and_a_stop_of_work_are_facts_beside_the_state(site: Site) -> None:
    order = await site.order(level="serious")
    async with site.place.connection.transaction():
        order = await site.desk("chen").list_(order.id, order.version, listed=True, text="市级挂牌")
        order = await site.desk("chen").stop_work(order.id, order.version, "2 号楼", "坍塌风险")
    assert (order.state, order.stop_work_scope) == ("ordered", "2 号楼")
    with pytest.raises(Conflict, match="stops work"):
        async with site.place.connection.transaction():
            await site.desk("zhao").withdraw(order.id, order.version, "")
    async with site.place.connection.transaction():
        order = await site.desk("chen").resume_work(order.id, order.version, "已加固")
        order = await site.desk("chen").list_(order.id, order.version, listed=False, text="已整改")
    assert (order.listed_at, order.stop_work_at) == (None, None)
    stop = [row for row in await site.place.rows("notification") if row["phase"] == "stop_work"]
    assert [row["priority"] for row in stop] == [3, 3]
    assert {row[0] for row in await site.told() if row[1] == "listed"} == {"wang", "li"}


async def test_reminders_at_half_four_fifths_and_the_end_then_by_role(site: Site, clock: FakeClock) -> None:
    async with robot(clock) as (feishu, base):
        await site.place.connection.execute(
            "UPDATE person SET contacts = %s WHERE role <> 'inspector'", [[feishu.contact(base)]]
        )
        await site.place.reload()
        await site.order(deadline_at=clock.now() + timedelta(seconds=100))
        async with script(site.place, clock) as story:
            await story.run(until=220)
        assert [(body["card"]["header"]["title"]["content"][:6], moment) for moment, body in feishu.taken] == [
            ("【整改通知】", 0),
            ("【整改提醒】", 50),
            ("【整改提醒】", 80),
            ("【整改逾期】", 100),
            ("【整改逾期】", 100),
            ("【整改逾期】", 150),
            ("【整改逾期】", 150),
            ("【整改逾期】", 200),
            ("【整改逾期】", 200),
        ]
    assert [row[0] for row in await site.told() if row[1] == "overdue"] == [
        "li", "wang", "li", "wang", "zhao", "chen", "wang", "zhao",
    ]  # fmt: skip


async def test_a_submission_ends_the_reminders_and_a_return_begins_them_anew(site: Site, clock: FakeClock) -> None:
    order = await site.order(deadline_at=clock.now() + timedelta(hours=10))
    await clock.advance(6 * HOUR)
    await remind(site)
    order = await site.submit(order)
    await clock.advance(10 * HOUR)
    assert await remind(site) == ""
    async with site.place.connection.transaction():
        await site.desk("li").review(
            order.id, order.version, passed=False, text="还差", deadline_at=clock.now() + timedelta(hours=4)
        )
    await clock.advance(2 * HOUR)
    assert await remind(site) == "1 reminded"
    assert [row[1] for row in await site.told() if row[1] in ("reminder", "overdue")] == ["reminder", "reminder"]
    states = [(row["state"], row["reason"]) for row in await site.place.rows("rectification_reminder")]
    assert states == [("told", "")] + [("cancelled", "submitted")] * 4 + [("told", "")] + [("waiting", "")] * 4


async def test_after_a_pause_one_reminder_is_enough(site: Site, clock: FakeClock) -> None:
    await site.order(deadline_at=clock.now() + timedelta(hours=10))
    await clock.advance(11 * HOUR)
    assert await remind(site) == "1 reminded"
    reasons = [(row["share"], row["reason"]) for row in await site.place.rows("rectification_reminder")]
    assert reasons == [(0.5, "later_one"), (0.8, "later_one"), (1, ""), (1.5, ""), (2, "")]


async def test_a_reminder_that_waits_to_be_sent_is_overtaken_by_the_submission(site: Site, clock: FakeClock) -> None:
    order = await site.order(deadline_at=clock.now() + timedelta(hours=10))
    await clock.advance(5 * HOUR)
    await remind(site)
    await site.submit(order)
    async with script(site.place, clock) as story:
        await story.settle()
    assert [row for row in await site.told() if row[1] == "reminder"] == [("wang", "reminder", "closed", "withheld")]


@contextlib.asynccontextmanager
async def robot(clock: FakeClock) -> AsyncIterator[tuple[Feishu, str]]:
    feishu = Feishu(clock)
    async with served(feishu.app) as base:
        yield feishu, base


async def remind(site: Site) -> str:
    return await reminders.remind_due(site.place.connection, site.place.registry, site.place.clock)


async def test_a_write_that_comes_twice_is_done_once(site: Site, clock: FakeClock) -> None:
    order = await site.order()
    connection = site.place.connection
    asked = {"action": "start", "order": order.id}
    async with connection.transaction():
        assert await requests.done_before(connection, "wang", "key-0001", asked, at=clock.now()) is None
        await requests.note(connection, "wang", "key-0001", order.id)
    assert await requests.done_before(connection, "wang", "key-0001", asked, at=clock.now()) == order.id
    with pytest.raises(Conflict, match="used for something else"):
        await requests.done_before(connection, "wang", "key-0001", {**asked, "order": 9}, at=clock.now())
    assert await requests.done_before(connection, "li", "key-0001", {**asked, "order": 9}, at=clock.now()) is None
    await requests.forget_old(connection, now=clock.now() + timedelta(days=15))
    assert await requests.done_before(connection, "wang", "key-0001", asked, at=clock.now()) is None


async def test_numbers_are_counted_by_site_and_unit(site: Site, clock: FakeClock) -> None:
    unit = await site.place.insert("unit", code="u", name="总包")
    await site.place.connection.execute(
        "INSERT INTO site_unit VALUES (%s, %s, 'contractor')", [site.place.site_id, unit]
    )
    await site.place.reload()
    passed = await site.submit(await site.order(unit_id=unit))
    await clock.advance(2 * HOUR)
    async with site.place.connection.transaction():
        await site.desk("li").review(passed.id, passed.version, passed=True, text="")
    await site.order(level="serious", deadline_at=clock.now() + timedelta(hours=1))
    await clock.advance(2 * HOUR)
    period = {"since": clock.now() - timedelta(days=1), "until": clock.now(), "now": clock.now()}
    (by_site,) = await statistics.count(site.place.connection, by="site", scope=None, **period)
    picked = {name: by_site[name] for name in ("ordered", "passed", "open", "overdue", "passed_in_time", "serious")}
    assert picked == {"ordered": 2, "passed": 1, "open": 1, "overdue": 1, "passed_in_time": 1, "serious": 1}
    assert float(by_site["mean_hours"]) == pytest.approx(2)
    by_unit = await statistics.count(site.place.connection, by="unit", scope=[site.place.site_id], **period)
    assert [(row["name"], row["ordered"], row["overdue"]) for row in by_unit] == [("总包", 1, 0), ("", 1, 1)]
    assert await statistics.count(site.place.connection, by="site", scope=[], **period) == []


async def test_every_phase_has_words_in_both_languages(site: Site, clock: FakeClock) -> None:
    order = await site.order()
    for phase in get_args(telling.OrderPhase):
        for language in ("zh", "en"):
            message = compose_order(order, phase, language, site.place.registry, "http://c", now=clock.now())
            assert order.number in message.body
            assert "{" not in message.body
    chinese = compose_order(order, "ordered", "zh", site.place.registry, "http://c/rectifications/1", now=clock.now())
    assert chinese.title == "【整改通知】临边防护缺失"
    assert "整改要求：立即恢复临边防护" in chinese.body
    assert "整改期限：2026-08-04 16:00:00" in chinese.body
    assert chinese.body.endswith("详情：http://c/rectifications/1")
    assert set(get_args(model.Kind)) >= {"ordered", "passed"}


# -- photos


def with_exif(data: bytes, *, turned: bool) -> bytes:
    """A JPEG with a GPS position and, where turned, the orientation of a telephone held upright."""
    orientation = 6 if turned else 1
    tiff = (
        b"MM\0*\0\0\0\x08\0\x02"
        + b"\x01\x12\0\x03\0\0\0\x01" + bytes([0, orientation, 0, 0])
        + b"\x88\x25\0\x04\0\0\0\x01\0\0\0\x26"
        + b"\0\0\0\0"
        + b"\0\x01\0\x01\0\x02\0\0\0\x02N\0\0\0\0\0\0\0SECRETPLACE"
    )  # fmt: skip
    block = b"Exif\0\0" + tiff
    return data[:2] + b"\xff\xe1" + (len(block) + 2).to_bytes(2, "big") + block + data[2:]


def test_place_and_telephone_are_taken_out_and_the_picture_is_upright() -> None:
    taken = with_exif(picture(), turned=True)
    photo = photos.prepare(taken, keep=False)
    assert (photo.media_type, photo.width, photo.height) == ("image/jpeg", 48, 64)
    assert b"Exif" not in photo.data
    assert b"SECRETPLACE" not in photo.data
    kept = photos.prepare(taken, keep=True)
    assert kept.data == taken


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_jpeg_png_and_webp_are_taken(suffix: str) -> None:
    photo = photos.prepare(picture(suffix=suffix), keep=False)
    assert (photo.width, photo.height) == (64, 48)
    assert cv2.imdecode(np.frombuffer(photo.data, np.uint8), cv2.IMREAD_COLOR).shape == (48, 64, 3)


def test_large_pictures_are_made_smaller() -> None:
    photo = photos.prepare(picture(width=5000, height=100), keep=False)
    assert (photo.width, photo.height) == (4096, 82)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "no JPEG"),
        (b"<svg onload='x'/>", "no JPEG"),
        (b"GIF89a" + bytes(40), "no JPEG"),
        (b"\xff\xd8\xff", "no JPEG"),
        (b"\x89PNG\r\n\x1a\n" + bytes(8) + (60_000).to_bytes(4, "big") * 2, "60000 x 60000 pixels"),
        (picture()[:400], "read to its end|no JPEG"),
    ],
)
def test_what_is_no_photo_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        photos.prepare(data, keep=False)


async def test_photos_of_an_order_are_limited(site: Site) -> None:
    order = await site.order()
    for shade in range(0, 250, 50):
        await site.photo(order, shade)
    with pytest.raises(Conflict, match="has 5 photos already"):
        await site.photo(order, 251)


def test_settings_have_a_deadline_for_every_level() -> None:
    assert set(RectificationSettings().deadline_hours) == {"minor", "general", "serious"}


def test_the_docs_name_every_state_and_reason() -> None:
    page = (Path(__file__).parents[2] / "docs" / "rectification.md").read_text(encoding="utf-8")
    names = (*get_args(model.State), *get_args(telling.OrderReason))
    assert [name for name in names if f"`{name}`" not in page] == []
