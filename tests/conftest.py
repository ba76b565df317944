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
from psycopg.conninfo import conninfo_to_dict, make_conninfo

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


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a server with an empty, migrated template database called `template_smartsite_<pid>`."""
    given = os.environ.get("SMARTSITE_TEST_DATABASE_URL")
    server = None
    if given is None:
        folder = tmp_path_factory.mktemp("postgres")
        for parent in (folder, *folder.parents):
            if parent.name.startswith("pytest-"):
                parent.chmod(0o755)  # the server runs as another user where the tests run as root
        server = EmbeddedPostgres(folder, durable=False)
        given = server.start()
    template = f"template_smartsite_{os.getpid()}"
    with psycopg.connect(given, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(template)))
    asyncio.run(_migrate(_with_database(given, template)))
    yield given
    with psycopg.connect(given, autocommit=True) as admin:
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(template)))
    if server is not None:
        server.stop()


async def _migrate(url: str) -> None:
    from sensors.profiles import load_profiles
    from sensors.tables import reconcile

    async with await connect(DatabaseSettings(url=url), application="tests") as connection:
        await migrate(connection)
        await reconcile(connection, load_profiles(None))


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
    with psycopg.connect(make_conninfo(postgres), autocommit=True) as admin:
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    """Settings with this test's own database and data folder, every port free."""
    return Settings(data_dir=tmp_path / "data", database=DatabaseSettings(url=database_url))


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()
