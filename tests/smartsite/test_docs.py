"""The documentation tells what the code has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from smartsite.settings_page import page

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def test_settings_page_is_what_the_settings_say() -> None:
    written = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert written == page(), "run `make docs`"


def test_every_topic_is_documented() -> None:
    used = set()
    for room in ("sensors", "ingest", "alerts", "api"):
        for module in (ROOT / room).rglob("*.py"):
            for match in re.finditer(
                r'["/](telemetry|status|event|command|reply)"', module.read_text(encoding="utf-8")
            ):
                used.add(match[1])
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    assert "telemetry" in used
    for leaf in used:
        assert f"smartsite/v1/{{site}}/{{device}}/{leaf}" in text


@pytest.mark.parametrize("document", PAGES, ids=lambda path: path.name)
def test_links_between_pages_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", document.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (document.parent / target).exists(), f"{document.name} links to {target}"


@pytest.mark.parametrize("document", PAGES, ids=lambda path: path.name)
def test_files_that_a_page_names_exist(document: Path) -> None:
    for named in re.findall(
        r"(?<![\w/.-])(?:docs|deploy|core|sensors|smartsite)/[\w/.-]+\.(?:md|py|toml|conf|yml)\b", document.read_text()
    ):
        assert (ROOT / named).exists(), f"{document.name} names {named}"


def test_changelog_has_a_section_for_what_is_not_released() -> None:
    assert "## [Unreleased]" in (ROOT / "CHANGELOG.md").read_text()


def test_licence_is_the_agpl_and_the_package_says_so() -> None:
    text = (ROOT / "LICENSE").read_text()
    assert "GNU AFFERO GENERAL PUBLIC LICENSE" in text
    assert "END OF TERMS AND CONDITIONS" in text
    assert 'license = "AGPL-3.0-or-later"' in (ROOT / "pyproject.toml").read_text()


def test_locked_versions_name_no_host() -> None:
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!-]+", line), line
