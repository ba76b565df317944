"""The sandbox regulator over real HTTP: what it takes, what it refuses and how it misbehaves on demand."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import jsonschema
import pytest

from smartsite.regulator.app import create_app
from smartsite.regulator.schema import Behaviour, Violation
from tests.support.clock import FakeClock
from tests.support.regulator import Sandbox, report, sandbox, signed, violation


@pytest.fixture
async def regulator(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Sandbox]:
    async with sandbox(tmp_path / "regulator", clock=clock) as running:
        yield running


@pytest.fixture
async def client(regulator: Sandbox) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=regulator.url) as opened:
        yield opened


@pytest.fixture
def now_s(clock: FakeClock) -> int:
    return int(clock.now().timestamp())


def error(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["code"]


def picture(media_type: str, data: str) -> dict[str, str]:
    return {"role": "frame", "sha256": "0" * 64, "media_type": media_type, "data": data}


async def test_same_key_brings_the_same_receipt_even_after_a_restart(
    regulator: Sandbox, client: httpx.AsyncClient, now_s: int
) -> None:
    first = await report(client, violation(), key="a-1", at_s=now_s)
    assert first.status_code == 202
    await regulator.stop()
    await regulator.start()
    again = await report(client, violation(), key="a-1", at_s=now_s)
    assert (again.status_code, again.json()) == (200, first.json())
    (item,) = regulator.received()
    assert (item["key"], item["accepted"], item["repeats"]) == ("a-1", 1, 1)


async def test_same_key_with_another_content_is_refused(client: httpx.AsyncClient, now_s: int) -> None:
    await report(client, violation(), key="a-1", at_s=now_s)
    other = await report(client, violation(max_value=400.0), key="a-1", at_s=now_s)
    assert error(other) == (409, "key_reused")


async def test_result_comes_later_and_only_to_its_sender(
    regulator: Sandbox, client: httpx.AsyncClient, clock: FakeClock, now_s: int
) -> None:
    regulator.behave(result_delay_s=10)
    receipt = (await report(client, violation(), key="a-1", at_s=now_s)).json()["receipt"]
    path = f"/api/v1/receipts/{receipt}"
    headers = signed(b"", key=receipt, at_s=now_s)
    assert (await client.get(path, headers=headers)).json()["status"] == "pending"
    await clock.advance(10)
    assert (await client.get(path, headers=headers)).json() == {"receipt": receipt, "status": "validated", "reason": ""}
    assert error(await client.get(path)) == (401, "signature_missing")
    assert error(await client.get("/api/v1/receipts/R0", headers=signed(b"", key="R0", at_s=now_s))) == (
        404,
        "not_found",
    )


async def test_rejected_results_carry_a_reason(regulator: Sandbox, client: httpx.AsyncClient, now_s: int) -> None:
    regulator.behave(result_delay_s=0, reject_rate=1)
    receipt = (await report(client, violation(), key="a-1", at_s=now_s)).json()["receipt"]
    result = (await client.get(f"/api/v1/receipts/{receipt}", headers=signed(b"", key=receipt, at_s=now_s))).json()
    assert result["status"] == "rejected"
    assert result["reason"]


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"x-client-id": "stranger"}, "unknown_client"),
        ({"webhook-signature": "v1,AAAA"}, "signature_wrong"),
        ({"webhook-signature": "v1a,AAAA é"}, "signature_wrong"),
        ({"webhook-id": "another"}, "signature_wrong"),
        ({"webhook-timestamp": "yesterday"}, "signature_malformed"),
        ({"webhook-timestamp": ""}, "signature_missing"),
    ],
)
async def test_unproven_senders_are_refused(
    client: httpx.AsyncClient, now_s: int, changed: dict[str, str], code: str
) -> None:
    body = json.dumps(violation()).encode()
    headers = {name: value.encode() for name, value in {**signed(body, key="a-1", at_s=now_s), **changed}.items()}
    assert error(await client.post("/api/v1/violations", content=body, headers=headers)) == (401, code)


@pytest.mark.parametrize(("offset_s", "status"), [(-361, 401), (-359, 202), (359, 202), (361, 401)])
async def test_clocks_may_differ_by_six_minutes(
    client: httpx.AsyncClient, now_s: int, offset_s: int, status: int
) -> None:
    response = await report(client, violation(), key="a-1", at_s=now_s + offset_s)
    assert response.status_code == status
    if status == 401:
        assert response.json()["error"]["code"] == "clock_skew"
        assert f"{offset_s:+d}" in response.json()["error"]["message"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"phase": "middle"}, "phase"),
        ({"phase": "end"}, "(whole)"),
        ({"started_at": "2026-08-01T16:00:00"}, "started_at"),
        ({"ended_at": "2026-08-01T15:00:00+08:00"}, "(whole)"),
        ({"site": {**violation()["site"], "project_code": ""}}, "site.project_code"),
        ({"alert": {"id": 7}}, "alert.rule"),
        ({"maximum": 3}, "maximum"),
        ({"evidence": [picture("image/jpeg", "AA==")]}, "evidence.0"),
        ({"evidence": [picture("image/jpeg", "not base64")]}, "evidence.0"),
        ({"evidence": [picture("text/html", "")]}, "evidence.0.media_type"),
    ],
)
async def test_wrong_fields_are_named(
    client: httpx.AsyncClient, now_s: int, changes: dict[str, object], field: str
) -> None:
    response = await report(client, violation(**changes), key="a-1", at_s=now_s)
    assert error(response) == (422, "invalid")
    assert field in [fault["field"] for fault in response.json()["error"]["fields"]]


async def test_what_is_no_json_or_too_large_is_refused(
    regulator: Sandbox, client: httpx.AsyncClient, now_s: int
) -> None:
    for body, expected in ((b"{", (400, "malformed")), (b"[" + b" " * (8 * 1024**2) + b"]", (413, "too_large"))):
        response = await client.post("/api/v1/violations", content=body, headers=signed(body, key="a-1", at_s=now_s))
        assert error(response) == expected
    assert regulator.store.totals()["answers"] == {"400": 1, "413": 1}
    assert [refusal["status"] for refusal in regulator.store.refusals()] == [413, 400]


async def test_switches_make_it_misbehave(regulator: Sandbox, client: httpx.AsyncClient, now_s: int) -> None:
    async def behave(**switches: object) -> None:
        assert (await client.put("/sandbox/behaviour", json=switches)).status_code == 200

    await behave(refuse=True)
    assert error(await report(client, violation(), key="a-1", at_s=now_s)) == (403, "refused")
    await behave(fail=1)
    assert error(await report(client, violation(), key="a-1", at_s=now_s)) == (500, "internal")
    await behave(throttle=1, retry_after_s=7)
    throttled = await report(client, violation(), key="a-1", at_s=now_s)
    assert (throttled.status_code, throttled.headers["retry-after"]) == (429, "7")
    assert regulator.received() == []
    await behave(drop_reply=1)
    with pytest.raises(httpx.TransportError):
        await report(client, violation(), key="a-1", at_s=now_s)
    assert [item["accepted"] for item in regulator.received()] == [1]
    await behave(no_keys=True)
    await report(client, violation(), key="a-1", at_s=now_s)
    received = (await client.get("/sandbox/received")).json()
    assert [item["accepted"] for item in received["items"]] == [2]
    assert received["totals"]["doubled"] == 1
    assert received["totals"]["answers"] == {"dropped": 1, "202": 1, "403": 1, "429": 1, "500": 1}
    assert (await client.put("/sandbox/behaviour", json={"fail": 2})).status_code == 422


async def test_a_slow_regulator_answers_late(
    regulator: Sandbox, client: httpx.AsyncClient, clock: FakeClock, now_s: int
) -> None:
    regulator.behave(delay_s=30)
    posting = asyncio.create_task(report(client, violation(), key="a-1", at_s=now_s))
    while not posting.done():
        await asyncio.sleep(0.005)
        await clock.advance(1)
    assert posting.result().status_code == 202
    assert clock.monotonic() >= 30


async def test_evidence_is_shown_as_it_came(client: httpx.AsyncClient, now_s: int) -> None:
    picture = b"\xff\xd8\xff picture"
    digest = hashlib.sha256(picture).hexdigest()
    part = {"role": "crop", "sha256": digest, "media_type": "image/jpeg", "data": base64.b64encode(picture).decode()}
    assert (await report(client, violation(evidence=[part]), key="a-1", at_s=now_s)).status_code == 202
    shown = await client.get(f"/sandbox/pictures/{digest}")
    assert (shown.content, shown.headers["content-type"]) == (picture, "image/jpeg")
    assert (await client.get(f"/sandbox/pictures/{'0' * 64}")).status_code == 404
    overview = (await client.get("/sandbox/overview")).json()
    assert overview["newest"][0]["violation"]["evidence"] == [
        {"role": "crop", "sha256": digest, "media_type": "image/jpeg"}
    ]


@pytest.mark.parametrize(
    ("headers", "message", "alert"),
    [
        ({"x-smartsite-alert": "12", "x-smartsite-phase": "raised"}, "no link", 12),
        ({}, "see http://host/alerts/34 now", 34),
        ({"x-smartsite-alert": "x"}, "nothing", None),
    ],
)
async def test_inbox_keeps_messages_with_their_alert(
    client: httpx.AsyncClient, clock: FakeClock, headers: dict[str, str], message: str, alert: int | None
) -> None:
    assert (await client.post("/inbox", json={"title": "PM10", "message": message}, headers=headers)).status_code == 204
    (item,) = (await client.get("/inbox")).json()["items"]
    assert item["alert"] == alert
    assert item["phase"] == headers.get("x-smartsite-phase", "")
    assert item["arrived_ms"] == int(clock.now().timestamp() * 1000)


@pytest.mark.parametrize(("body", "status"), [(b"{", 400), (b"[]", 422), (b"1" * 300_000, 413)])
async def test_inbox_refuses_what_is_no_message(client: httpx.AsyncClient, body: bytes, status: int) -> None:
    assert (await client.post("/inbox", content=body)).status_code == status


async def test_openapi_document_describes_the_violation(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    operation = document["paths"]["/api/v1/violations"]["post"]
    reference = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    assert reference == "#/components/schemas/Violation"
    schema = {**document, "$ref": reference}
    jsonschema.validate(violation(), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(violation(phase="middle"), schema)
    assert {parameter["name"] for parameter in operation["parameters"]} >= {"webhook-id", "webhook-signature"}
    assert {"200", "202", "401", "409", "422", "429"} <= set(operation["responses"])


async def test_page_is_served_in_both_languages(client: httpx.AsyncClient) -> None:
    page = (await client.get("/")).text
    assert "监管平台沙箱" in page
    assert "Sandbox regulator" in page


async def test_the_api_page_names_every_path_field_switch_and_error(client: httpx.AsyncClient) -> None:
    page = (Path(__file__).parents[2] / "docs" / "regulator-api.md").read_text(encoding="utf-8")
    package = Path(create_app.__code__.co_filename).parent
    codes = set(
        re.findall(r'code="([a-z_]+)"|SignatureError\(\s*"([a-z_]+)"', "".join(map(_text, package.glob("*.py"))))
    )
    paths = (await client.get("/openapi.json")).json()["paths"]
    names = {*paths, *Behaviour.model_fields, *Violation.model_fields, *(code or other for code, other in codes)}
    assert {"clock_skew", "key_reused", "drop_reply"} <= names
    assert [name for name in sorted(names) if name not in page] == []


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")
