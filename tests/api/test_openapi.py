"""The OpenAPI description is complete, and the docs page comes from it alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI

from core.errors import SmartsiteError
from tests.api.conftest import LogIn
from tests.api.world import World

# Nobody is logged in there yet, and no password can be wrong.
LEADS_IN = {"GET /api/v1/session/ways", "GET /api/v1/session/oidc", "GET /api/v1/session/oidc/callback"}
OURS = {
    "core.errors",
    "api.errors",
    "api.cameras",
    "api.documents.content",
    "api.documents.receiving",
    "api.ptz.holds",
    "api.ptz.routes",
}


def described(app: FastAPI) -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"{method.upper()} {path}", operation)
        for path, operations in app.openapi()["paths"].items()
        for method, operation in operations.items()
    ]


def test_every_operation_is_described(app: FastAPI) -> None:
    for name, operation in described(app):
        assert operation.get("summary"), name
        assert operation.get("description"), name
        assert operation.get("tags"), name


def test_every_answer_has_a_model_or_a_media_type(app: FastAPI) -> None:
    for name, operation in described(app):
        for status, answer in operation["responses"].items():
            if status in ("204", "302"):
                continue
            content = answer["content"]
            assert "application/json" not in content or content["application/json"].get("schema"), (name, status)


def test_errors_are_documented_in_the_one_shape(app: FastAPI) -> None:
    for name, operation in described(app):
        answers = operation["responses"]
        assert "503" in answers, name
        if name.split()[1].startswith("/api/v1/") and name not in LEADS_IN:
            assert "401" in answers, name
        if "{" in name:
            assert "404" in answers, name
        for status, answer in answers.items():
            if status >= "400" and name != "GET /healthz":
                assert answer["content"]["application/json"]["schema"]["$ref"].endswith("/ErrorBody"), (name, status)


def test_operations_say_that_they_need_the_session(app: FastAPI) -> None:
    open_to_all = {name for name, operation in described(app) if not operation.get("security")}
    assert open_to_all == {"POST /api/v1/session", *LEADS_IN, "GET /healthz", "GET /metrics"}
    assert app.openapi()["components"]["securitySchemes"]["session"]["name"] == "smartsite_session"


def test_operation_ids_are_unique_and_readable(app: FastAPI) -> None:
    ids = [operation["operationId"] for _, operation in described(app)]
    assert len(set(ids)) == len(ids)
    assert "alerts_acknowledge" in ids


def test_schemas_have_descriptions(app: FastAPI) -> None:
    for name, schema in app.openapi()["components"]["schemas"].items():
        assert schema.get("description") or schema.get("enum"), name


async def test_the_docs_page_needs_nothing_from_outside(visitor: httpx.AsyncClient) -> None:
    page = await visitor.get("/api/docs")
    assert page.status_code == 200
    assert "/api/v1/alerts/{alert_id}/acknowledge" in page.text
    assert "<script" not in page.text
    assert "http://" not in page.text
    assert "https://" not in page.text
    assert (await visitor.get("/api/docs.css")).headers["content-type"].startswith("text/css")
    assert (await visitor.get("/api/openapi.json")).json()["info"]["title"] == "Smartsite"


async def test_kinds_are_those_of_the_profiles(log_in: LogIn, world: World) -> None:
    kinds = (await (await log_in("nobody")).get("/api/v1/kinds")).json()["items"]
    dust = next(kind for kind in kinds if kind["kind"] == "dust")
    assert dust["channels"][0] == {
        "name": "pm10",
        "label": "PM10",
        "label_en": "PM10",
        "unit": "µg/m³",
        "type": "real",
        "minimum": 0,
        "maximum": 5000,
        "symbols": [],
    }


def test_the_docs_name_every_code() -> None:
    text = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")

    def codes(error: type[SmartsiteError]) -> set[str]:
        return {error.code}.union(*(codes(kind) for kind in error.__subclasses__() if kind.__module__ in OURS))

    missing = {code for code in codes(SmartsiteError) if f"`{code}`" not in text}
    assert not missing
