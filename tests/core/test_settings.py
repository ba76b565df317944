"""Settings: file, environment, and errors that say what to mend without telling secrets."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import ConfigurationError
from core.settings import load_settings


def test_the_environment_beats_the_file_field_by_field(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "smartsite.toml"
    file.write_text('[api]\nport = 1234\nhost = "::1"\n')
    monkeypatch.setenv("SMARTSITE_API__PORT", "99")
    settings = load_settings(file)
    assert (settings.api.port, settings.api.host) == (99, "::1")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[api]\nprot = 1\n", "api.prot"),
        ("[api]\nport = 'x'\n", "api.port"),
        ("[api\n", "not valid TOML"),
        ("[nosuch]\nx = 1\n", "nosuch"),
    ],
)
def test_a_wrong_file_names_the_field(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "smartsite.toml"
    file.write_text(text)
    with pytest.raises(ConfigurationError, match=words):
        load_settings(file)


def test_a_missing_file_that_was_asked_for_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="there is no settings file"):
        load_settings(tmp_path / "absent.toml")


def test_secrets_do_not_show(tmp_path: Path) -> None:
    file = tmp_path / "smartsite.toml"
    file.write_text('[database]\nurl = "postgresql://u:topsecret@h/d"\npool_size = 0\n')
    with pytest.raises(ConfigurationError) as caught:
        load_settings(file)
    assert "topsecret" not in str(caught.value)
