"""What becomes of a message before the database: taken, corrected, or set aside with its cause."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.message import CONNECTED, Leaf, Message
from ingest.prepare import Prepared, Preparer
from sensors.batch import BACK_FILL, CLOCK_OFFSET_APPLIED, TIME_FROM_ARRIVAL
from tests.ingest.messages import NOW, PROFILES, device, message

MS = NOW // 1000
DAY_MS = 86_400_000


@pytest.fixture
def preparer() -> Preparer:
    return Preparer(PROFILES, max_age=timedelta(days=30), max_ahead=timedelta(minutes=5))


KEYS = st.sampled_from(["ts", "values", "flags", "pm10", "laeq", "radon", "online", "code", "text"]) | st.text(
    max_size=4
)


def reasons(prepared: Prepared) -> list[str]:
    return [item.reject.reason for item in prepared.aside]


def channel(prepared: Prepared, name: str) -> list[float]:
    (rows,) = prepared.rows
    place = [channel.name for channel in rows.profile.channels].index(name)
    return rows.values[:, place].tolist()


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "malformed"),
        (b"\xff\xfe", "malformed"),
        (b'{"values": {"pm10": 1}', "malformed"),
        (b'{"values": {"pm10": NaN}}', "not_finite"),
        (b'{"values": {"pm10": Infinity}}', "not_finite"),
        (b'{"values": {"pm10": 1e999}}', "not_finite"),
        (b'{"values": {"pm10": 1e39}}', "not_finite"),
        (b'{"values": {"pm10": "high"}}', "bad_symbol"),
        (b'{"values": {"pm10": [1]}}', "wrong_type"),
        (b'{"values": 5}', "wrong_type"),
        (b'{"ts": "now", "values": {"pm10": 1}}', "wrong_type"),
        (b'{"ts": -1, "values": {"pm10": 1}}', "bad_time"),
        (b'{"values": {}}', "empty"),
        (b'{"values": {"pm10": 1}, "flags": {"pm10": "X"}}', "bad_flag"),
        (b"[]", "empty"),
        (b'{"ts": 0, "values": {"pm10": 1}}', "too_old"),
        (f'{{"ts": {MS - 31 * DAY_MS}, "values": {{"pm10": 1}}}}'.encode(), "too_old"),
        (f'{{"ts": {MS + 365 * DAY_MS}, "values": {{"pm10": 1}}}}'.encode(), "in_future"),
        (f'{{"ts": {MS + 301_000}, "values": {{"pm10": 1}}}}'.encode(), "in_future"),
        (b"[" * 100_000, "malformed"),
    ],
)
def test_bad_payloads_are_set_aside_with_their_cause(preparer: Preparer, payload: bytes, reason: str) -> None:
    bad, good = message(payload), message({"ts": MS, "values": {"pm10": 1}})
    prepared = preparer.prepare([bad, good])
    assert reasons(prepared) == [reason]
    assert prepared.aside[0].place == 0
    assert prepared.aside[0].reject.detail
    assert bad.reject is not None
    assert good.reject is None
    assert channel(prepared, "pm10") == [1]


def test_the_ends_of_the_accepted_span(preparer: Preparer) -> None:
    times = [MS - 30 * DAY_MS, MS + 300_000]
    prepared = preparer.prepare([message({"ts": ts, "values": {"pm10": 1}}) for ts in times])
    assert prepared.aside == []
    assert prepared.rows[0].time.tolist() == [ts * 1000 for ts in times]


def test_without_ts_the_arrival_counts_and_is_flagged(preparer: Preparer) -> None:
    (rows,) = preparer.prepare([message({"values": {"pm10": 1}}, arrived=NOW + 7)]).rows
    assert rows.time.tolist() == [NOW + 7]
    assert rows.flags.tolist() == [TIME_FROM_ARRIVAL]


def test_a_clock_correction_is_stored_and_never_computed(preparer: Preparer) -> None:
    slow = device(clock_offset_ms=90_000)
    payload = {"ts": MS - 90_000, "values": {"pm10": 1}}
    first, again = message(payload, of=slow), message(payload, of=slow, arrived=NOW + 60_000_000)
    (rows,) = preparer.prepare([first, again]).rows
    assert rows.time.tolist() == [NOW, NOW]
    assert rows.flags.tolist() == [CLOCK_OFFSET_APPLIED] * 2


def test_a_bad_element_of_a_back_fill_spares_the_good_ones(preparer: Preparer) -> None:
    elements: list[Any] = [
        {"ts": MS - 2000, "values": {"pm10": 1}},
        {"ts": MS - 1000, "values": {"pm10": "x"}},
        7,
        {"values": {"pm10": 3}},
        {"ts": 0, "values": {"pm10": 4}},
        {"ts": MS, "values": {"pm10": 5}},
    ]
    whole = message(elements)
    prepared = preparer.prepare([whole])
    assert sorted(reasons(prepared)) == ["bad_symbol", "bad_time", "too_old", "wrong_type"]
    assert channel(prepared, "pm10") == [1, 5]
    assert prepared.rows[0].flags.tolist() == [BACK_FILL] * 2
    assert whole.reject is None


def test_unknown_metrics_are_kept_apart(preparer: Preparer) -> None:
    prepared = preparer.prepare(
        [
            message({"ts": MS, "values": {"pm10": 1, "radon": 2}}),
            message({"ts": MS + 1, "values": {"radon": 3}}),
        ]
    )
    assert prepared.unknown.metric == ["radon", "radon"]
    assert prepared.unknown.value == [2, 3]
    assert len(prepared.rows[0]) == 1
    assert prepared.aside == []
    assert prepared.seen == {1: ((MS + 1) * 1000, NOW)}


def test_a_value_out_of_range_is_kept_and_marked(preparer: Preparer) -> None:
    (rows,) = preparer.prepare([message({"ts": MS, "values": {"pm10": 1e6}})]).rows
    assert chr(rows.quality[0][np.isfinite(rows.values[0])][0]) == "T"


def test_a_kind_without_profile_is_set_aside(preparer: Preparer) -> None:
    prepared = preparer.prepare([message({"values": {"x": 1}}, of=device(kind="submarine"))])
    assert reasons(prepared) == ["unknown_kind"]


@pytest.mark.parametrize(
    ("payload", "state"),
    [(b'{"online": true}', True), (b'{"online": false, "why": "x"}', False), (b"online", True), (b" Offline\n", False)],
)
def test_status(preparer: Preparer, payload: bytes, state: bool) -> None:
    prepared = preparer.prepare([message(payload, leaf=Leaf.STATUS)])
    assert [said.connected for said in prepared.presence.values()] == [state]


@pytest.mark.parametrize("payload", [b"", b"maybe", b'{"online": 1}', b"\xff", b"[" * 100_000])
@pytest.mark.parametrize("leaf", [Leaf.STATUS, Leaf.EVENT])
def test_bad_status_and_events(preparer: Preparer, payload: bytes, leaf: Leaf) -> None:
    prepared = preparer.prepare([message(payload, leaf=leaf)])
    assert reasons(prepared)[0] in ("malformed", "wrong_type")


def test_the_newest_word_on_presence_counts(preparer: Preparer) -> None:
    words: list[Message] = [
        message(CONNECTED, leaf=Leaf.PRESENCE, arrived=NOW),
        message(b"offline", leaf=Leaf.STATUS, arrived=NOW + 1),
    ]
    said = preparer.prepare(words).presence[1]
    assert (said.connected, said.at, said.held) == (False, NOW + 1, False)


def test_an_alarm_of_the_device(preparer: Preparer) -> None:
    payload = {"ts": MS, "code": "overload", "text": "90 %"}
    (alarm,) = preparer.prepare([message(payload, leaf=Leaf.EVENT, of=device(site=4))]).alarms
    assert (alarm.site, alarm.time, alarm.event, alarm.detail) == (4, NOW, "alarm", "overload: 90 %")


def test_a_reply_to_a_command(preparer: Preparer) -> None:
    said = {"id": 7, "ok": False, "detail": "no water" + "!" * 1000}
    ((place, device, reply, arrived),) = preparer.prepare([message(said, leaf=Leaf.REPLY)]).replies
    assert (place, device, reply.id, reply.ok, reply.detail[:9], arrived) == (0, 1, 7, False, "no water!", NOW)
    assert len(reply.detail) == 500


@pytest.mark.parametrize(
    "said", [{"id": 1}, {"ok": True}, {"id": 0, "ok": True}, {"id": 2**63, "ok": True}, b"[", b"\xff"]
)
def test_a_reply_that_is_none_is_set_aside(preparer: Preparer, said: object) -> None:
    (reason,) = reasons(preparer.prepare([message(said, leaf=Leaf.REPLY)]))
    assert reason in ("wrong_type", "malformed")


def test_a_batch_can_be_prepared_again(preparer: Preparer) -> None:
    messages = [message(b"bad"), message({"ts": MS, "values": {"pm10": 1}})]
    preparer.prepare(messages)
    prepared = preparer.prepare(messages[1:])
    assert prepared.aside == []
    assert channel(prepared, "pm10") == [1]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@given(st.lists(st.tuples(st.sampled_from(Leaf), st.binary(max_size=60) | JSON), min_size=1, max_size=5))
def test_no_payload_does_more_than_land_in_quarantine(sent: list[tuple[Leaf, Any]]) -> None:
    preparer = Preparer(PROFILES, max_age=timedelta(days=30), max_ahead=timedelta(minutes=5))
    messages = [message(payload, leaf=leaf) for leaf, payload in sent]
    prepared = preparer.prepare([*messages, message({"ts": MS, "values": {"pm10": 1}})])
    assert channel(prepared, "pm10")[-1] == 1
    for item in prepared.aside:
        assert item.reject.reason.isidentifier()
        assert item.reject.detail
    for rows in prepared.rows:
        assert rows.values.shape == rows.quality.shape == (len(rows), len(rows.profile.channels))
