"""The form of a camera's options and the settings are the same."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from pydantic import ValidationError

from core.settings import CameraSettings
from vision.option_fields import GROUPS, option_fields


def test_every_option_but_zones_is_in_one_group_with_words_in_both_languages() -> None:
    fields = option_fields(CameraSettings())
    names = Counter(field.name for field in fields)
    assert names == Counter(CameraSettings.model_fields.keys() - {"zones"})
    assert [field.name for field in fields] == [name for options in GROUPS.values() for name in options]
    for field in fields:
        for chinese in (field.label, field.description):
            assert re.search("[\u4e00-\u9fff]", chinese), field.name
        for english in (field.label_en, field.description_en):
            assert re.fullmatch("[ -~]+", english), field.name
    for words in (lambda field: field.label, lambda field: field.label_en):
        assert len({words(field) for field in fields}) == len(fields)


@pytest.mark.parametrize(("ending", "unit"), [("_s", "s"), ("_px", "px"), ("_mb", "MB"), ("fps", "1/s")])
def test_what_a_name_says_of_its_unit_is_told(ending: str, unit: str) -> None:
    units = {field.unit for field in option_fields(CameraSettings()) if field.name.endswith(ending)}
    assert units == {unit}


def test_a_default_is_the_one_that_holds_in_the_house() -> None:
    fields = {field.name: field for field in option_fields(CameraSettings(fps=3, onvif="off", loop=True))}
    assert (fields["fps"].default, fields["onvif"].default, fields["loop"].default) == (3, "off", True)
    assert fields["transport"].choices == ["tcp", "udp"]
    assert (fields["fps"].over, fields["fps"].most, fields["fps"].least) == (0, 30, None)


def test_limits_are_those_that_are_kept() -> None:
    for field in option_fields(CameraSettings()):
        for end, kept in (("over", False), ("least", True), ("below", False), ("most", True)):
            limit = getattr(field, end)
            if limit is None:
                continue
            # The votes limit each other, too.
            given = {"vote_positive": 1, "vote_window": 100} | {field.name: limit}
            if kept:
                CameraSettings.model_validate(given)
                given[field.name] = limit + (1 if end == "most" else -1)
            with pytest.raises(ValidationError) as raised:
                CameraSettings.model_validate(given)
            assert {fault["loc"] for fault in raised.value.errors()} == {(field.name,)}


def test_votes_that_cannot_be_won_are_told_at_the_window() -> None:
    for given in ({"vote_positive": 9}, {"vote_positive": 3, "vote_window": 2}):
        with pytest.raises(ValidationError, match=r"vote_positive \d is above vote_window \d") as raised:
            CameraSettings.model_validate(given)
        assert [fault["loc"] for fault in raised.value.errors()] == [("vote_window",)]
