"""The form adapter's options: every authentication style, what mapping does, and what wrong options are told."""

from __future__ import annotations

import hashlib
import hmac
import json
from base64 import b64decode, b64encode
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from zoneinfo import ZoneInfo

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts import adapters
from alerts.adapters.base import Delivery, Outcome
from alerts.adapters.form.mapping import Unmapped, filled
from alerts.adapters.form.nodes import node_of
from alerts.adapters.form.pointer import at
from alerts.adapters.form.values import converted, written
from core.clock import SystemClock
from core.errors import ConfigurationError
from core.evidence import EvidenceStore
from core.settings import TargetSettings
from tests.alerts.test_delivery_adapter import delivery
from tests.support.regulator import violation

MESSAGE = {"path": "/alarm", "fields": {"project": "site.project_code", "value": "max_value"}}
ZONE = ZoneInfo("Asia/Shanghai")


def one(field: Any, **call: Any) -> dict[str, Any]:
    """Options of one message with one field."""
    return {"messages": [{"path": "/a", "fields": {"x": field}, **call}]}


def target(options: dict[str, Any], **changes: Any) -> TargetSettings:
    fixed = {"name": "city", "adapter": "form", "url": "http://city.example", "client_id": "c-1", "secret": "k&y"}
    made = {"messages": [MESSAGE], **options}
    return TargetSettings.model_validate({**fixed, "timeout_s": 2, "options": made, **changes})


async def sent(
    tmp_path: Path, to: TargetSettings, answer: httpx.Response | None = None, what: Delivery | None = None
) -> tuple[httpx.Request, Outcome]:
    """The request that the adapter makes, seen by httpx's own transport, and what it makes of the answer."""
    seen: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        made = answer or httpx.Response(200, json={"code": 0})
        # As from a wire: to be read once, by its reader.
        return httpx.Response(made.status_code, headers=made.headers, stream=httpx.ByteStream(made.content))

    adapter = adapters.create(to, evidence=EvidenceStore(tmp_path), clock=SystemClock())
    async with httpx.AsyncClient(transport=httpx.MockTransport(handle)) as client:
        made = what or delivery()
        outcome = await (adapter.poll if made.state == "accepted" else adapter.send)(client, made)
    return seen[0], outcome


async def test_basic_and_header_keys(tmp_path: Path) -> None:
    request, outcome = await sent(tmp_path, target({"auth": {"kind": "basic"}}))
    assert b64decode(request.headers["authorization"].removeprefix("Basic ")) == b"c-1:k&y"
    assert request.headers["authorization"] not in json.dumps(outcome.request)
    auth = {"kind": "header", "name": "X-Key", "value": "Key {secret}"}
    request, outcome = await sent(tmp_path, target({"auth": auth}))
    assert request.headers["x-key"] == "Key k&y"
    assert "k&y" not in json.dumps(outcome.request)
    assert json.loads(request.content) == {"project": "5101072608010101", "value": 163.5}


async def test_headers_with_two_secrets_digested_together(tmp_path: Path) -> None:
    # SHA1(rCode_ts_supplierSecret_projectSecret), all in headers.
    auth = {
        "kind": "signature", "place": "headers", "name": "signature", "digest": "sha1", "nonce_length": 15,
        "params": {"keyId": "{client_id}", "ts": "{timestamp}", "rCode": "{nonce}"},
        "text": "{rCode}_{ts}_{secret}_{secrets.project}",
    }  # fmt: skip
    request, outcome = await sent(tmp_path, target({"auth": auth}, secrets={"project": "p-secret"}))
    head = request.headers
    assert len(head["rcode"]) == 15
    assert abs(int(head["ts"]) - datetime.now(UTC).timestamp()) < 60
    expected = hashlib.sha1(f"{head['rcode']}_{head['ts']}_k&y_p-secret".encode()).hexdigest()
    assert head["signature"] == expected
    assert expected not in json.dumps(outcome.request)


async def test_secret_sorted_pairs_and_body_in_the_query(tmp_path: Path) -> None:
    # upper(MD5(secret + sorted k+v + body + secret)) beside the query's parameters.
    auth = {
        "kind": "signature", "place": "query", "name": "signature", "digest": "md5", "encoding": "HEX", "pair": "",
        "joint": "", "text": "{secret}{params}{body}{secret}",
        "params": {"timestamp": "{timestamp}", "api_key": "{client_id}", "client_serial": "{nonce}"},
    }  # fmt: skip
    request, outcome = await sent(tmp_path, target({"auth": auth}))
    query = dict(parse_qsl(urlsplit(str(request.url)).query))
    signature = query.pop("signature")
    text = "k&y" + "".join(f"{name}{query[name]}" for name in sorted(query)) + request.content.decode() + "k&y"
    assert signature == hashlib.md5(text.encode()).hexdigest().upper()
    assert signature not in outcome.request["url"]


