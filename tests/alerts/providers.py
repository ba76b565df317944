"""Stand-ins for providers of messages, written from the vendors' descriptions and without any part of our senders.

Each checks what it is sent as the vendor would (signature, size, rate by its own clock), keeps it, and answers in the
vendor's words. `answers` makes it misbehave: an int is a status, a dict a body, "hang" no answer until `let_go`.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from collections import deque
from datetime import datetime
from typing import Any, ClassVar
from urllib.parse import parse_qs

from cryptography.hazmat.primitives import hashes, hmac
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

from core.clock import Clock


def hmac_sha256(key: bytes, text: bytes) -> str:
    """By another implementation than ours."""
    code = hmac.HMAC(key, hashes.SHA256())
    code.update(text)
    return base64.b64encode(code.finalize()).decode()


class Provider:
    """What all have in common; `taken` are (seconds since the start, body) of what was accepted."""

    per_minute = 1000
    too_many: ClassVar[dict[str, Any]] = {}

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.started = clock.now()
        self.taken: list[tuple[float, dict[str, Any]]] = []
        self.calls: list[datetime] = []
        self.answers: deque[int | dict[str, Any] | str] = deque()
        self.let_go = asyncio.Event()
        self.app = FastAPI()

    @property
    def times(self) -> list[float]:
        """Seconds of the accepted messages."""
        return [moment for moment, _ in self.taken]

    async def answer(self, content: dict[str, Any], fine: dict[str, Any]) -> Response:
        """Misbehave as told, refuse what is too much, keep the rest."""
        now = self.clock.now()
        told = self.answers.popleft() if self.answers else None
        if told == "hang":
            await self.let_go.wait()
            return Response(status_code=504)
        if isinstance(told, int):
            return Response("not now", status_code=told, headers={"retry-after": "30"} if told == 429 else {})
        if told is not None:
            return JSONResponse(told)
        self.calls = [call for call in self.calls if (now - call).total_seconds() < 60] + [now]
        if len(self.calls) > self.per_minute:
            return JSONResponse(self.too_many)
        self.taken.append(((now - self.started).total_seconds(), content))
        return JSONResponse(fine)


class Feishu(Provider):
    """A custom robot with signature verification."""

    per_minute = 100
    too_many: ClassVar[dict[str, Any]] = {
        "code": 11232,
        "msg": "frequency limited psm[lark.oapi.app_platform_runtime]",
        "data": {},
    }
    token, secret = "5c1f-Token", "SecretOfTheRobot"

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.app.post("/open-apis/bot/v2/hook/{token}")(self.hook)

    async def hook(self, token: str, request: Request) -> Response:
        body = await request.json()
        age = abs(self.clock.now().timestamp() - int(body["timestamp"]))
        sign = hmac_sha256(f"{body['timestamp']}\n{self.secret}".encode(), b"")
        assert isinstance(body["timestamp"], str)
        if age > 3600 or body["sign"] != sign:
            return JSONResponse({"code": 19021, "msg": "sign match fail or timestamp is not within one hour"})
        if token != self.token:
            return JSONResponse({"code": 19001, "msg": "param invalid: incoming webhook access token invalid"})
        return await self.answer(body, {"StatusCode": 0, "StatusMessage": "success", "code": 0, "msg": "success"})

    def contact(self, base: str, secret: str = secret) -> str:
        return f"feishu://{self.token}?secret={secret}&base={base}"


class WeCom(Provider):
    """A group robot."""

    per_minute = 20
    too_many: ClassVar[dict[str, Any]] = {"errcode": 45009, "errmsg": "api freq out of limit"}
    key = "693a91f6-7AOC-4bc4"

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.pictures: list[bytes] = []
        self.app.post("/cgi-bin/webhook/send")(self.hook)

    async def hook(self, request: Request) -> Response:
        body = await request.json()
        if request.query_params.get("key") != self.key:
            return JSONResponse({"errcode": 93000, "errmsg": "invalid webhook url"})
        if body["msgtype"] == "markdown" and len(body["markdown"]["content"].encode()) > 4096:
            return JSONResponse({"errcode": 40058, "errmsg": "markdown.content exceed max length 4096"})
        if body["msgtype"] == "image":
            data = base64.b64decode(body["image"]["base64"], validate=True)
            if hashlib.md5(data).hexdigest() != body["image"]["md5"]:
                return JSONResponse({"errcode": 301019, "errmsg": "image file md5 not match"})
            self.pictures.append(data)
        return await self.answer(body, {"errcode": 0, "errmsg": "ok"})

    def contact(self, base: str, more: str = "") -> str:
        return f"wecombot://{self.key}?base={base}{more}"


class DingTalk(Provider):
    """A custom robot with signature verification; it answers 200 to what it refuses."""

    per_minute = 20
    too_many: ClassVar[dict[str, Any]] = {"errcode": 130101, "errmsg": "send too fast, exceed 20 times per minute"}
    token, secret = "f4e2Token", "SECabc"

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.app.post("/robot/send")(self.hook)

    async def hook(self, request: Request) -> Response:
        query = request.query_params
        age = abs(self.clock.now().timestamp() * 1000 - int(query["timestamp"]))
        sign = hmac_sha256(self.secret.encode(), f"{query['timestamp']}\n{self.secret}".encode())
        if age > 3_600_000 or query["sign"] != sign or query["access_token"] != self.token:
            return JSONResponse({"errcode": 310000, "errmsg": "sign not match"})
        return await self.answer(await request.json(), {"errcode": 0, "errmsg": "ok"})

    def contact(self, base: str) -> str:
        return f"dingtalk://{self.token}?secret={self.secret}&base={base}"


class Gateway(Provider):
    """A gateway for text messages: a signed form with an approved template; codes in `Code`."""

    too_many: ClassVar[dict[str, Any]] = {"Code": "LIMIT", "Message": "flow control"}

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.app.post("/sms/send")(self.call)

    async def call(self, request: Request) -> Response:
        form = {name: values[0] for name, values in parse_qs((await request.body()).decode()).items()}
        sign = form.pop("Signature")
        text = "&".join(f"{name}={form[name]}" for name in sorted(form)) + "s3cret"
        if hashlib.sha256(text.encode()).hexdigest() != sign:
            return JSONResponse({"Code": "SIGNATURE", "Message": "bad signature"})
        form["TemplateParam"] = json.loads(form["TemplateParam"])
        return await self.answer(form, {"Code": "OK"})


GATEWAY_OPTIONS: dict[str, Any] = {
    "path": "/sms/send",
    "body": "form",
    "fields": {
        "PhoneNumbers": "{phone}",
        "SignName": "智慧工地",
        "TemplateCode": "SMS_1",
        "OutId": "{reference}",
        "TemplateParam": {"site": "{site}", "rule": "{rule}", "value": "{value}", "link": "{link}"},
    },
    "auth": {
        "kind": "signature",
        "place": "form",
        "params": {"AccessKeyId": "{client_id}", "Timestamp": "{timestamp}"},
        "name": "Signature",
        "text": "{params}{secret}",
        "digest": "sha256",
    },
    "answer": {"code": "/Code", "success": ["OK"], "message": "/Message", "retry": ["LIMIT"]},
    "throttled": ["LIMIT"],
    "throttled_s": 30,
}
