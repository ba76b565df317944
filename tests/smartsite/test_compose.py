"""docker-compose.yml is what Compose takes, and every service's very command runs."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from importlib import resources
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from jsonschema import Draft202012Validator

from core.settings import Settings
from smartsite.rooms import SERVICES
from tests.support.ports import free_port
from tests.support.wait import eventually

ROOT = Path(__file__).parents[2]
FOREIGN = {"timescaledb", "mosquitto", "mediamtx"}
#: What .env would say.
VARIABLES = {"DATABASE_PASSWORD": "secret", "MQTT_PASSWORD": "secret"}


def compose() -> dict[str, Any]:
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    text = re.sub(r"\$\{(\w+)(?::-([^}]*))?(?::\?[^}]*)?\}", lambda m: VARIABLES.get(m[1]) or m[2] or "", text)
    document: dict[str, Any] = yaml.safe_load(text)
    return document


def test_file_holds_against_the_specification() -> None:
    carried = resources.files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json"
    validator = Draft202012Validator(json.loads(carried.read_text(encoding="utf-8")))
    errors = [f"{list(error.path)}: {error.message}" for error in validator.iter_errors(compose())]
    assert errors == []
    assert not validator.is_valid({"services": {"api": {"comand": ["run", "api"]}}})


def test_every_room_has_a_service() -> None:
    services = compose()["services"]
    assert set(services) == FOREIGN | {"migrate", *SERVICES}
    for room in SERVICES:
        assert services[room]["command"] == ["run", room]
        assert services[room]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}
    assert services["mediamtx"]["profiles"] == ["video"]


def test_files_and_volumes_that_it_mounts_exist() -> None:
    document = compose()
    for name, service in document["services"].items():
        for mount in service.get("volumes", []):
            source = mount.split(":")[0]
            if not source.startswith("./"):
                assert source in document["volumes"], f"{name} mounts the unknown volume {source}"
            elif source != "./deploy/mosquitto.passwords":  # made by its owner, as the file's head says
                assert (ROOT / source).is_file(), f"{name} mounts {source}, which is not there"


def test_settings_of_every_service_are_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for service in compose()["services"].values():
        with monkeypatch.context() as patch:
            for name, value in service.get("environment", {}).items():
                patch.setenv(name, str(value))
            loaded = Settings()
        if "SMARTSITE_INGEST__SOURCES" in service.get("environment", {}):
            assert loaded.ingest.sources == ["broker"]


def test_unknown_variables_would_be_noticed() -> None:
    """A misspelt variable is silently ignored by the settings, so their names are held against the tree."""
    for name, service in compose()["services"].items():
        for variable in service.get("environment", {}):
            if variable.startswith("SMARTSITE_"):
                path = variable.removeprefix("SMARTSITE_").lower().split("__")
                section: Any = Settings
                for part in path:
                    assert part in section.model_fields, f"{name}: there is no setting {variable}"
                    section = section.model_fields[part].annotation


def test_broker_keeps_what_the_measurements_ask_for() -> None:
    lines = (ROOT / "deploy" / "mosquitto.conf").read_text().splitlines()
    for line in ("persistence true", "autosave_interval 1", "max_queued_messages 0", "allow_anonymous false"):
        assert line in lines


@pytest.mark.parametrize("service", ["migrate", *SERVICES])
async def test_command_of_the_service_runs(service: str, settings: Settings, tmp_path: Path) -> None:
    """Outside a container, against a real database: it starts, says that it lives, and ends politely."""
    assert settings.database.url is not None
    url = settings.database.url.get_secret_value()
    described = compose()["services"][service]
    given = {name: str(value) for name, value in described["environment"].items()}
    given |= {
        "SMARTSITE_DATABASE__URL": url,
        "SMARTSITE_DATA_DIR": str(tmp_path),
        "PATH": str(Path(sys.executable).parent),
        # The neighbours' names mean nothing here, and the ports may be taken.
        "SMARTSITE_INGEST__BROKER_URL": f"mqtt://127.0.0.1:{free_port()}",
        "SMARTSITE_API__HOST": "127.0.0.1",
        "SMARTSITE_API__PORT": str(free_port()),
        "SMARTSITE_VISION__LIVE_HOST": "127.0.0.1",
        "SMARTSITE_VISION__LIVE_PORT": "0",
    }
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).parent / "smartsite"),
        *described["command"],
        env=given,
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout is not None
    if service != "migrate":
        await eventually(lambda: process.returncode is not None or beats(url, process.pid), timeout=60)
        if process.returncode is None:
            process.terminate()
    output, _ = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0, output.decode()


def beats(url: str, pid: int) -> bool:
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT count(*) FROM worker WHERE pid = %s", [pid]).fetchone()
    return row is not None and row[0] > 0
