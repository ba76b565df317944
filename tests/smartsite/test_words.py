"""What processes store as a reason is shown in words of both languages."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType
from typing import get_args

import pytest
from pydantic import ValidationError

from alerts.rules import faults as rule_faults
from core.settings import CameraSettings
from ingest import message, prepare, store, writer
from ingest.sources import amqp_downlink
from sensors import codec_json
from sensors.hj212 import faults
from sensors.provision import faults as provision_faults
from sensors.provision.rows import DeviceRow
from vision import advice, option_fields, states, wire

PAGES = [Path(__file__).parents[2] / "web" / "src" / "i18n" / f"{language}.ts" for language in ("zh", "en")]
MODULES: tuple[ModuleType, ...] = (codec_json, faults, message, prepare, store, writer)


def reasons() -> set[str]:
    """Those of the quarantine: `NAME = "name"` in the modules that set messages aside."""
    return {
        value
        for module in MODULES
        for name, value in vars(module).items()
        if name.isupper() and isinstance(value, str) and value == name.lower()
    }


def _section(page: Path, section: str) -> str:
    found = re.search(rf"\n  {section}: {{\n(.*?)\n  }},", page.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    return found[1]


def words(page: Path, section: str) -> set[str]:
    found = re.findall(r"^    (?:'([^']+)'|(\w+)): ", _section(page, section), re.MULTILINE)
    return {bare or quoted for quoted, bare in found}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_reasons_have_words(page: Path) -> None:
    assert {"bad_crc", "in_future", "unknown_device", "conflict", "unstorable"} <= reasons()
    assert reasons() - words(page, "quarantineReason") == set()
    assert set(amqp_downlink._REASONS.values()) - words(page, "commandReason") == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
@pytest.mark.parametrize(
    ("section", "faults"),
    [("rowFault", provision_faults.FAULTS), ("ruleFault", rule_faults.FAULTS)],
    ids=["row", "rule"],
)
def test_what_is_wrong_has_words_with_its_values(page: Path, section: str, faults: dict[str, str]) -> None:
    said = dict(re.findall(r"^    (\w+): '(.*)',$", _section(page, section), re.MULTILINE))
    assert faults.keys() - said.keys() == set()
    for code, text in faults.items():
        given = set(re.findall(r"\{(\w+)\}", text))
        assert set(re.findall(r"\{(\w+)\}", said[code])) <= given, code


def test_every_fault_of_a_rule_is_told_by_somebody() -> None:
    rooms = Path(__file__).parents[2]
    files = [*(rooms / "alerts" / "rules").glob("*.py"), *(rooms / "api" / "rules").glob("*.py")]
    code = "".join(file.read_text(encoding="utf-8") for file in files if file.name != "faults.py")
    assert rule_faults.FAULTS.keys() - set(re.findall(r'"([a-z_]+)"', code)) == set()


def test_rows_that_are_wrong_in_themselves_have_words() -> None:
    """What pydantic finds in a row of devices is told by the codes that the page knows."""
    good = {"site": "a", "code": "b", "kind": "dust", "name": "c"}
    wrong: list[dict[str, object]] = [
        {"code": "a b"}, {"name": "x" * 301}, {"name": ""}, {"secret": "short"}, {"interval_s": "soon"},
        {"interval_s": 0}, {"interval_s": 90_000}, {"clock_offset_ms": 1.5}, {"clock_offset_ms": "x"},
        {"enabled": "perhaps"}, {"latitude": "nan"}, {"latitude": 91}, {"latitude": 30}, {"hj212": "{"},
        {"hj212": "[]"}, {"hj212": '{"crc": "none"}'}, {"colour": "red"}, {"name": "a\nb"}, {"tags": 5},
    ]  # fmt: skip
    known = words(PAGES[0], "rowFault")
    for change in wrong:
        with pytest.raises(ValidationError) as raised:
            DeviceRow.model_validate(good | change)
        for found in raised.value.errors():
            code, values, message = provision_faults.explained(found)
            assert code in known, (change, code)
            assert not any(f"{{{name}}}" in message for name in values)
            assert "input" not in values


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_a_camera_does_has_words(page: Path) -> None:
    reasons = set(get_args(wire.Reason)) - {""}
    assert {"moved", "wrong_password", "invalid_options"} <= reasons
    assert reasons == words(page, "cameraReason")
    assert set(get_args(states.CameraState)) - words(page, "cameraState") == set()
    assert set(get_args(wire.Condition)) == words(page, "cameraCondition")


def test_what_a_camera_does_is_explained() -> None:
    text = (Path(__file__).parents[2] / "docs" / "cameras.md").read_text(encoding="utf-8")
    told = {*get_args(wire.Reason), *get_args(states.CameraState)} - {""}
    assert {code for code in told if f"`{code}`" not in text} == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_to_change_on_a_camera_has_words_with_its_values(page: Path) -> None:
    assert advice.REMEDIES.keys() == words(page, "cameraRemedy")
    said = dict(re.findall(r"^    (\w+): '(.*)',$", _section(page, "cameraAdvice"), re.MULTILINE))
    assert advice.TEXTS.keys() == said.keys()
    for code, text in advice.TEXTS.items():
        assert set(re.findall(r"\{(\w+)\}", said[code])) == set(re.findall(r"\{(\w+)\}", text)), code


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_options_of_a_camera_have_words(page: Path) -> None:
    assert words(page, "cameraOptionGroup") == set(get_args(option_fields.Group))
    known = words(page, "rowFault")
    wrong: list[dict[str, object]] = [
        {"fps": "fast"}, {"fps": 0}, {"fps": 31}, {"tiles": 1.5}, {"tiles": "x"}, {"tiles": 0}, {"view_shift": 1},
        {"transport": "tram"}, {"loop": "perhaps"}, {"onvif": "ftp://h"}, {"onvif": "http://u:p@h"},
        {"onvif": "x" * 501}, {"vote_positive": 9}, {"colour": "red"}, {"zones": 5}, {"score": None}, {"tiles": []},
        {"loop": {}}, {"onvif": 5}, {"quiet_s": float("inf")}, {"onvif": "a\n"},
    ]  # fmt: skip
    for change in wrong:
        with pytest.raises(ValidationError) as raised:
            CameraSettings.model_validate(change)
        for found in raised.value.errors():
            assert provision_faults.explained(found)[0] in known, (change, found["type"])
