"""The running service that most tests here talk to."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from core.settings import Settings
from tests.ingest.alone import Bench
from tests.ingest.plant import Plant, furnish, running, with_ingest
from tests.ingest.raw import RawClient
from tests.support.clock import FakeClock


@pytest.fixture(autouse=True)
async def closed_clients() -> AsyncIterator[None]:
    """Close the raw clients of a test."""
    yield
    await RawClient.close_all()


@pytest.fixture
async def plant(settings: Settings, database_url: str) -> AsyncIterator[Plant]:
    """Ingest with its own endpoint on a free port."""
    await furnish(database_url)
    async with running(with_ingest(settings)) as plant:
        yield plant


@pytest.fixture
async def alone(clock: FakeClock) -> AsyncIterator[Bench]:
    """The endpoint alone."""
    bench = Bench(clock)
    await bench.endpoint.start()
    yield bench
    await bench.endpoint.quiesce()
    await bench.endpoint.close()
