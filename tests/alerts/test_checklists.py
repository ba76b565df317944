"""Checklists of inspections: built-in ones, own ones, and files that are none."""

from __future__ import annotations

from pathlib import Path

import pytest

from alerts.inspection.checklists import load_checklists
from core.errors import ConfigurationError

ITEM = '[[items]]\ncode = "a"\ntitle = "甲"\n'


def test_built_in_lists_are_whole_in_both_languages() -> None:
    lists = load_checklists([])
    assert list(lists) == ["site-safety", "six-hundred-percents"]
    for one in lists.values():
        assert all((one.name_en, one.source, one.confidence))
        assert all(item.title_en and item.requirement for item in one.items)


def test_an_own_list_of_the_same_name_counts(tmp_path: Path) -> None:
    own = tmp_path / "site-safety.toml"
    own.write_text(f'name = "我局巡查表"\n{ITEM}', encoding="utf-8")
    assert load_checklists([own])["site-safety"].name == "我局巡查表"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("name = ", "not valid TOML"),
        ('name = "x"', "items"),
        (f'name = "x"\n{ITEM}{ITEM}', "the same code: a"),
        (f'name = "x"\ncolour = "red"\n{ITEM}', "colour"),
        (None, "cannot be read"),
    ],
)
def test_a_file_that_is_no_list_is_refused_by_its_name(tmp_path: Path, text: str | None, fault: str) -> None:
    path = tmp_path / "own.toml"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=rf"own\.toml.*{fault}"):
        load_checklists([path])
