"""Hatchling build hook: the wheel, and an editable install, carry the built page."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


def _builder() -> ModuleType:
    # Hatchling loads this file alone, so the neighbour is not importable by name.
    spec = importlib.util.spec_from_file_location("smartsite_web_build", Path(__file__).with_name("build.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class WebPageHook(BuildHookInterface[Any]):
    """Runs web/build.py before the files of a wheel are collected."""

    def dependencies(self) -> list[str]:
        """Node.js from PyPI, asked for only where the system's is missing or too old."""
        builder = _builder()
        return [] if builder.system_node() else [builder.NODE_PACKAGE]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 - hatchling's signature
        """Build the page; also called for editable installs (version "editable")."""
        _builder().build()
