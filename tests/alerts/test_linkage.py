"""Linkages: timed scripts of the decision, and the engine that switches a sprayer on a real database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from alerts.linkage import Linkage, Linker, load
from alerts.linkage.decide import Decision, Demand, Held, Override, Seen, Why, decide
from alerts.linkage.standing import decisions, standing, take_over
from core.errors import ConfigurationError
from core.settings import Settings
from sensors import commands
from sensors.commands import Reply, Requested
from tests.alerts.database import World, world
from tests.alerts.world import PM10, PROFILES, batch
from tests.support.clock import FakeClock

LINKAGE = """
[[linkages]]
id = "dust-spray"
name = "扬尘喷淋联动"
name_en = "Spraying against dust"
rules = ["pm10*"]
scope = { device_kind = "dust" }
device_kind = "sprayer"
on = "spray_on"
off = "spray_off"
off_after = "10 s"
minimum_on = "60 s"
maximum_on = "300 s"
rest = "100 s"
pause = "200 s"
"""


def linkage(**changes: object) -> Linkage:
    fields = {"id": "a", "name": "甲", "name_en": "a", "rules": ["*"], "device_kind": "sprayer"}
    times = {"off_after": "10 s", "minimum_on": "60 s", "maximum_on": "300 s", "rest": "100 s", "pause": "200 s"}
    return Linkage.model_validate({**fields, **times, "on": "spray_on", "off": "spray_off", **changes})


NOTHING = Seen()
A, B = linkage(), linkage(id="b", maximum_on="400 s")


@dataclass
class Script:
    """Looks at one sprayer every second; expects decisions at seconds, and nothing else."""

    held: Held | None = None
    second: int = 0
    told: list[tuple[int, str, str]] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)

    def until(self, second: int, *asking: Linkage, first: Seen = NOTHING, always: Seen = NOTHING) -> None:
        """`first` is seen at the first look, `always` at the others."""
        seen = first if first != NOTHING else always
        while self.second < second:
            now = FakeClock().now() + timedelta(seconds=self.second)
            demands = [Demand(one, 7) for one in asking]
            owner = {"a": A, "b": B}.get(self.held.linkage if self.held else asking[0].id if asking else "")
            self.held, decision = decide(self.held, owner, demands, seen, now)
            if decision is not None:
                self.told.append((self.second, decision.what, decision.linkage))
                self.reasons.append(decision.why.text)
            self.second += 1
            seen = always


def test_on_with_the_alert_and_off_after_the_least_time() -> None:
    script = Script()
    script.until(5)
    script.until(10, A)
    script.until(200)
    assert script.told == [(5, "on", "a"), (65, "off", "a")]
    assert script.reasons == ["alert 7 is open", "no alert for 55 s"]


def test_off_follows_recovery_by_off_after_and_a_new_alert_in_it_keeps_it_on() -> None:
    script = Script()
    script.until(100, A)
    script.until(105)
    script.until(150, A)
    script.until(200)
    assert script.told == [(0, "on", "a"), (160, "off", "a")]


def test_longest_time_then_rest_then_on_again() -> None:
    script = Script()
    script.until(450, A)
    assert script.told == [(0, "on", "a"), (300, "off", "a"), (400, "on", "a")]
    assert "longest" in script.reasons[1]


def test_one_owner_and_a_hand_over_sends_nothing() -> None:
    script = Script()
    script.until(50, A, B)
    script.until(120, B)
    script.until(200)
    assert script.told == [(0, "on", "a"), (50, "handed_over", "b"), (130, "off", "b")]


def test_by_hand_the_automatics_pause_and_come_back() -> None:
    script = Script()
    script.until(20, A)
    script.until(300, A, first=Seen(manual=Why("device_switched", "x"), manual_on=False))
    assert script.told == [(0, "on", "a"), (20, "paused", "a"), (220, "resumed", "a"), (221, "on", "a")]
    # As long as it goes on by hand the pause does, told once.
    script.until(600, A, always=Seen(manual=Why("device_manual", "x"), manual_on=False))
    script.until(900, A)
    assert [what for _, what, _ in script.told[4:]] == ["paused", "resumed", "on"]
    resumed = script.told[5][0]
    assert 600 + 200 - 30 - 1 <= resumed <= 800


def test_by_hand_before_the_first_alert() -> None:
    script = Script()
    script.until(10, first=Seen(manual=Why("x", "x")))
    assert script.held is None
    script.until(100, A, always=Seen(manual=Why("device_manual", "x"), manual_on=True))
    assert script.told == [(10, "paused", "a")]


def override(at: int, until: int, by: str = "p1") -> Seen:
    start = FakeClock().now()
    return Seen(override=Override(by=by, at=start + timedelta(seconds=at), until=start + timedelta(seconds=until)))


def test_taken_over_until_a_time_whatever_asks() -> None:
    script = Script()
    script.until(20, A)
    script.until(120, A, always=override(20, 120))
    script.until(200, A, always=override(20, 120))
    assert script.told == [(0, "on", "a"), (20, "paused", "a"), (120, "resumed", "a")]
    assert script.held is not None
    assert script.held.is_on, "it stays as it was, and the alert still asks for it"
    assert "p1 took it over until" in script.reasons[1]
    assert script.reasons[2] == "the pause is over"


def test_given_back_before_the_time_and_taken_for_longer() -> None:
    script = Script()
    script.until(20, A)
    script.until(40, A, always=override(20, 120))
    script.until(60, A, always=override(40, 400))
    script.until(300, always=override(60, 60, by="p2"))
    assert script.told == [
        (0, "on", "a"),
        (20, "paused", "a"),
        (40, "paused", "a"),
        (60, "resumed", "a"),
        (120, "off", "a"),
    ]
    assert script.reasons[3] == "p2 gave it back"


def test_taken_over_before_any_alert_and_told_when_one_asks() -> None:
    script = Script()
    script.until(50, always=override(10, 100))
    assert (script.held, script.told) == (None, [])
    script.until(200, A, always=override(10, 100))
    assert script.told == [(50, "paused", "a"), (100, "resumed", "a"), (101, "on", "a")]


def test_a_hand_pause_ends_when_it_is_given_back() -> None:
    script = Script()
    script.until(20, A)
    script.until(40, A, first=Seen(manual=Why("command_by_hand", "x"), manual_on=False))
    script.until(45, A, always=override(40, 40))
    assert script.told[1:] == [(20, "paused", "a"), (40, "resumed", "a"), (41, "on", "a")]


def test_a_new_alert_for_which_nothing_is_switched_is_told_once() -> None:
    now = FakeClock().now()
    resting = Held(linkage="a", is_on=False, since=now, rest_until=now + timedelta(seconds=60), off_command="spray_off")
    resting = replace(resting, withheld_alert=7)
    old, new = Demand(A, 7), Demand(A, 8)
    assert decide(resting, A, [old], NOTHING, now) == (resting, None)
    held, told = decide(resting, A, [old, new], NOTHING, now)
    assert held == replace(resting, withheld_alert=8)
    assert told is not None
    assert (told.what, told.alert, told.why.code) == ("withheld", 8, "resting")
    assert told.why.facts == {"until": int((now + timedelta(seconds=60)).timestamp() * 1000)}
    assert decide(held, A, [old, new], NOTHING, now) == (held, None)
    # In a pause too; but not where it is on by hand.
    paused = replace(resting, rest_until=None, paused_until=now + timedelta(seconds=60))
    _, told = decide(paused, A, [new], NOTHING, now)
    assert told is not None
    assert (told.what, told.why.code) == ("withheld", "hands_off")
    assert decide(replace(paused, is_on=True), A, [new], NOTHING, now)[1] is None


def test_an_on_that_failed_is_tried_again_after_a_minute() -> None:
    script = Script()
    script.until(10, A)
    script.until(100, A, first=Seen(outcome="failed"))
    assert script.told == [(0, "on", "a"), (10, "failed", "a"), (70, "on", "a")]


def test_an_off_that_failed_is_tried_again() -> None:
    script = Script()
    script.until(1, A)
    script.until(80)
    assert script.told[-1] == (60, "off", "a")
    script.until(300, first=Seen(outcome="failed"))
    assert [what for _, what, _ in script.told] == ["on", "off", "failed", "off"]
    assert script.told[-1][0] >= 80 + 60


def test_a_linkage_that_is_gone_leaves_nothing_on() -> None:
    now = FakeClock().now()
    held = Held(linkage="gone", is_on=True, since=now, off_command="spray_off")
    after, decision = decide(held, None, [], Seen(), now + timedelta(seconds=1))
    assert decision == Decision(
        what="off", linkage="gone", why=Why("linkage_gone", "its linkage is gone"), command="spray_off"
    )
    assert after is not None
    assert replace(after, since=now) == replace(held, is_on=False)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"spray_on"', '"explode"', "no command 'explode'"),
        ('"sprayer"', '"kettle"', "no kind 'kettle'"),
        ('"60 s"', '"600 s"', "longer than maximum_on"),
        ('"60 s"', "60", "written with its unit"),
        ("[[linkages]]", "[[linkage]]", "linkages"),
        (LINKAGE, LINKAGE + LINKAGE, "twice"),
        (LINKAGE, "[[", "docs/rules.md"),
    ],
)
def test_a_wrong_file_names_its_fault(tmp_path: Path, old: str, new: str, words: str) -> None:
    path = tmp_path / "linkages.toml"
    path.write_text(LINKAGE.replace(old, new), encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        load([path], PROFILES)
    assert words in f"{caught.value.message} {caught.value.hint}"


def test_the_example_of_the_documentation_is_sound() -> None:
    example = Path(__file__).parents[2] / "docs" / "examples" / "linkages.toml"
    (found,) = load([example], PROFILES)
    page = (example.parents[1] / "rules.md").read_text(encoding="utf-8")
    for name in type(found).model_fields:
        assert f"`{name}`" in page.partition("## Linkages")[2], name


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


class Site:
    """The world of the other tests with two sprayers on the site, and one on another site."""

    def __init__(self, built: World, clock: FakeClock, linker: Linker) -> None:
        self.world, self.clock, self.linker = built, clock, linker

    async def furnish(self) -> Site:
        await self.world.connection.execute("INSERT INTO site (code, name) VALUES ('site-2', '工地')")
        for site, code in ((1, "spray-1"), (1, "spray-2"), (2, "spray-3")):
            await self.world.connection.execute(
                "INSERT INTO device (site_id, code, kind, name) VALUES (%s, %s, 'sprayer', '喷淋')", (site, code)
            )
        return self

    async def commands(self, device: int) -> list[tuple[str, str, str]]:
        rows = await self.world.rows(
            "SELECT name, requested_by, state FROM command WHERE device_id = %s ORDER BY id", device
        )
        return [(row["name"], row["requested_by"], row["state"]) for row in rows]

    async def decisions(self, device: int) -> list[str]:
        rows = await self.world.rows("SELECT decision FROM linkage_decision WHERE device_id = %s ORDER BY id", device)
        return [row["decision"] for row in rows]

    async def reply(self, device: int, *, ok: bool = True) -> None:
        (row,) = await self.world.rows("SELECT max(id) AS id FROM command WHERE device_id = %s", device)
        at = int(self.clock.now().timestamp() * 1e6)
        await commands.settle(self.world.connection, [(device, Reply(id=row["id"], ok=ok), at)])

    async def pm10(self, value: float) -> None:
        second = self.clock.monotonic()
        await self.world.publish(batch([(1, second, {"pm10": value})], arrived=second))

    async def later(self, seconds: float) -> None:
        await self.world.live(seconds)
        await self.world.settle()


async def site_of(built: World, clock: FakeClock, folder: Path) -> Site:
    path = folder / "linkages.toml"
    path.write_text(LINKAGE, encoding="utf-8")
    return await Site(built, clock, Linker(load([path], PROFILES), PROFILES)).furnish()


async def test_dust_switches_the_sprayers_of_its_site(settings: Settings, clock: FakeClock, tmp_path: Path) -> None:
    async with world(settings, clock, tmp_path, PM10) as built:
        site = await site_of(built, clock, tmp_path)
        async with built.engine(linker=site.linker):
            await site.pm10(200)
            await built.until(1)
            # In the transaction of the alert, with its reason.
            assert await site.commands(4) == await site.commands(5) == [("spray_on", "linkage:dust-spray", "queued")]
            assert await site.commands(6) == []
            (noted,) = await built.rows("SELECT * FROM linkage_decision WHERE device_id = 4")
            assert (noted["decision"], noted["alert_id"], noted["reason"]) == ("on", 1, "alert 1 is open")
            for device in (4, 5):
                await site.reply(device)
            # Somebody gives a command to the second one: the linkage keeps its hands off it.
            now = clock.now()
            wanted = Requested(device=5, name="spray_off", by="p1", expires_at=now + timedelta(seconds=60))
            await commands.request(built.connection, wanted, now=now)
            await site.later(30)
            assert await site.decisions(5) == ["on", "paused"]
        # Killed and started again: nothing is switched twice.
        async with built.engine(linker=site.linker):
            await site.pm10(90)
            await site.later(6)
            await site.pm10(90)
            await built.until(1, "cleared_at IS NOT NULL")
            await site.later(1)
            await site.later(60)
            await site.later(1)
            assert [name for name, _, _ in await site.commands(4)] == ["spray_on", "spray_off"]
            assert await site.decisions(4) == ["on", "off"]
            assert [name for name, _, _ in await site.commands(5)] == ["spray_on", "spray_off"]
            await site.later(200)
            assert await site.decisions(5) == ["on", "paused", "resumed"]


async def test_a_sprayer_that_shows_another_state_was_switched_by_hand(
    settings: Settings, clock: FakeClock, tmp_path: Path
) -> None:
    def shows(state: float, mode: float = 0.0) -> Sequence[tuple[int, float, dict[str, float]]]:
        return [(4, clock.monotonic(), {"state": state, "mode": mode})]

    async with world(settings, clock, tmp_path, PM10) as built:
        site = await site_of(built, clock, tmp_path)
        async with built.engine(linker=site.linker):
            await site.pm10(200)
            await built.until(1)
            # Before it has replied its state says nothing.
            await built.publish(batch(shows(0), arrived=clock.monotonic(), kind="sprayer"))
            await site.later(1)
            await site.reply(4)
            await site.later(1)
            assert await site.decisions(4) == ["on"]
            await built.publish(batch(shows(1), arrived=clock.monotonic(), kind="sprayer"))
            await site.later(1)
            assert await site.decisions(4) == ["on"]
            await built.publish(batch(shows(0), arrived=clock.monotonic(), kind="sprayer"))
            await site.later(1)
            await site.later(1)
            assert await site.decisions(4) == ["on", "paused"]
            (noted,) = await built.rows("SELECT reason FROM linkage_decision WHERE decision = 'paused'")
            assert noted["reason"] == "somebody switched the device"


async def test_what_was_taken_before_the_reply_is_no_hand(settings: Settings, clock: FakeClock, tmp_path: Path) -> None:
    async with world(settings, clock, tmp_path, PM10) as built:
        site = await site_of(built, clock, tmp_path)
        async with built.engine(linker=site.linker):
            await site.pm10(200)
            await built.until(1)
            before = clock.monotonic()
            await site.later(1)
            await site.reply(4)
            await site.later(1)
            # Sent again after a reconnection: taken before the reply, arrived after it.
            old = [(4, before, {"state": 0.0, "mode": 0.0})]
            await built.publish(batch(old, arrived=clock.monotonic(), kind="sprayer"))
            await site.later(1)
            assert await site.decisions(4) == ["on"]


async def test_people_take_a_device_over_and_give_it_back(settings: Settings, clock: FakeClock, tmp_path: Path) -> None:
    async with world(settings, clock, tmp_path, PM10) as built:
        site = await site_of(built, clock, tmp_path)
        async with built.engine(linker=site.linker):
            now = clock.now()
            await take_over(built.connection, 4, by="p1", at=now, until=now + timedelta(seconds=600))
            await site.pm10(200)
            await built.until(1)
            assert await site.commands(4) == []
            assert await site.decisions(4) == ["paused"]
            shown = await standing(built.connection, [4, 5, 6], now=clock.now())
            assert (shown[4]["override_by"], shown[4]["is_on"]) == ("p1", False)
            assert (shown[5]["override_by"], shown[5]["is_on"]) == (None, True)
            assert shown[6]["linkage"] is None
            await site.later(5)
            now = clock.now()
            await take_over(built.connection, 4, by="p1", at=now, until=now)
            await site.later(1)
            await site.later(1)
            assert await site.decisions(4) == ["paused", "resumed", "on"]
            told = await decisions(built.connection, [4], limit=2)
            assert [(one["decision"], one["code"], one["facts"]) for one in told] == [
                ("on", "alert_open", {}),
                ("resumed", "given_back", {"by": "p1"}),
            ]
            assert told[0]["alert_id"] == 1


def test_what_people_commanded_before_is_not_looked_at_again() -> None:
    now: datetime = FakeClock().now()
    held, decision = decide(None, A, [Demand(A, 3)], Seen(newest_command=9), now)
    assert held == Held(linkage="a", is_on=True, since=now, off_command="spray_off", seen_command=9, withheld_alert=3)
    assert decision == Decision(
        what="on", linkage="a", why=Why("alert_open", "alert 3 is open"), alert=3, command="spray_on"
    )