async def test_an_hmac_over_method_path_and_time(tmp_path: Path) -> None:
    auth = {
        "kind": "signature", "place": "headers", "name": "x-sign", "encoding": "base64", "timestamp": "epoch-ms",
        "params": {"x-time": "{timestamp}"}, "text": "{method}.{path}.{timestamp}.{body}",
    }  # fmt: skip
    request, _ = await sent(tmp_path, target({"auth": auth}))
    text = f"POST./alarm.{request.headers['x-time']}.".encode() + request.content
    assert request.headers["x-sign"] == b64encode(hmac.new(b"k&y", text, "sha256").digest()).decode()


async def test_parameters_in_the_json_body(tmp_path: Path) -> None:
    auth = {"kind": "signature", "place": "body", "digest": "md5", "params": {"time": "{timestamp}"}}
    request, _ = await sent(tmp_path, target({"auth": {**auth, "text": "{params}&key={secret}"}}))
    body = json.loads(request.content)
    text = f"project=5101072608010101&time={body['time']}&value=163.5&key=k&y"
    assert body["sign"] == hashlib.md5(text.encode()).hexdigest()


async def test_a_plain_form(tmp_path: Path) -> None:
    fields = {"project": "site.project_code", "value": {"from": "max_value", "unit": "mg/m³"}, "fixed": {"value": "x"}}
    message = {"path": "/alarm", "body": "form", "fields": fields, "params": {"id": "{key}"}}
    request, _ = await sent(tmp_path, target({"auth": {"kind": "basic"}, "messages": [message]}))
    assert dict(parse_qsl(request.content.decode())) == {
        "project": "5101072608010101",
        "value": "0.1635",
        "fixed": "x",
    }
    assert request.url.query == b"id=smartsite-7-raise-0-abc"


async def test_a_result_is_asked_for_by_a_receipt_in_the_path(tmp_path: Path) -> None:
    result = {"path": "/results/{receipt}", "state": "/state", "validated": ["ok"], "rejected": ["no"]}
    asked = {"answer": {"receipt": "/id"}, "result": {**result, "fields": {"p": "site.code"}}}
    to = target({"auth": {"kind": "basic"}, **asked})
    answer = httpx.Response(200, json={"state": "ok"})
    request, outcome = await sent(tmp_path, to, answer, what=delivery(state="accepted", receipt="A/1 ?"))
    assert (request.method, request.url.raw_path) == ("GET", b"/results/A%2F1%20%3F?p=east")
    assert outcome.kind == "validated"
    with pytest.raises(ConfigurationError, match=r"answer\.receipt does not say where"):
        await sent(tmp_path, target({"auth": {"kind": "basic"}, "result": result}))


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (httpx.Response(200, json={"code": 0}), "accepted", ""),
        (httpx.Response(200, json={"code": "00"}), "config_error", "code 00"),
        (httpx.Response(200, json={"code": True}), "config_error", "code true"),
        (httpx.Response(200, json={"other": 0}), "no_reply", "no code at /code"),
        (httpx.Response(200, json=[0]), "no_reply", "no code at /code"),
        (httpx.Response(200, text="<html>"), "no_reply", "no code at /code"),
        (httpx.Response(409, json={"code": 7}), "accepted", ""),
        (httpx.Response(409, json={"code": 8, "msg": "no"}), "temporary", "code 8: no"),
        (httpx.Response(403, json={"code": 9, "msg": "who"}), "config_error", "status 403: refused: 9 who"),
        (httpx.Response(503, text="x"), "temporary", "status 503: failed"),
        (httpx.Response(302, headers={"location": "http://x/"}), "config_error", "redirected to http://x/"),
        (httpx.Response(502), "no_reply", "gateway lost the reply"),
    ],
)
async def test_answers(tmp_path: Path, answer: httpx.Response, kind: str, words: str) -> None:
    rule = {"code": "/code", "success": [0], "duplicate": [7], "retry": [8], "message": "/msg"}
    to = target({"auth": {"kind": "basic"}, "answer": {**rule, "statuses": [200, 409]}})
    _, outcome = await sent(tmp_path, to, answer)
    assert outcome.kind == kind
    assert words in outcome.reason


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"nosuch": 1}, "options.nosuch: Extra inputs"),
        ({"messages": []}, "options.messages"),
        ({"auth": {"kind": "magic"}}, "options.auth"),
        ({"auth": {"kind": "oauth2"}}, "options.auth.oauth2.path: Field required"),
        ({"auth": {"kind": "signature", "text": "{nosuch}"}}, "options.auth.text names {nosuch}"),
        ({"auth": {"kind": "header", "value": "{secrets.b}"}}, "options.auth.value names {secrets.b}"),
        ({"auth": {"kind": "header", "value": "{secret"}}, "options.auth.header.value: braces hold a name"),
        ({"auth": {"kind": "signature", "timestamp": "soon"}}, "options.auth.signature.timestamp: 'soon' is no time"),
        ({"auth": {"kind": "signature", "place": "form"}}, "which the body of /alarm has no room for"),
        ({"auth": {"kind": "none"}}, "has a secret, and options.auth uses none"),
        ({"time_zone": "Mars/Phobos"}, "options.time_zone: there is no time zone"),
        (one("site.nosuch"), "fields.x: there is no source 'site.nosuch'"),
        (one("started_at"), "fields.x: a time needs its format"),
        (one({"y": ["item.data"]}), "fields.x.y[0]: there is no source"),
        (one({"from": "unit", "tabel": "t"}), "fields.x: unknown tabel"),
        (one({"from": "unit", "table": "t"}), "a table that there is not: t"),
        (one({"from": "unit", "value": 1}), "one of from, value and template"),
        (one({"from": "limit", "unit": "furlong"}), "fields.x: unit is one of"),
        (one({"each": "nosuch", "item": "key"}), "fields.x: each is one of"),
        (one(5), "fields.x: write a source, or { value = 5 }"),
        (one({"y": "key"}, body="form"), "a form has no nested fields"),
        ({"answer": {"code": "status/code", "success": [0]}}, "options.answer.code: write a JSON pointer"),
        ({"answer": {"code": "/c"}}, "code and success belong together"),
        ({"answer": {"code": "/c", "success": [0], "retry": ["0"]}}, "code '0' stands in success and in retry"),
    ],
)  # fmt: skip
def test_wrong_options_are_told_with_their_place(tmp_path: Path, options: dict[str, Any], words: str) -> None:
    made = {"auth": {"kind": "basic"}, **options}
    with pytest.raises(ConfigurationError) as caught:
        adapters.create(target(made), evidence=EvidenceStore(tmp_path), clock=SystemClock())
    assert words in str(caught.value)
    assert "target city" in str(caught.value)
    assert "k&y" not in str(caught.value)


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ({"from": "site.supervision_number"}, "x: site.supervision_number is empty, and the field has no default"),
        ({"from": "max_value", "unit": "kPa"}, "x: a value in µg/m³ cannot be told in kPa"),
        ({"from": "metric", "table": "t"}, "x: table t has no entry for 'pm10'"),
    ],
)
def test_what_cannot_be_mapped_is_told_with_its_field(field: dict[str, Any], words: str) -> None:
    with pytest.raises(Unmapped) as caught:
        filled(node_of({"x": field}, "fields"), violation(), {}, tables={"t": {}}, zone=ZONE)
    assert str(caught.value) == words


