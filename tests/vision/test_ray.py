"""Vision workers on a Ray cluster of several nodes, of which one is killed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import psycopg
import pytest

from core.database import connect
from core.settings import Settings
from smartsite.demo.rtsp import RtspServer
from tests.support.wait import eventually
from tests.vision.test_leases import add_cameras
from vision.service import serve

pytestmark = [pytest.mark.needs("ray"), pytest.mark.filterwarnings("ignore")]


@pytest.fixture
async def database(settings: Settings) -> AsyncIterator[psycopg.AsyncConnection]:
    async with await connect(settings.database, application="test") as connection:
        yield connection


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A head without room for actors, and two nodes with room for one each."""
    # By itself Ray gives its workers a share of a busy machine that no picture in time can be had of.
    monkeypatch.setenv("RAY_worker_niceness", "0")
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        for _ in range(2):
            cluster.add_node(num_cpus=1, wait=False)
        cluster.wait_for_nodes(timeout=120)
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()


async def test_the_cameras_of_a_dead_node_go_on_at_another(
    settings: Settings, database: psycopg.AsyncConnection, rtsp: RtspServer, cluster: Any
) -> None:
    await add_cameras(database, [f"rtsp://127.0.0.1:{rtsp.port}/tiny"] * 2)
    vision = settings.vision.model_copy(update={"workers": 2, "ray_address": cluster.address})
    stop = asyncio.Event()
    running = asyncio.create_task(serve(settings.model_copy(update={"vision": vision}), stop))

    async def at_work() -> dict[str, int]:
        """Cameras that deliver at this moment, by their worker."""
        cursor = await database.execute(
            "SELECT l.worker, count(*) FROM camera_lease l JOIN camera_state s USING (camera_id) "
            "WHERE s.state = 'online' AND s.updated_at > now() - interval '5 s' GROUP BY 1"
        )
        return dict(await cursor.fetchall())

    async def settled(workers: int) -> dict[str, int]:
        if running.done():
            running.result()
        found = await at_work()
        return found if len(found) == workers and sum(found.values()) == 2 else {}

    try:
        both = await eventually(lambda: settled(2), timeout=150, every=0.3)
        assert set(both) == {"vision-1-ray1", "vision-1-ray2"}
        await asyncio.to_thread(cluster.remove_node, cluster.list_all_nodes()[-1], allow_graceful=False)
        left = await eventually(lambda: settled(1), timeout=120, every=0.3)
        assert set(left) < set(both)
        # Room again: the lost worker is made anew there and gets its part.
        cluster.add_node(num_cpus=1, wait=False)  # not in a thread: it minds signals
        assert set(await eventually(lambda: settled(2), timeout=150, every=0.3)) == set(both)
    finally:
        # Before the cluster ends: whoever calls an actor later would have Ray begin one of its own.
        stop.set()
        await asyncio.wait_for(running, 60)

    async def given_back() -> bool:
        return not await at_work() and not await (await database.execute("SELECT 1 FROM worker")).fetchall()

    await eventually(given_back, timeout=30)
