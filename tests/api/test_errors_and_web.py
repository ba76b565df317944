"""One error shape for everything below /api, the built page for everything else, safe headers on both."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from core.settings import Settings
from tests.api.conftest import LogIn
from tests.api.world import World


@pytest.fixture
def page(settings: Settings) -> Path:
    folder = settings.api.web_dir
    assert folder is not None
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text("<!doctype html><title>the page</title>")
    (folder / "assets" / "index-3f2a.js").write_text("export {}")
    (folder / "icon.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    (folder.parent / "secret.txt").write_text("not for the web")
    return folder


async def test_an_unknown_path_of_the_api_is_json_even_for_a_browser(visitor: httpx.AsyncClient, page: Path) -> None:
    for path in ("/api/v1/nothing", "/api/", "/api", "/api/v2/sites", "/api/v1/sites/"):
        for method in ("GET", "POST"):
            answer = await visitor.request(method, path, headers={"Accept": "text/html"})
            assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found"), (method, path)


async def test_a_wrong_method_is_told(visitor: httpx.AsyncClient) -> None:
    answer = await visitor.put("/api/v1/sites", json={})
    assert (answer.status_code, answer.json()["error"]["code"]) == (405, "method_not_allowed")


async def test_a_body_that_is_too_large_is_refused(visitor: httpx.AsyncClient) -> None:
    answer = await visitor.post("/api/v1/session", content=b"x" * 70_000, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")


async def test_a_refused_method_is_told_with_those_that_are_known(visitor: httpx.AsyncClient) -> None:
    refused = await visitor.request("PATCH", "/api/v1/sites/1/rota")
    assert (refused.status_code, refused.headers["Allow"]) == (405, "GET, PUT")
    assert (await visitor.post("/healthz")).headers["Allow"] == "GET"


async def test_a_body_that_is_no_text_is_the_callers_fault(visitor: httpx.AsyncClient) -> None:
    headers = {"Content-Type": "application/json"}
    answer = await visitor.post("/api/v1/session", content=b"\xff\x00{", headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid_input")


async def test_broken_json_is_told_by_field(visitor: httpx.AsyncClient) -> None:
    for body in (
        b"",
        b"{",
        b"[]",
        b'{"login": null}',
        b"\xff\xfe",
        b'{"login":"a","password":"\\ud800"}',
        b'{"login":"\\u0000","password":"p"}',
    ):
        answer = await visitor.post("/api/v1/session", content=body, headers={"Content-Type": "application/json"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid_input"), body
        assert answer.json()["error"]["fields"]


async def test_parameters_out_of_range_are_the_callers_fault(log_in: LogIn, world: World) -> None:
    client = await log_in("operator")
    for path in (
        "sites/0",
        "sites/x",
        "sites/99999999999",
        "alerts/99999999999999999999",
        "alerts?limit=0",
        "alerts?severity=bad",
        "devices?site_id=-1",
        "evidence/abc",
        "quarantine?cursor=1.5",
    ):
        answer = await client.get(f"/api/v1/{path}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid_input"), path


async def test_what_breaks_inside_tells_nothing_outside(
    log_in: LogIn, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    client = await log_in("operator")
    await world.connection.execute("DROP VIEW alert_with_rule")
    answer = await client.get("/api/v1/alerts")
    assert answer.status_code == 500
    assert answer.json()["error"]["code"] == "internal"
    assert "alert_with_rule" not in answer.text
    assert "alert_with_rule" in caplog.text


async def test_security_headers_are_on_every_answer(visitor: httpx.AsyncClient, page: Path) -> None:
    for path in ("/", "/assets/index-3f2a.js", "/api/v1/sites", "/healthz", "/api/docs", "/nothing.js"):
        headers = (await visitor.get(path)).headers
        policy = headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe-eval" not in policy
        assert "http" not in policy
        assert headers["x-content-type-options"] == "nosniff"
    assert (await visitor.get("/api/v1/sites")).headers["cache-control"] == "no-store"


async def test_the_page_and_its_routes(visitor: httpx.AsyncClient, page: Path) -> None:
    for path in ("/", "/sites/3", "/index.html", "/sites/3/cameras"):
        answer = await visitor.get(path)
        assert answer.status_code == 200, path
        assert "the page" in answer.text
        assert answer.headers["cache-control"] == "no-cache"
    unchanged = await visitor.get("/sites/3", headers={"If-None-Match": answer.headers["etag"]})
    assert unchanged.status_code == 304


async def test_hashed_assets_are_kept_for_ever(visitor: httpx.AsyncClient, page: Path) -> None:
    answer = await visitor.get("/assets/index-3f2a.js")
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["content-type"].startswith("text/javascript")
    assert (await visitor.get("/icon.svg")).headers["cache-control"] == "no-cache"


async def test_a_missing_file_is_not_the_page(visitor: httpx.AsyncClient, page: Path) -> None:
    for path in ("/assets/index-old.js", "/favicon.ico", "/assets/x", "/..%2fsecret.txt"):
        answer = await visitor.get(path)
        assert answer.status_code == 404, path
        assert "not for the web" not in answer.text
        assert "max-age" not in answer.headers.get("cache-control", "")


async def test_without_a_built_page_it_says_how_to_build_it(visitor: httpx.AsyncClient) -> None:
    answer = await visitor.get("/", headers={"Accept": "text/html"})
    assert answer.status_code == 503
    assert "make web" in answer.text


async def test_health_and_figures(visitor: httpx.AsyncClient) -> None:
    health = await visitor.get("/healthz")
    assert health.status_code == 200
    assert health.json()["database"] == "ok"
    await visitor.get("/api/v1/nothing-at-all")
    figures = (await visitor.get("/metrics")).text
    assert 'smartsite_api_request_seconds_count{method="GET",route="/healthz",status="200"}' in figures
    assert "nothing-at-all" not in figures
