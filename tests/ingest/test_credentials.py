"""Who waits for argon2, who does not, and what is known after a restart."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ingest import credentials as room
from ingest.credentials import Credentials, Refused, lane_of
from ingest.turns import Busy, Turns
from ingest.verified import Verified
from sensors.credentials import generate_secret, hash_generated, hash_secret
from tests.ingest.plant import HASH, SECRET


def registry_of(**hashes: str) -> Any:
    devices = {
        number: SimpleNamespace(enabled=True, site_id=1, secret_hash=hashed, code=code)
        for number, (code, hashed) in enumerate(hashes.items())
    }
    by_topic = {("A", device.code): device for device in devices.values()}
    current = SimpleNamespace(devices=devices, by_topic=by_topic, sites={1: SimpleNamespace(enabled=True)})
    return SimpleNamespace(current=current)


@pytest.fixture
async def opened() -> AsyncIterator[Any]:
    made: list[Credentials] = []

    def build(file: Path | None = None, **hashes: str) -> Credentials:
        made.append(Credentials(cast("Any", registry_of(**hashes)), remembered=file))
        made[-1].open()
        return made[-1]

    yield build
    for one in made:
        one.close()


@pytest.fixture
def no_argon2(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(hashed: str, secret: str) -> bool:
        if not room.credentials.is_quick(hashed):
            raise AssertionError("argon2 was asked")
        return verify(hashed, secret)

    verify = room.credentials.verify
    monkeypatch.setattr(room.credentials, "verify", refuse)


@pytest.mark.usefixtures("no_argon2")
async def test_a_generated_secret_never_waits(opened: Any) -> None:
    secret = generate_secret()
    checks = opened(d1=hash_generated(secret))
    assert (await checks.check("A/d1", secret.encode())).code == "d1"
    for wrong in (b"", b"wrong", secret[:-1].encode(), b"\xff\xfe"):
        with pytest.raises(Refused, match=r"wrong password|no password"):
            await checks.check("A/d1", wrong)


async def test_a_right_secret_is_known_after_a_restart_and_a_wrong_one_told_at_once(
    opened: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "verified" / "ingest-1"
    first = opened(file, d1=HASH, d2=hash_secret("another secret"))
    await first.check("A/d1", SECRET.encode())
    first.close()
    assert file.stat().st_mode & 0o077 == 0
    assert SECRET.encode() not in file.read_bytes()

    def verify(_hashed: str, secret: str) -> bool:
        asked.append(secret)
        return False

    asked: list[str] = []
    monkeypatch.setattr(room.credentials, "verify", verify)
    again = opened(file, d1=HASH, d2=hash_secret("another secret"))
    await again.check("A/d1", SECRET.encode())
    for guess in range(20):
        with pytest.raises(Refused):
            await again.check("A/d1", b"guess %d" % guess)
    assert asked == []
    with pytest.raises(Refused):
        await again.check("A/d2", b"guess")
    assert asked == ["guess"]


async def test_a_changed_secret_is_a_new_question(opened: Any, tmp_path: Path) -> None:
    file = tmp_path / "verified"
    first = opened(file, d1=HASH)
    await first.check("A/d1", SECRET.encode())
    first.close()
    again = opened(file, d1=hash_secret("the new secret"))
    with pytest.raises(Refused):
        await again.check("A/d1", SECRET.encode())
    await again.check("A/d1", b"the new secret")


def test_a_damaged_file_keeps_nobody_out(tmp_path: Path) -> None:
    file = tmp_path / "verified"
    known = Verified(file)
    known.open(["one", "two"])
    known.add("one", b"1")
    known.add("two", b"2")
    known.close()
    whole = file.read_bytes()
    for at in range(len(whole)):
        for damaged in (whole[:at], whole[:at] + bytes((whole[at] ^ 0x10,)) + whole[at + 1 :]):
            file.write_bytes(damaged)
            after = Verified(file)
            after.open(["one", "two"])
            assert after.knows("one", b"1") in (True, None)
            assert after.knows("two", b"2") in (True, None)
            after.close()


def test_a_folder_that_cannot_be_written_costs_nothing_but_time(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    known = Verified(tmp_path / "file" / "verified")
    known.open(["one"])
    known.add("one", b"1")
    assert known.knows("one", b"1")
    known.close()


class Gate:
    """A slow check: nothing is answered before the gate opens."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.order: list[str] = []

    def verify(self, _hashed: str, secret: str) -> bool:
        assert self.opened.wait(20)
        self.order.append(secret)
        return True


async def test_addresses_take_turns_and_who_floods_pushes_out_itself() -> None:
    gate = Gate()
    turns = Turns(gate.verify, threads=1, waiting=50)
    try:
        flood = [asyncio.create_task(turns.ask("attacker", "h", f"guess {n}")) for n in range(200)]
        await asyncio.sleep(0)
        good = [asyncio.create_task(turns.ask(f"site {n}", "h", f"good {n}")) for n in range(10)]
        await asyncio.sleep(0)
        gate.opened.set()
        assert await asyncio.gather(*good) == [True] * 10
        answers = await asyncio.gather(*flood, return_exceptions=True)
        # One was being checked, fifty waited, ten of which made room.
        assert sum(answer is True for answer in answers) == 41
        assert all(isinstance(answer, Busy) for answer in answers if answer is not True)
        # Each good one stood behind at most one guess for each turn of all lanes.
        assert max(gate.order.index(f"good {n}") for n in range(10)) <= 12
    finally:
        turns.close()


async def test_a_crowd_of_single_addresses_is_told_to_come_again() -> None:
    gate = Gate()
    turns = Turns(gate.verify, threads=1, waiting=5)
    try:
        asked = [asyncio.create_task(turns.ask(f"site {n}", "h", str(n))) for n in range(20)]
        await asyncio.sleep(0)
        gate.opened.set()
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert [answer is True for answer in answers] == [True] * 6 + [False] * 14
    finally:
        turns.close()


@pytest.mark.parametrize(
    ("peer", "lane"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("", ""),
    ],
)
def test_of_ipv6_a_network_counts_as_one_address(peer: str, lane: str) -> None:
    assert lane_of(peer) == lane