def test_fields_nest_and_lists_follow_their_source() -> None:
    node = node_of(
        {
            "a": {"b": [{"n": {"from": "alert.id", "text": True}}]},
            "units": {"each": "site.units", "item": {"code": "item.credit_code", "in": "site.code"}},
            "short": {"from": "site.name", "length": 2},
            "all": {"template": "{subject.code}:{quality.share}"},
        },
        "fields",
    )
    event = violation(quality={"share": 0.75})
    event["site"]["units"] = [{"role": "builder", "name": "甲", "credit_code": "9X"}]
    assert filled(node, event, {}, tables={}, zone=ZONE) == {
        "a": {"b": [{"n": "7"}]},
        "units": [{"code": "9X", "in": "east"}],
        "short": "东区",
        "all": "dust-1:0.75",
    }


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("yyyyMMddHHmmss", "20260801160003"),
        ("yyyy-MM-dd HH:mm:ss.SSS", "2026-08-01 16:00:03.250"),
        ("yyyy-MM-ddTHH:mm:ss", "2026-08-01T16:00:03"),
        ("iso", "2026-08-01T16:00:03+08:00"),
        ("epoch-s", 1785571203),
        ("epoch-ms", 1785571203250),
    ],
)
def test_times_are_written_in_the_zone(form: str, text: str | int) -> None:
    assert written(datetime(2026, 8, 1, 8, 0, 3, 250_000, tzinfo=UTC), form, ZONE) == text


@given(st.floats(min_value=-1e6, max_value=1e6).map(lambda value: round(value, 3)))
def test_units_go_there_and_back(value: float) -> None:
    assert converted(converted(value, "µg/m³", "mg/m³"), "mg/m³", "mg/m³") == pytest.approx(value / 1000, abs=1e-9)
    assert converted(value, "hPa", "kPa") * 10 == pytest.approx(value, abs=1e-6)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda part: st.lists(part) | st.dictionaries(st.text(), part),
    ),
    st.text(),
)
def test_a_pointer_into_nonsense_finds_something_or_nothing(body: Any, pointer: str) -> None:
    at(body, f"/{pointer}")
