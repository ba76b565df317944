"""Real PostgreSQL for every test that asks: one server a test process, one fresh database a test."""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from core.database import connect
from core.migrate import migrate
from core.settings import DatabaseSettings, Settings
from smartsite.postgres import EmbeddedPostgres
from tests.support.clock import FakeClock

_numbers = itertools.count()
REQUIRED = {part for part in os.environ.get("SMARTSITE_REQUIRE", "").split(",") if part}


def _missing(part: str) -> str | None:
    """Why the part is absent, or None where it is there."""
    search = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"
    if part == "broker":
        return None if shutil.which("mosquitto", path=search) else "mosquitto is not installed"
    if part == "browser":
        return None if shutil.which("chromium") else "chromium is not installed"
    if part == "data":
        return None if data_folder().is_dir() else "the data folder (SMARTSITE_DATA) is absent"
    if part == "timescaledb":
        return None if os.environ.get("SMARTSITE_TEST_DATABASE_URL") else "SMARTSITE_TEST_DATABASE_URL is not set"
    return f"nothing is known of the part {part}"


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


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a server that holds a migrated template database called `template_smartsite_<pid>`."""
    given = os.environ.get("SMARTSITE_TEST_DATABASE_URL")
    server = EmbeddedPostgres(let_in(tmp_path_factory.mktemp("postgres")), durable=False) if given is None else None
    url = given or ""
    try:
        if server is not None:
            url = server.start()
        template = sql.Identifier(f"template_smartsite_{os.getpid()}")
        with psycopg.connect(url, autocommit=True) as admin:
            admin.execute(sql.SQL("CREATE DATABASE {}").format(template))
        asyncio.run(_migrate(_with_database(url, f"template_smartsite_{os.getpid()}")))
        yield url
        with psycopg.connect(url, autocommit=True) as admin:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(template))
    finally:
        if server is not None:
            server.stop()


async def _migrate(url: str) -> None:
    from sensors.profiles import load_profiles
    from sensors.tables import reconcile

    async with await connect(DatabaseSettings(url=url), application="tests") as connection:
        await migrate(connection)
        # Room for readings of today, and of the day on which the fake clock stands.
        await reconcile(connection, load_profiles(None))
        await reconcile(connection, load_profiles(None), now=FakeClock().now())


def _with_database(url: str, name: str) -> str:
    parts = conninfo_to_dict(url)
    return f"postgresql://{parts['user']}:{parts.get('password', '')}@{parts['host']}:{parts.get('port', 5432)}/{name}"


@pytest.fixture
def database_url(postgres: str) -> Iterator[str]:
    """Address of a fresh, migrated database of this test alone."""
    name = f"test_{os.getpid()}_{next(_numbers)}"
    with psycopg.connect(postgres, autocommit=True) as admin:
        admin.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                sql.Identifier(name), sql.Identifier(f"template_smartsite_{os.getpid()}")
            )
        )
    yield _with_database(postgres, name)
    with psycopg.connect(postgres, autocommit=True) as admin:
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def open_folder(tmp_path: Path) -> Path:
    """A temporary folder in which an embedded server can keep its data."""
    return let_in(tmp_path)


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    """Settings with this test's own database and data folder, every port free."""
    return Settings(data_dir=tmp_path / "data", database=DatabaseSettings(url=database_url))


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()
