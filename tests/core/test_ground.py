"""Clock, named SQL, migrations, evidence, log lines."""

from __future__ import annotations

import asyncio
import json
import logging
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.clock import from_micros, micros
from core.database import Reconnecting, connect, is_outage
from core.errors import ConfigurationError, NotFound
from core.evidence import EvidenceStore, record
from core.logs import JsonFormatter, redact
from core.migrate import available, migrate, pending
from core.settings import Settings
from core.sql import queries
from tests.support.clock import FakeClock


@given(st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(2200, 1, 1)))  # noqa: DTZ001
def test_micros_round_trip(moment: datetime) -> None:
    aware = moment.replace(tzinfo=UTC)
    assert from_micros(micros(aware)) == aware


def test_every_room_has_readable_named_sql() -> None:
    assert queries("core")["log_ring"] == "SELECT pg_notify('smartsite_log', %(writer)s)"


async def test_migrating_twice_does_nothing_and_an_edited_migration_is_refused(settings: Settings) -> None:
    async with await connect(settings.database, application="test") as connection:
        assert await migrate(connection) == []
        await connection.execute("UPDATE migration SET sha256 = 'other' WHERE room = 'core' AND number = 1")
        with pytest.raises(ConfigurationError, match="differs"):
            await pending(connection)
        await connection.execute("DELETE FROM migration WHERE room = 'api'")
        names = {migration.room for migration in available() if migration.room == "api"}
        assert names == {"api"}


async def test_evidence_is_stored_once_under_its_digest(settings: Settings, tmp_path: Path) -> None:
    store = EvidenceStore(tmp_path / "evidence")
    first, second = store.put(b"picture", "image/jpeg"), store.put(b"picture", "image/jpeg")
    assert first == second
    assert store.open(first.sha256).read_bytes() == b"picture"
    assert [path.name for path in (tmp_path / "evidence").rglob("*") if path.is_file()] == [first.sha256]
    async with await connect(settings.database, application="test") as connection:
        await record(connection, first)
        await record(connection, first)
    with pytest.raises(NotFound):
        store.open("../../etc/passwd")
    with pytest.raises(NotFound):
        store.open("0" * 64)


def test_log_lines_tell_no_secret() -> None:
    line = logging.makeLogRecord(
        {"msg": "cannot open rtsp://admin:hunter2@10.0.0.1/1", "levelname": "ERROR", "name": "x", "url": "token=abc123"}
    )
    shown = JsonFormatter("test").format(line)
    assert "hunter2" not in shown
    assert "abc123" not in shown
    assert json.loads(shown)["message"] == "cannot open rtsp://admin:***@10.0.0.1/1"
    assert redact("rtsp://admin:p@ss@h/x, rtsp://b:c@h2/y") == "rtsp://admin:***@h/x, rtsp://b:***@h2/y"
    assert redact("signed with whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw") == "signed with whsec_***"


async def test_a_lost_connection_is_opened_again(settings: Settings) -> None:
    keeper = Reconnecting(settings.database, application="test", clock=FakeClock())
    async with keeper.connection() as connection:
        row = await (await connection.execute("SELECT pg_backend_pid()")).fetchone()
    assert row is not None
    async with await connect(settings.database, application="killer") as killer:
        await killer.execute("SELECT pg_terminate_backend(%s)", [row[0]])
    with pytest.raises(psycopg.Error) as caught:
        async with keeper.connection() as connection:
            await connection.execute("SELECT 1")
    assert is_outage(caught.value)
    async with keeper.connection() as connection:
        assert await (await connection.execute("SELECT 1")).fetchone() == (1,)
    await keeper.close()


async def test_tasks_that_share_a_connection_take_turns(settings: Settings) -> None:
    keeper = Reconnecting(settings.database, application="shared", clock=FakeClock())

    async def work() -> int:
        async with keeper.connection() as connection, connection.transaction():
            row = await (await connection.execute("SELECT pg_backend_pid()")).fetchone()
            await asyncio.sleep(0)
            await connection.execute("SELECT 1")
        assert row is not None
        return int(row[0])

    assert len(set(await asyncio.gather(*(work() for _ in range(5))))) == 1
    await keeper.close()


def test_a_wrong_statement_is_no_outage() -> None:
    assert not is_outage(psycopg.errors.UndefinedTable("no table"))
    assert not is_outage(psycopg.errors.DiskFull("disk"))
    assert is_outage(psycopg.errors.AdminShutdown("going down"))
    assert is_outage(psycopg.InterfaceError("the connection is closed"))
