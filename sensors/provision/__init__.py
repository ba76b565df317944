"""Brings the registry to what TOML and CSV files say: idempotent, with an error for each row that is wrong."""

from __future__ import annotations

from sensors.provision.apply import apply, apply_rows
from sensors.provision.files import Rows, Sourced
from sensors.provision.report import GeneratedSecret, Report, RowError, RowResult

__all__ = ["GeneratedSecret", "Report", "RowError", "RowResult", "Rows", "Sourced", "apply", "apply_rows"]
