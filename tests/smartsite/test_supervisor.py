from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from core.clock import SystemClock
from core.errors import Unavailable
from smartsite.process import EXIT_CONFIGURATION, Process, ProcessSpec
from smartsite.restarts import RestartPolicy
from smartsite.supervisor import Supervisor
from tests.support.wait import eventually

SLEEP = (sys.executable, "-c", "import time; time.sleep(600)")


class Output:
    """Collects what the processes print."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []

    def __call__(self, name: str, line: str) -> None:
        self.lines.append((name, line))


def python(name: str, code: str, *, output: Output | None = None, grace_s: float = 10.0) -> Process:
    spec = ProcessSpec(name=name, command=(sys.executable, "-c", code), grace_s=grace_s)
    return Process(spec, sink=output or Output())


@pytest.fixture
async def supervisor(tmp_path: Path) -> AsyncIterator[Supervisor]:
    made = Supervisor(
        clock=SystemClock(),
        board=tmp_path / "parts.json",
        policy=lambda: RestartPolicy(budget=3, first_delay_s=0.01, slow_delay_s=600),
    )
    yield made
    await made.shut_down()


async def test_killed_process_comes_back(supervisor: Supervisor, tmp_path: Path) -> None:
    part = python("sleeper", "import time; time.sleep(600)")
    await supervisor.launch(part)
    first = supervisor.kill("sleeper")
    await eventually(lambda: part.pid not in (None, first) and supervisor.states["sleeper"].state == "running")
    state = supervisor.states["sleeper"]
    assert (state.restarts, state.last_end) == (1, "killed by SIGKILL")
    board = json.loads((tmp_path / "parts.json").read_text())
    assert board["parts"][0] == {
        "name": "sleeper",
        "state": "running",
        "pid": part.pid,
        "restarts": 1,
        "last_end": "killed by SIGKILL",
        "since": state.since,
    }


async def test_budget_spent_is_shown_as_failing(supervisor: Supervisor) -> None:
    await supervisor.launch(python("crasher", "raise SystemExit(3)"))
    await eventually(lambda: supervisor.states["crasher"].state == "failing")
    assert supervisor.states["crasher"].restarts == 3
    assert supervisor.states["crasher"].last_end == "exited with status 3"


async def test_wrong_settings_are_failing_at_once(supervisor: Supervisor) -> None:
    await supervisor.launch(python("lost", f"raise SystemExit({EXIT_CONFIGURATION})"))
    await eventually(lambda: supervisor.states["lost"].state == "failing")
    assert supervisor.states["lost"].restarts == 0


async def test_program_that_is_missing_is_an_error_at_launch(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    with pytest.raises(Unavailable, match="ghost cannot be started"):
        await supervisor.launch(Process(ProcessSpec(name="ghost", command=SLEEP), sink=Output()))


async def test_shut_down_is_in_reverse_order(supervisor: Supervisor) -> None:
    output = Output()
    code = """
import signal, sys
signal.signal(signal.SIGTERM, lambda *_: (print('bye'), sys.exit()))
print('up', flush=True)
signal.pause()
"""
    for name in ("first", "second", "third"):
        await supervisor.launch(python(name, code, output=output))
    await eventually(lambda: len([line for _, line in output.lines if line == "up"]) == 3)
    await supervisor.shut_down()
    assert [name for name, line in output.lines if line == "bye"] == ["third", "second", "first"]
    assert {state.state for state in supervisor.states.values()} == {"stopped"}


async def test_process_that_will_not_stop_is_killed(supervisor: Supervisor) -> None:
    output = Output()
    code = (
        "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('up', flush=True)\ntime.sleep(600)"
    )
    await supervisor.launch(python("deaf", code, output=output, grace_s=0.2))
    await eventually(lambda: ("deaf", "up") in output.lines)
    await supervisor.end("deaf")
    assert output.lines[-1] == ("deaf", "did not stop within 0.2 s: killed")


async def test_ended_part_stays_ended(supervisor: Supervisor) -> None:
    part = python("sleeper", "import time; time.sleep(600)")
    await supervisor.launch(part)
    await supervisor.end("sleeper")
    assert part.pid is None
    assert supervisor.states["sleeper"].state == "stopped"


async def test_output_is_split_into_lines_however_long(supervisor: Supervisor) -> None:
    output = Output()
    await supervisor.launch(
        python("loud", "print('a' * 200_000 + '\\nb', end='')\nimport time; time.sleep(600)", output=output)
    )
    await eventually(lambda: sum(len(line) for _, line in output.lines) >= 200_000)
    await supervisor.end("loud")
    assert output.lines[-1] == ("loud", "b")


async def test_children_of_a_process_go_with_it(supervisor: Supervisor) -> None:
    output = Output()
    code = f"import subprocess, time\nprint(subprocess.Popen({list(SLEEP)!r}).pid, flush=True)\ntime.sleep(600)"
    await supervisor.launch(python("parent", code, output=output))
    await eventually(lambda: output.lines)
    child = int(output.lines[0][1])
    await supervisor.end("parent")
    await eventually(lambda: not alive(child))


async def test_nothing_outlives_a_killed_supervisor(tmp_path: Path) -> None:
    code = f"""
import asyncio, sys
from pathlib import Path
from core.clock import SystemClock
from smartsite.process import Process, ProcessSpec
from smartsite.supervisor import Supervisor
async def main():
    supervisor = Supervisor(clock=SystemClock(), board=Path({str(tmp_path / "parts.json")!r}))
    part = Process(ProcessSpec(name="sleeper", command={SLEEP!r}))
    await supervisor.launch(part)
    print(part.pid, flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        child = int(owner.stdout.readline())
        assert alive(child)
        os.kill(owner.pid, signal.SIGKILL)
        owner.wait()
    await eventually(lambda: not alive(child))


def alive(pid: int) -> bool:
    """Whether the process runs; one that is dead but not yet buried does not."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):  # the second where it ends between opening and reading
        return False
    return status.rpartition(")")[2].split()[0] != "Z"
