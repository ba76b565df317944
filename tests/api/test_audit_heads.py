"""Signed heads prove what the chain alone cannot: that its end is still there and that it is the same chain."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from api import audit, heads
from core.settings import Settings
from core.signing import SigningKey
from smartsite.cli import main
from smartsite.keeper import Housekeeping
from tests.api.world import World
from tests.support.clock import FakeClock

DAY = 86_400


async def note(world: World, clock: FakeClock, number: int) -> None:
    await audit.append(
        world.connection, at=clock.now(), actor="a", action="test", thing=f"thing:{number}", detail={"n": number}
    )


@pytest.fixture
async def kept(world: World, settings: Settings, clock: FakeClock) -> Path:
    """Three days of two rows each, and the keeper's head of each day."""
    jobs = Housekeeping(settings, clock)
    for number in range(6):
        await note(world, clock, number)
        await jobs.audit_head(world.connection)
        if number % 2:
            await clock.advance(DAY)
    return settings.audit_dir


async def faults(world: World, settings: Settings) -> list[str]:
    found, wrong = heads.read(settings.audit_dir, [SigningKey.load(settings.signing_key_file).public])
    wrong += await heads.compare(world.connection, found)
    return [f"{one.file.name}: {one.reason}" for one in wrong]


async def test_the_keeper_writes_one_head_a_day(kept: Path, world: World, settings: Settings) -> None:
    found, wrong = heads.read(kept, [SigningKey.load(settings.signing_key_file).public])
    assert not wrong
    assert [head.rows for _, head in found] == [1, 3, 5]
    assert await faults(world, settings) == []


async def test_an_end_that_was_cut_off_shows(kept: Path, world: World, settings: Settings) -> None:
    await world.connection.execute("DELETE FROM audit WHERE id > 4")
    assert (await audit.verify(world.connection)).broken_at is None, "the chain alone holds"
    assert [one.split(":")[0] for one in await faults(world, settings)] == [sorted(kept.iterdir())[2].name]


async def test_a_chain_that_was_written_anew_shows(
    kept: Path, world: World, settings: Settings, clock: FakeClock
) -> None:
    await world.connection.execute("DELETE FROM audit")
    for number in range(6):
        await note(world, clock, number + 10)
    assert (await audit.verify(world.connection)).broken_at is None, "the chain alone holds"
    assert len(await faults(world, settings)) == 3


async def test_a_head_that_was_changed_or_signed_by_others_shows(
    kept: Path, world: World, settings: Settings, tmp_path: Path, clock: FakeClock
) -> None:
    first, second, _third = sorted(kept.glob("head-*.json"))
    first.write_text(first.read_text().replace('"rows": 1', '"rows": 2'))
    second.unlink()
    await heads.write(world.connection, tmp_path / "forged", SigningKey.load(tmp_path / "other.pem"), clock)
    (tmp_path / "forged" / f"head-{clock.now():%Y-%m-%d}.json").rename(second)
    told = await faults(world, settings)
    assert len(told) == 2
    assert "changed since" in told[0]
    assert "not the platform's" in told[1]


def verify(settings: Settings, monkeypatch: pytest.MonkeyPatch, *more: str) -> int:
    monkeypatch.setenv("SMARTSITE_CONFIG", "")
    monkeypatch.setenv("SMARTSITE_DATA_DIR", str(settings.data_dir))
    monkeypatch.setenv("SMARTSITE_DATABASE__URL", settings.database.url.get_secret_value())
    return main(["audit", *(more or ("verify",))])


@pytest.mark.parametrize(
    ("change", "status", "told"),
    [
        ("SELECT 1", 0, "the chain holds"),
        ("UPDATE audit SET actor = 'x' WHERE id = 2", 1, "row 2 of the audit log"),
        ("DELETE FROM audit WHERE id = 3", 1, "row 4 of the audit log"),
        ("DELETE FROM audit WHERE id > 4", 1, "cut off"),
    ],
)
def test_the_command_names_what_was_touched(
    audited: Settings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    change: str,
    status: int,
    told: str,
) -> None:
    with psycopg.connect(audited.database.url.get_secret_value(), autocommit=True) as connection:
        connection.execute(change.encode())
    assert verify(audited, monkeypatch) == status
    said = capsys.readouterr()
    assert told in said.out + said.err


@pytest.fixture
def audited(settings: Settings, clock: FakeClock) -> Settings:
    """As `kept`, outside of any event loop: the command has its own."""
    import asyncio

    from core.database import connect

    async def work() -> None:
        jobs = Housekeeping(settings, clock)
        async with await connect(settings.database, application="tests") as connection:
            world = World(connection, clock.now())
            for number in range(6):
                await note(world, clock, number)
                await jobs.audit_head(connection)
                if number % 2:
                    await clock.advance(DAY)

    asyncio.run(work())
    return settings
