"""Brings the registry to what TOML and CSV files say: idempotent, with an error for each row that is wrong."""

from __future__ import annotations

from sensors.provision.apply import apply
from sensors.provision.report import GeneratedSecret, Report, RowError, RowResult

__all__ = ["GeneratedSecret", "Report", "RowError", "RowResult", "apply"]
