"""Moving a camera by ONVIF against a camera that speaks it over HTTP, well and badly."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import httpx
import pytest
from pydantic import ValidationError

from core.clock import SystemClock
from core.settings import CameraSettings
from tests.support.onvif import FakeCamera, Mood, fake_camera
from vision.onvif import Address, OnvifCamera, Preset, Velocity, address_of
from vision.soap import OnvifError, Reason


@pytest.fixture
async def fake() -> AsyncIterator[FakeCamera]:
    async with fake_camera() as running:
        yield running


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(trust_env=False) as client:
        yield client


def camera_at(fake: FakeCamera, http: httpx.AsyncClient, *, call_s: float = 10, **options: str) -> OnvifCamera:
    address = address_of(fake.stream, CameraSettings.model_validate({"onvif": fake.service, **options}))
    assert address is not None
    return OnvifCamera(address, http, clock=SystemClock(), call_s=call_s)


async def test_it_moves_stops_and_keeps_positions(fake: FakeCamera, http: httpx.AsyncClient) -> None:
    camera = camera_at(fake, http)
    await camera.move(Velocity(pan=0.5, tilt=-1, zoom=0.25), timeout_s=30)
    assert fake.moving
    assert (fake.orders[0].velocity, fake.orders[0].timeout_s) == ((0.5, -1, 0.25), 30)
    await camera.stop()
    assert not fake.moving
    assert await camera.presets() == [Preset("1", "Gate"), Preset("2", "塔吊")]
    await camera.go("2")
    assert (fake.orders[-1].name, fake.orders[-1].preset) == ("GotoPreset", "2")
    assert await camera.save("North <fence>") == Preset("3", "North <fence>")
    # The same name again is the same position, told anew.
    assert (await camera.save("Gate")).token == "1"
    assert list(fake.presets) == ["1", "2", "3"]
    # What it can was asked once: a stop is one call.
    assert fake.asked.count("GetProfiles") == 1


@pytest.mark.parametrize("ahead", [timedelta(days=-400), timedelta(hours=8)])
async def test_a_camera_with_a_wrong_clock_is_spoken_to_by_its_own(
    fake: FakeCamera, http: httpx.AsyncClient, ahead: timedelta
) -> None:
    fake.ahead = ahead
    await camera_at(fake, http).stop()
    assert fake.names == ["Stop"]


async def test_a_clock_that_is_set_meanwhile_is_read_again(fake: FakeCamera, http: httpx.AsyncClient) -> None:
    camera = camera_at(fake, http)
    await camera.stop()
    fake.ahead = timedelta(hours=1)
    with pytest.raises(OnvifError, match="refuses this user"):
        await camera.stop()
    await camera.stop()
    assert fake.names == ["Stop", "Stop"]


async def test_an_older_camera_is_asked_the_older_question(fake: FakeCamera, http: httpx.AsyncClient) -> None:
    fake.old = True
    await camera_at(fake, http).stop()
    assert fake.names == ["Stop"]


async def test_only_axes_that_there_are_are_ordered(fake: FakeCamera, http: httpx.AsyncClient) -> None:
    camera = camera_at(fake, http, onvif_profile="zoom")
    ability = await camera.ability()
    assert (ability.profile, ability.pan_tilt, ability.zoom) == ("zoom", False, True)
    await camera.move(Velocity(pan=1, zoom=1), timeout_s=1)
    assert fake.orders[0].velocity == (0, 0, 1)


async def reason_of(camera: OnvifCamera) -> Reason:
    with pytest.raises(OnvifError) as caught:
        await camera.stop()
    assert "p@ss" not in str(caught.value)
    return caught.value.reason


@pytest.mark.parametrize(
    ("mood", "reason"),
    [
        ("garbage", "not_understood"),
        ("bomb", "not_understood"),
        ("huge", "not_understood"),
        ("html", "not_understood"),
        ("empty", "not_understood"),
        ("fault", "fault"),
    ],
)
async def test_bad_answers_have_a_reason(fake: FakeCamera, http: httpx.AsyncClient, mood: Mood, reason: Reason) -> None:
    camera = camera_at(fake, http)
    fake.moods["Stop"] = mood
    assert await reason_of(camera) == reason
    # Nothing of it sticks.
    fake.moods.clear()
    await camera.stop()
    fake.moods["*"] = mood
    assert await reason_of(camera_at(fake, http)) == reason


async def test_who_does_not_answer_is_not_waited_for(fake: FakeCamera, http: httpx.AsyncClient) -> None:
    fake.moods["GetProfiles"] = "hang"
    assert await reason_of(camera_at(fake, http, call_s=0.5)) == "time_out"
    await fake.die()
    assert await reason_of(camera_at(fake, http)) == "unreachable"


async def test_a_wrong_password_is_told(fake: FakeCamera, http: httpx.AsyncClient) -> None:
    wrong = OnvifCamera(Address(fake.service, "admin", "other"), http, clock=SystemClock(), call_s=10)
    assert await reason_of(wrong) == "wrong_password"


async def test_a_camera_that_cannot_be_moved_says_so(fake: FakeCamera, http: httpx.AsyncClient) -> None:
    assert await reason_of(camera_at(fake, http, onvif_profile="fixed")) == "no_ptz"
    fake.movable = False
    assert await reason_of(camera_at(fake, http)) == "no_ptz"


def test_the_address_is_that_of_the_streams_host_and_its_password_goes_nowhere_else() -> None:
    def found(url: str, **options: str) -> Address | None:
        return address_of(url, CameraSettings.model_validate(options))

    stream = "rtsp://li:a%40b@10.0.0.8:554/s1"
    assert found(stream) == Address("http://10.0.0.8/onvif/device_service", "li", "a@b")
    assert found("rtsp://[fd00::8]/s1") == Address("http://[fd00::8]/onvif/device_service", "", "")
    assert found(stream, onvif="http://10.0.0.8:8080/x", onvif_profile="p") == Address(
        "http://10.0.0.8:8080/x", "li", "a@b", "p"
    )
    assert found(stream, onvif="http://10.0.0.9/x") == Address("http://10.0.0.9/x", "", "")
    assert found(stream, onvif="off") is None
    for url in ("0", "/videos/gate.mp4", "rtsp://[broken/s1"):
        assert found(url) is None
    assert "a@b" not in repr(found(stream))


@pytest.mark.parametrize("address", ["10.0.0.8", "ftp://10.0.0.8/x", "http://li:secret@10.0.0.8/x", "http:///x"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(ValidationError):
        CameraSettings(onvif=address)
