"""The running server held against its own OpenAPI description by schemathesis: no 5xx, nothing that is not described.

More cases an operation than by default: SMARTSITE_CONTRACT_CASES=200.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from core.settings import Settings
from tests.api.conftest import CookieOf

CASES = os.environ.get("SMARTSITE_CONTRACT_CASES", "4")
# Not among them: `not_a_server_error`, for which 503 is one (ours is below), and `negative_data_rejection`, for which a
# request that leaves out the session's cookie is wrong although the header here carries it.
CHECKS = (
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
    "allow_header_conformance",
)
# Whoever logs out answers nothing afterwards.
LOG_OUT = "session_log_out"
PUBLIC = {"/healthz", "/metrics", "/api/v1/session", "/api/v1/session/ways"}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Without limits on requests: thousands come within seconds."""
    free = settings.api.model_copy(update={"caller_requests_s": 0, "address_requests_s": 0})
    return settings.model_copy(update={"api": free})


async def held_against(server: str, report: Path, *options: str) -> tuple[int, str, list[dict[str, Any]]]:
    """Exit status and words of schemathesis, and the exchanges (HAR entries)."""
    program = Path(sys.executable).with_name("schemathesis")
    process = await asyncio.create_subprocess_exec(
        str(program),
        "run",
        f"http://{server}/api/openapi.json",
        *("--checks", ",".join(CHECKS), "--max-examples", CASES),
        *("--generation-deterministic", "--no-shrink", "--continue-on-failure"),
        # One worker: Python 3.11 may fail (SystemError, "AST constructor recursion depth mismatch") where two threads
        # of hypothesis parse source at once.
        *("--report", "har", "--report-har-path", str(report), "--no-color", "--warnings", "off", "--workers", "1"),
        *options,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=report.parent,
    )
    said, _ = await process.communicate()
    assert process.returncode is not None
    exchanges = json.loads(report.read_text())["log"]["entries"] if report.exists() else []
    return process.returncode, said.decode(), exchanges


@pytest.mark.parametrize(
    ("phases", "mode", "seen"),
    [
        # Every value at its bounds, and each optional one alone; then anything at all.
        ("examples,coverage", "positive", {200, 201, 204, 404, 409}),
        ("fuzzing", "all", {200, 404, 422}),
    ],
)
async def test_what_a_leader_is_answered_is_described(
    server: str, cookie_of: CookieOf, tmp_path: Path, phases: str, mode: str, seen: set[int]
) -> None:
    headers = [part for name, value in (await cookie_of("leader")).items() for part in ("-H", f"{name}: {value}")]
    status, said, exchanges = await held_against(
        server,
        tmp_path / "leader.har",
        *("--phases", phases, "--mode", mode, "--exclude-operation-id", LOG_OUT),
        *headers,
    )
    assert status == 0, said
    for exchange in exchanges:
        answer = exchange["response"]
        # No vision worker runs beside this server.
        assert answer["status"] < 500 or "camera_away" in answer["content"]["text"], exchange["request"]
    assert seen <= {exchange["response"]["status"] for exchange in exchanges}


async def test_who_is_not_logged_in_is_told_nothing(server: str, cookie_of: CookieOf, tmp_path: Path) -> None:
    status, said, exchanges = await held_against(server, tmp_path / "nobody.har", "--phases", "examples,fuzzing")
    assert status == 0, said
    for exchange in exchanges:
        path = exchange["request"]["url"].split("?")[0].removeprefix(f"http://{server}")
        if path not in PUBLIC:
            assert 400 <= exchange["response"]["status"] < 500, exchange["request"]
    assert len(exchanges) > 100
