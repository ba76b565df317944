"""What processes store as a reason is shown in words of both languages."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

import pytest

from ingest import message, prepare, store, writer
from ingest.sources import amqp_downlink
from sensors import codec_json
from sensors.hj212 import faults

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
