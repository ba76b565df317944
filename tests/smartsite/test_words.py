"""What processes store as a reason is shown in words of both languages."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType
from typing import get_args

import pytest

from ingest import message, prepare, store, writer
from ingest.sources import amqp_downlink
from sensors import codec_json
from sensors.hj212 import faults
from vision import states, wire

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


def words(page: Path, section: str) -> set[str]:
    found = re.search(rf"\n  {section}: {{\n(.*?)\n  }},", page.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    return {bare or quoted for quoted, bare in re.findall(r"^    (?:'([^']+)'|(\w+)): ", found[1], re.MULTILINE)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_reasons_have_words(page: Path) -> None:
    assert {"bad_crc", "in_future", "unknown_device", "conflict", "unstorable"} <= reasons()
    assert reasons() - words(page, "quarantineReason") == set()
    assert set(amqp_downlink._REASONS.values()) - words(page, "commandReason") == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_a_camera_does_has_words(page: Path) -> None:
    reasons = set(get_args(wire.Reason)) - {""}
    assert {"moved", "wrong_password", "invalid_options"} <= reasons
    assert reasons == words(page, "cameraReason")
    assert set(get_args(states.CameraState)) - words(page, "cameraState") == set()


def test_what_a_camera_does_is_explained() -> None:
    text = (Path(__file__).parents[2] / "docs" / "cameras.md").read_text(encoding="utf-8")
    told = {*get_args(wire.Reason), *get_args(states.CameraState)} - {""}
    assert {code for code in told if f"`{code}`" not in text} == set()
