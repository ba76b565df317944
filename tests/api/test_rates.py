"""Who asks too fast is refused for a while; nobody else notices."""

from __future__ import annotations

import httpx
import pytest
from fastapi import FastAPI
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from api.rates import Buckets, Rate
from core.settings import ApiSettings, Settings
from tests.api.conftest import BASE, CookieOf, LogIn
from tests.api.world import World
from tests.support.clock import FakeClock

SITES = "/api/v1/sites"
CALLER, ADDRESS = 20, 12


@pytest.fixture
def settings(settings: Settings) -> Settings:
    api = ApiSettings(
        port=0,
        web_dir=settings.data_dir / "page",
        caller_requests_s=0.01,
        caller_burst=CALLER,
        address_requests_s=0.01,
        address_burst=ADDRESS,
    )
    return settings.model_copy(update={"api": api})


def stranger(app: FastAPI, address: str) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app, client=(address, 40000))
    return httpx.AsyncClient(transport=transport, base_url=BASE)


async def statuses(client: httpx.AsyncClient, count: int, path: str = SITES) -> list[int]:
    return [(await client.get(path)).status_code for _ in range(count)]


async def test_a_flood_is_refused_and_told_when_to_come_again(log_in: LogIn, world: World, clock: FakeClock) -> None:
    flood = await log_in("operator")
    # The first one is counted by its address: nobody knew the session yet.
    assert await statuses(flood, CALLER + 1) == [200] * (CALLER + 1)
    refused = await flood.get(SITES)
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "rate_limited")
    assert refused.headers["retry-after"] == "100"
    assert refused.headers["cache-control"] == "no-store"
    await clock.advance(200)
    assert await statuses(flood, 3) == [200, 200, 429]


async def test_a_flood_of_one_slows_no_other(log_in: LogIn, world: World) -> None:
    flood, other = await log_in("operator"), await log_in("officer")
    assert (await other.get(SITES)).status_code == 200
    assert set(await statuses(flood, 3 * CALLER)) == {200, 429}
    assert await statuses(other, CALLER) == [200] * CALLER


async def test_strangers_at_an_address_cost_those_who_are_logged_in_there_nothing(
    app: FastAPI, log_in: LogIn, visitor: httpx.AsyncClient, world: World
) -> None:
    client = await log_in("operator")
    assert (await client.get(SITES)).status_code == 200
    guesses = [
        (await visitor.get(SITES, headers={"Authorization": f"Bearer sst_{number}"})).status_code
        for number in range(ADDRESS + 5)
    ]
    # The log-in and the session's first request were the address's, too.
    assert guesses == [401] * (ADDRESS - 2) + [429] * 7
    assert (await client.get(SITES)).status_code == 200
    credentials = {"login": "officer", "password": "guess"}
    assert (await visitor.post("/api/v1/session", json=credentials)).status_code == 429
    async with stranger(app, "192.0.2.7") as elsewhere:
        assert (await elsewhere.post("/api/v1/session", json=credentials)).status_code == 401


async def test_a_host_has_no_more_by_using_all_its_ipv6_addresses(app: FastAPI, world: World) -> None:
    found = []
    for number in range(ADDRESS + 1):
        async with stranger(app, f"2001:db8::{number:x}") as client:
            found.append((await client.get(SITES)).status_code)
    assert found == [401] * ADDRESS + [429]
    async with stranger(app, "2001:db8:0:1::1") as neighbour:
        assert (await neighbour.get(SITES)).status_code == 401


async def test_a_token_is_counted_by_itself(log_in: LogIn, visitor: httpx.AsyncClient, world: World) -> None:
    leader = await log_in("leader")
    made = await leader.post("/api/v1/tokens", json={"name": "Grafana", "rights": [], "sites": None, "days": 9})
    assert made.status_code == 201, made.text
    visitor.headers["Authorization"] = f"Bearer {made.json()['token']}"
    assert await statuses(visitor, CALLER + 2) == [200] * (CALLER + 1) + [429]
    assert (await leader.get(SITES)).status_code == 200


async def test_files_of_the_page_and_health_are_not_counted(
    visitor: httpx.AsyncClient, world: World, settings: Settings
) -> None:
    assert settings.api.web_dir is not None
    settings.api.web_dir.mkdir(parents=True)
    (settings.api.web_dir / "index.html").write_text("the page")
    for path in ("/", "/healthz", "/metrics"):
        assert await statuses(visitor, 2 * ADDRESS, path) == [200] * 2 * ADDRESS, path


async def test_openings_of_websockets_are_counted(server: str, cookie_of: CookieOf) -> None:
    headers = await cookie_of("officer")
    ends = []
    for _ in range(2 * CALLER):
        async with connect(f"ws://{server}/api/v1/live", additional_headers=headers, proxy=None) as channel:
            try:
                await channel.recv()
            except ConnectionClosed:
                ends.append((channel.close_code, channel.close_reason))
                break
    assert ends == [(4429, "rate_limited")]


def test_nothing_is_counted_where_no_limit_is_set() -> None:
    buckets = Buckets(Rate(0, 1))
    assert [buckets.take("a", 0.0) for _ in range(100)] == [0.0] * 100


def test_callers_that_were_silent_longest_are_forgotten() -> None:
    buckets = Buckets(Rate(1, 1), most=3)
    for number in range(10):
        buckets.take(str(number), float(number))
    assert len(buckets) == 3
    assert "9" in buckets
    assert "6" not in buckets


def test_the_wait_is_what_it_takes() -> None:
    buckets = Buckets(Rate(10, 5))
    assert [buckets.take("a", 0.0) for _ in range(5)] == [0.0] * 5
    wait = buckets.take("a", 0.0)
    assert wait == pytest.approx(0.1)
    assert buckets.take("a", wait - 0.01) > 0
    assert buckets.take("a", wait + 0.001) == 0
