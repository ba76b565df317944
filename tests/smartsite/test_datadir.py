from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from core.errors import ConfigurationError, Conflict
from smartsite.datadir import DataDirectory

HOLD = """
import sys
from pathlib import Path
from smartsite.datadir import DataDirectory
with DataDirectory(Path(sys.argv[1])):
    print('held', flush=True)
    sys.stdin.read()
"""


def test_second_holder_is_told_who_holds_it(tmp_path: Path) -> None:
    with (
        DataDirectory(tmp_path),
        pytest.raises(Conflict, match=f"in use by process {os.getpid()}"),
        DataDirectory(tmp_path),
    ):
        pass


def test_lock_of_a_killed_holder_is_free(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(Conflict), DataDirectory(tmp_path):
            pass
        holder.kill()
    with DataDirectory(tmp_path):
        pass


def test_metrics_of_the_last_run_are_cleared(tmp_path: Path) -> None:
    with DataDirectory(tmp_path) as directory:
        directory.clear_metrics()
        (directory.metrics / "counter_1.db").write_bytes(b"old")
        directory.clear_metrics()
        assert list(directory.metrics.iterdir()) == []


def test_folder_that_cannot_be_made_names_the_setting(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError) as caught, DataDirectory(tmp_path / "file"):
        pass
    assert "SMARTSITE_DATA_DIR" in caught.value.hint
