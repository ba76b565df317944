"""Which processes the supervisor starts."""

from __future__ import annotations

import pytest

from core.settings import Settings, load_settings
from smartsite import rooms


def test_as_many_alerts_processes_as_are_set() -> None:
    settings = Settings.model_validate({"alerts": {"processes": 3, "worker": "east"}})
    specs = rooms.specs({"A": "1"}, settings)
    mine = [spec for spec in specs if rooms.room_of(spec.name) == "alerts"]
    assert [(spec.name, spec.environment) for spec in mine] == [
        ("alerts", {"A": "1"}),
        ("alerts-2", {"A": "1", "SMARTSITE_ALERTS__WORKER": "east-2"}),
        ("alerts-3", {"A": "1", "SMARTSITE_ALERTS__WORKER": "east-3"}),
    ]
    assert {spec.command[-2:] for spec in mine} == {("run", "alerts")}
    assert len(specs) == len(rooms.SERVICES) + 2


def test_derived_names_are_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """The longest name with a number behind it is accepted by the process that gets it."""
    many = {"alerts": {"processes": 16, "worker": "a" * 32}, "vision": {"workers": 64, "worker": "b" * 32}}
    specs = rooms.specs({}, Settings.model_validate(many))
    for spec in specs:
        for name, value in spec.environment.items():
            monkeypatch.setenv(name, value)
    names = load_settings(None)
    assert (names.alerts.worker, names.vision.worker) == ("a" * 29 + "-16", "b" * 29 + "-64")
