from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.settings import Settings
from smartsite.cli import COMMANDS, main, parser
from smartsite.database_part import database_at_hand
from smartsite.datadir import DataDirectory
from smartsite.process import EXIT_CONFIGURATION

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"


@pytest.fixture(autouse=True)
def _apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No settings file and no data of the developer's own gets in the way, and no logging stays behind."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SMARTSITE_CONFIG", "")
    monkeypatch.setenv("SMARTSITE_DATA_DIR", str(tmp_path / "data"))
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level


def test_every_command_has_help_in_its_own_words() -> None:
    for name in COMMANDS:
        done = subprocess.run(
            [sys.executable, "-m", "smartsite", name, "--help"], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert len(done.stdout) > 200, f"{name} explains itself in {len(done.stdout)} characters"


def test_every_command_and_option_is_in_the_docs() -> None:
    page = PAGE.read_text(encoding="utf-8")
    sections = {part.split("`")[0].split()[0]: part for part in page.split("### `smartsite ")[1:]}
    assert sorted(sections) == sorted(COMMANDS)
    options = {action.option_strings[-1] for action in parser_of("demo") if action.option_strings} - {"--help"}
    for option in options:
        assert option in sections["demo"], f"docs/operations.md does not tell {option} of demo"


def parser_of(name: str) -> list[object]:
    top = parser()
    actions = next(action for action in top._actions if action.dest == "command")
    return list(actions.choices[name]._actions)  # type: ignore[union-attr,index,call-overload]


def test_no_command_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([])
    assert caught.value.code == 2
    assert "usage: smartsite" in capsys.readouterr().err


def test_unknown_room_names_the_rooms(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["run", "cellar"])
    assert "'alerts', 'api', 'ingest'" in capsys.readouterr().err


def test_settings_file_that_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--config", "nowhere.toml", "config"]) == EXIT_CONFIGURATION
    assert "there is no settings file nowhere.toml" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("[api]\nport = ", "not valid TOML"),
        ("[api]\nport = 'x'", "api.port"),
        ("[apo]\nport = 1", "apo"),
        ("[api]\nprot = 1", "api.prot"),
    ],
)
def test_settings_file_that_is_wrong(
    text: str, word: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "smartsite.toml").write_text(text)
    assert main(["config"]) == EXIT_CONFIGURATION
    told = capsys.readouterr().err
    assert word in told
    assert "hint: " in told


def test_config_masks_secrets(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMARTSITE_DATABASE__URL", "postgresql://me:hush@db/x")
    monkeypatch.setenv("SMARTSITE_INGEST__BROKER_PASSWORD", "hush")
    monkeypatch.setenv("SMARTSITE_API__PORT", "8123")
    assert main(["config"]) == 0
    shown = capsys.readouterr().out
    assert "api.port = 8123" in shown
    assert "hush" not in shown
    assert main(["config", "--json"]) == 0
    shown = capsys.readouterr().out
    assert json.loads(shown)["api"]["port"] == 8123
    assert "hush" not in shown


def test_database_that_does_not_answer(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMARTSITE_DATABASE__URL", "postgresql://me:hush@127.0.0.1:1/x")
    for arguments in (["migrate"], ["provision", "x.toml"], ["up"]):
        assert main(arguments) == 1
        told = capsys.readouterr().err
        assert "does not answer" in told
        assert "SMARTSITE_DATABASE__URL" in told
        assert "hush" not in told


def test_rules_check_names_file_line_and_rule(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "rules.toml").write_text('[[rules]]\nid = "x"\nname = "x"\nname_en = "x"\nkind = "sometimes"\n')
    assert main(["rules", "check", "rules.toml"]) == 1
    assert "rules.toml:" in capsys.readouterr().err
    assert main(["rules", "check"]) == 0
    assert "no fault" in capsys.readouterr().out


def test_regulator_without_secret(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SMARTSITE_REGULATOR_SECRET", raising=False)
    assert main(["regulator"]) == EXIT_CONFIGURATION
    assert "SMARTSITE_REGULATOR_SECRET" in capsys.readouterr().err


def test_demo_account_needs_a_bounded_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--report", "r.json"]) == 1
    assert "--for SECONDS" in capsys.readouterr().err


def test_migrate_check_and_provision_tell_what_they_did(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert settings.database.url is not None
    monkeypatch.setenv("SMARTSITE_DATABASE__URL", settings.database.url.get_secret_value())
    assert main(["migrate", "--check"]) == 0
    assert "nothing is pending" in capsys.readouterr().out
    (tmp_path / "registry.toml").write_text(
        '[[sites]]\ncode = "a"\nname = "A"\n[[devices]]\nsite = "a"\ncode = "d"\nkind = "dust"\nname = "D"\n'
        '[[devices]]\nsite = "b"\ncode = "d"\nkind = "dust"\nname = "D"\n'
    )
    assert main(["provision", "registry.toml"]) == 1
    told = capsys.readouterr()
    assert "registry.toml: devices[2] (d): site: there is no site 'b'" in told.err
    assert "user a/d  password " in told.out


def test_command_beside_a_running_installation_uses_its_database(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data")
    with DataDirectory(settings.data_dir) as held:
        (held.run / "database.url").write_text("postgresql://smartsite@127.0.0.1:1/smartsite")
        with database_at_hand(settings) as reachable:
            assert reachable.database.url is not None
            assert reachable.database.url.get_secret_value().endswith(":1/smartsite")
