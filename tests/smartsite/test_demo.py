"""The whole chain in real processes: the demo as a bounded run, with every process killed on the way."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from dataclasses import astuple
from pathlib import Path
from typing import Any

import pytest

from smartsite.demo.layout import PortBook, choose_ports
from tests.support.wait import eventually

#: In the opening of the schedule, by 45 s, every kind of breach has begun and most are over.
SECONDS = 45


def start(data: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "smartsite", "demo", "--data", str(data), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


async def finish(demo: subprocess.Popen[str], *, within_s: float) -> str:
    output, _ = await asyncio.wait_for(asyncio.to_thread(demo.communicate), within_s)
    return output


def parts(data: Path) -> dict[str, dict[str, Any]]:
    return {part["name"]: part for part in json.loads((data / "run" / "parts.json").read_text())["parts"]}


def running(data: Path, name: str) -> bool:
    board = data / "run" / "parts.json"
    return board.exists() and parts(data).get(name, {}).get("state") == "running"


async def test_run_with_every_process_killed_loses_and_doubles_nothing(open_folder: Path) -> None:
    report = open_folder / "report.json"
    demo = start(open_folder / "demo", "--for", str(SECONDS), "--chaos", "--report", str(report))
    output = await finish(demo, within_s=SECONDS + 180)
    assert demo.returncode == 0, output
    found = json.loads(report.read_text())
    counts = found["counts"]
    assert found["ok"]
    assert (counts["lost"], counts["doubled"]) == (0, 0)
    assert counts["published"] == counts["acknowledged"] == counts["stored"]
    assert [kill["part"] for kill in found["kills"]] == ["ingest", "alerts", "vision", "api", "keeper", "database"]
    assert all(kill["back_after_s"] is not None for kill in found["kills"])
    assert found["latencies_ms"]["publish_to_regulator_accepted"]["count"] > 0


async def test_killed_demo_leaves_nothing_that_stops_the_next(open_folder: Path) -> None:
    data = open_folder / "demo"
    first = start(data)
    await eventually(lambda: running(data, "simulator"), timeout=180)
    pids = [part["pid"] for part in parts(data).values()]
    os.kill(first.pid, signal.SIGKILL)
    await finish(first, within_s=90)
    await eventually(lambda: not any(alive(pid) for pid in pids), timeout=90)

    second = start(data)
    await eventually(lambda: parts(data)["database"]["pid"] not in pids and running(data, "simulator"), timeout=180)
    refused = start(data)
    output = await finish(refused, within_s=180)
    assert refused.returncode == 1
    assert f"in use by process {second.pid}" in output
    second.send_signal(signal.SIGINT)
    output = await finish(second, within_s=180)
    assert second.returncode == 0, output
    assert {part["state"] for part in parts(data).values()} == {"stopped"}


@pytest.mark.needs("broker")
async def test_run_through_a_broker(open_folder: Path) -> None:
    report = open_folder / "report.json"
    demo = start(open_folder / "demo", "--for", "15", "--broker", "--report", str(report))
    output = await finish(demo, within_s=180)
    found = json.loads(report.read_text())
    assert found["mode"] == "broker", output
    assert (found["counts"]["lost"], found["counts"]["doubled"]) == (0, 0)
    assert found["counts"]["published"] == found["counts"]["stored"] > 0
    # Too short for window means and silence, so the verdict names those stages.
    assert demo.returncode == 1
    failed = {stage["name"] for stage in found["stages"] if not stage["ok"]}
    assert "offline alerts" in failed
    assert failed.isdisjoint({"published", "stored", "threshold alerts", "lost", "doubled"})


def test_ports_are_kept_and_no_other_demo_gets_them(tmp_path: Path) -> None:
    memory, book = tmp_path / "ports.json", PortBook(tmp_path / "book")
    first = choose_ports(memory, http=None, book=book)
    assert len(set(astuple(first))) == 5
    # Nobody listens on them at this moment, as after a kill; yet they are another's.
    other_book = PortBook(tmp_path / "book")
    other = choose_ports(tmp_path / "other.json", http=first.http, book=other_book)
    assert set(astuple(other)).isdisjoint(astuple(first))
    other_book.close()
    book.close()
    book = PortBook(tmp_path / "book")
    assert choose_ports(memory, http=None, book=book) == first
    book.close()


def test_port_that_is_listened_on_is_passed_over(tmp_path: Path) -> None:
    book = PortBook(tmp_path / "book")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert choose_ports(tmp_path / "ports.json", http=port, book=book).http != port
    book.close()


def alive(pid: int) -> bool:
    """Whether the process runs; one that is dead but not yet buried does not."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):  # the second where it ends between opening and reading
        return False
    return status.rpartition(")")[2].split()[0] != "Z"
