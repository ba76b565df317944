"""The spool by itself: order, limits, torn tails, what a crash leaves."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ingest import spool as room
from ingest.spool import Spool
from ingest.spooled import messages, records
from sensors.codec_json import Decoded, Reject
from sensors.codec_json import Message as Reading
from sensors.hj212.decode import Statistic
from tests.ingest.messages import device, message


def bodies(start: int, count: int) -> list[bytes]:
    return [b"%06d" % number * 10 for number in range(start, start + count)]


def everything(spool: Spool) -> list[bytes]:
    found = []
    while spool.pending:
        some, end = spool.read(7, 1 << 20)
        found += some
        spool.release(end)
    return found


def test_records_come_out_in_order_over_segments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "SEGMENT_BYTES", 500)
    spool = Spool(tmp_path, limit_bytes=1 << 20)
    for start in range(0, 50, 5):
        spool.append(bodies(start, 5))
    assert len(list(tmp_path.glob("*.segment"))) > 3
    assert everything(spool) == bodies(0, 50)
    assert list(tmp_path.glob("*.segment")) == []
    spool.append(bodies(50, 1))
    assert everything(spool) == bodies(50, 1)
    spool.close()


def test_another_process_goes_on_where_one_was_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "SEGMENT_BYTES", 500)
    first = Spool(tmp_path, limit_bytes=1 << 20)
    first.append(bodies(0, 20))
    first.append(bodies(20, 10))
    _, end = first.read(12, 1 << 20)
    first.release(end)
    first.close()
    second = Spool(tmp_path, limit_bytes=1 << 20)
    second.append(bodies(30, 3))
    assert everything(second) == bodies(12, 21)
    second.close()
    third = Spool(tmp_path, limit_bytes=1 << 20)
    assert third.pending == 0
    third.close()


@pytest.mark.parametrize("cut", [1, 7, 8, 30, 67])
def test_a_torn_tail_is_cut(tmp_path: Path, cut: int) -> None:
    spool = Spool(tmp_path, limit_bytes=1 << 20)
    spool.append(bodies(0, 3))
    spool.close()
    (segment,) = tmp_path.glob("*.segment")
    os.truncate(segment, segment.stat().st_size - cut)
    spool = Spool(tmp_path, limit_bytes=1 << 20)
    spool.append(bodies(7, 1))
    assert everything(spool) == bodies(0, 2) + bodies(7, 1)
    spool.close()


def test_a_damaged_segment_costs_its_rest_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "SEGMENT_BYTES", 200)
    spool = Spool(tmp_path, limit_bytes=1 << 20)
    spool.append(bodies(0, 3))
    spool.append(bodies(3, 3))
    spool.close()
    first = min(tmp_path.glob("*.segment"))
    data = bytearray(first.read_bytes())
    data[80] ^= 1
    first.write_bytes(data)
    spool = Spool(tmp_path, limit_bytes=1 << 20)
    assert everything(spool) == [*bodies(0, 1), b"", *bodies(3, 3)]
    spool.close()


def test_a_batch_that_the_database_has_is_not_stored_again(tmp_path: Path) -> None:
    for last, left in ((7, 2), (6, 5)):
        folder = tmp_path / str(last)
        spool = Spool(folder, limit_bytes=1 << 20)
        spool.append(bodies(0, 5))
        _, end = spool.read(3, 1 << 20)
        spool.mark(7, end)
        spool.close()  # killed between the commit and its word
        spool = Spool(folder, limit_bytes=1 << 20)
        spool.settle(last)
        assert len(everything(spool)) == left
        spool.close()


def test_a_disk_that_is_full_leaves_no_half_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(tmp_path, limit_bytes=1 << 20)
    spool.append(bodies(0, 2))

    def refuse(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(room.os, "fsync", refuse)
        with pytest.raises(OSError, match="No space"):
            spool.append(bodies(2, 2))
    spool.append(bodies(4, 1))
    assert everything(spool) == bodies(0, 2) + bodies(4, 1)
    spool.close()


def test_it_is_full_at_its_limit(tmp_path: Path) -> None:
    spool = Spool(tmp_path, limit_bytes=300)
    spool.append(bodies(0, 4))
    assert not spool.full
    spool.append(bodies(4, 1))
    assert spool.full
    spool.close()


def test_a_message_comes_back_as_it_was() -> None:
    sent = message(b'{"values": {"pm10": 5}}')
    sent.decoded = Decoded([Reading(5, [1.0, float("nan")], bytearray(b"N\0"), {"x": 2.0})], [Reject("r", "d")], False)
    sent.statistics = [Statistic("1h", "pm10", 5, 1.0, 0.5, 2.0, float("nan"), "N")]
    registry = SimpleNamespace(current=SimpleNamespace(devices={device().id: device()}))
    (back,) = messages(records([sent]), cast("Any", registry))
    assert (back.payload, back.arrived, back.origin.device) == (sent.payload, sent.arrived, device())
    assert (back.origin.topic, back.origin.leaf) == (sent.origin.topic, sent.origin.leaf)
    assert back.holder is None
    assert repr(back.decoded) == repr(sent.decoded)
    assert repr(back.statistics) == repr(sent.statistics)
    gone = SimpleNamespace(current=SimpleNamespace(devices={}))
    (refused,) = messages(records([sent]), cast("Any", gone))
    assert refused.origin.refusal is not None
    assert refused.origin.refusal.reason == "unknown_device"
