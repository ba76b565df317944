"""The embedded PostgreSQL: what is acknowledged stays, whatever is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psycopg

from smartsite.postgres import EmbeddedPostgres
from tests.support.ports import free_port
from tests.support.wait import eventually

_OWNER = """
import pathlib, sys, psycopg
from smartsite.postgres import EmbeddedPostgres
server = EmbeddedPostgres(pathlib.Path(sys.argv[1]))
with psycopg.connect(server.start(), autocommit=True) as connection:
    connection.execute("CREATE TABLE kept (n int)")
    connection.execute("INSERT INTO kept VALUES (7)")
print(server.pid, flush=True)
sys.stdin.read()
"""


async def test_a_killed_server_comes_back_on_the_same_address(open_folder: Path) -> None:
    server = EmbeddedPostgres(open_folder, port=free_port())
    url = server.start()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS n")
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    await eventually(lambda: not server.is_running())
    assert server.start() == url
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT n FROM kept").fetchone() == (42,)
    server.stop()
    assert not server.is_running()


async def test_a_killed_owner_leaves_nothing_that_stops_the_next_start(open_folder: Path) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", _OWNER, str(open_folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None
    pid = int(owner.stdout.readline())
    owner.kill()
    owner.communicate()
    server = EmbeddedPostgres(open_folder, port=free_port())
    with psycopg.connect(server.start()) as connection:
        assert connection.execute("SELECT n FROM kept").fetchone() == (7,)
    assert server.pid != pid
    server.stop()


def test_a_half_made_cluster_is_made_anew(open_folder: Path) -> None:
    half = open_folder / "postgres" / "cluster.new"
    half.mkdir(parents=True)
    (half / "junk").write_text("killed in the middle of initdb")
    server = EmbeddedPostgres(open_folder, port=free_port())
    server.start()
    assert not half.exists()
    server.stop()


def test_sessions_that_outlive_a_killed_server_are_waited_for(open_folder: Path) -> None:
    server = EmbeddedPostgres(open_folder, port=free_port())
    with psycopg.connect(server.start()) as connection:
        session = connection.info.backend_pid
        os.kill(session, signal.SIGSTOP)  # holds the memory and notices nothing
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
        refused = threading.Event()

        def let_go() -> None:
            log = open_folder / "postgres" / "postgres.log"
            deadline = time.monotonic() + 20
            while time.monotonic() < deadline and not refused.is_set():
                if "pre-existing shared memory block" in log.read_text():
                    refused.set()
                time.sleep(0.01)
            os.kill(session, signal.SIGCONT)

        releasing = threading.Thread(target=let_go)
        releasing.start()
        while server.is_running():
            time.sleep(0.01)
        url = server.start()
        releasing.join()
    assert refused.is_set()
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    server.stop()
