"""What a target requires of sites and devices, and the list of what is missing."""

from __future__ import annotations

import pytest

from alerts.registration import LABELS, missing, missing_everywhere
from core.settings import Registration, Settings
from smartsite.doctor import registration
from tests.alerts.outgoing import target, with_targets, world
from tests.support.clock import FakeClock

ALL = [*LABELS]


def test_every_requirement_has_a_name_in_the_field() -> None:
    assert list(Registration.__args__) == ALL  # type: ignore[attr-defined]


async def test_what_is_missing_is_listed_by_site_and_device(settings: Settings, clock: FakeClock) -> None:
    async with world(settings, clock) as place:
        to = target("http://x", requires=ALL)
        site, device = place.registry.sites[place.site_id], place.registry.devices[place.device_id]
        assert missing(to, site, place.registry, device) == [
            "site east has no supervision_number (安全监督登记号)",
            "site east has no region_code (行政区划代码)",
            "site east has no coordinates (经纬度)",
            "site east has no builder (建设单位统一社会信用代码)",
            "site east has no contractor (施工单位统一社会信用代码)",
            "site east has no supervisor (监理单位统一社会信用代码)",
        ]
        await place.connection.execute(
            "UPDATE site SET supervision_number = 'S', region_code = '510107', latitude = 30, longitude = 104"
        )
        for role in ("builder", "contractor", "supervisor"):
            unit = await place.insert("unit", code=role, name=role, credit_code="" if role == "builder" else "9X")
            await place.connection.execute("INSERT INTO site_unit VALUES (%s, %s, %s)", (place.site_id, unit, role))
        await place.connection.execute("UPDATE device SET record_number = ''")
        await place.reload()
        # Once a site, once a device; a camera has no record number to have.
        assert missing_everywhere(to, place.registry) == [
            "site east has no builder (建设单位统一社会信用代码)",
            "device east/dust-1 has no record_number (设备备案号)",
        ]
        assert missing_everywhere(target("http://x", requires=ALL, sites=["west"]), place.registry) == []


@pytest.mark.parametrize(
    ("changes", "level", "words"),
    [
        ({}, "ok", "its sites have all that it requires"),
        ({"requires": ["coordinates"]}, "fail", "site east has no coordinates (经纬度)"),
    ],
)
async def test_the_doctor_lists_it(
    settings: Settings, clock: FakeClock, changes: dict[str, list[str]], level: str, words: str
) -> None:
    settings = with_targets(settings, target("http://x", **changes))
    async with world(settings, clock):
        (finding,) = [finding async for finding in registration.examine(settings)]
    assert (finding.subject, finding.level, finding.fact) == ("target bureau", level, words)
    assert bool(finding.remedy) == (level == "fail")


async def test_the_doctor_tells_of_silence_and_of_what_waits(settings: Settings, clock: FakeClock) -> None:
    settings = with_targets(settings, target("http://x"))
    async with world(settings, clock) as place:
        await place.enqueue(await place.alert())
        await place.connection.execute("UPDATE delivery SET state = 'uncertain'")
        await place.connection.execute(
            "INSERT INTO target_state (target, opened_at, reason) VALUES ('bureau', %s, 'not reached')", [clock.now()]
        )
        found = [finding async for finding in registration.examine(settings)]
    assert [finding.fact for finding in found[1:]] == [
        "does not answer since 2026-08-01 08:00Z: not reached",
        "1 deliveries wait for a person",
    ]


def test_the_doctor_tells_of_options_that_an_adapter_refuses(settings: Settings, clock: FakeClock) -> None:
    settings = with_targets(settings, target("http://x"), target("http://y", name="city", adapter="form"))
    (finding,) = registration.examine_targets(settings, clock=clock)
    assert (finding.subject, finding.level) == ("target city", "fail")
    assert "options.messages: Field required" in finding.fact
    assert "smartsite.toml" in finding.remedy
