"""The database: where it is, and how long what is in it is kept."""

from __future__ import annotations

from pydantic import Field, SecretStr

from core.settings.section import Section


class DatabaseSettings(Section):
    """PostgreSQL, with or without TimescaleDB."""

    url: SecretStr | None = Field(
        default=None,
        description="postgresql:// address of the database. Empty: `smartsite up` starts the PostgreSQL it carries.",
    )
    pool_size: int = Field(default=8, ge=1, le=200, description="Connections that one api process holds at most.")
    connect_timeout_s: float = Field(default=5, gt=0, description="Seconds to wait for a connection.")
    retention_days: int = Field(default=1100, ge=1, description="Days that readings are kept (GB/T 37537: 3 years).")
    rollup_1m_days: int = Field(default=92, ge=42, description="Days that means by the minute are kept.")
    rollup_15m_days: int = Field(default=1100, ge=42, description="Days that means by the quarter of an hour are kept.")
    rollup_1h_days: int = Field(default=3660, ge=42, description="Days that means by the hour are kept.")
    rollup_1d_days: int = Field(default=36_600, ge=42, description="Days that means by the day are kept.")
    log_max_mb: int = Field(
        default=1024, ge=1, description="Size at which the log drops entries that a registered reader has not read yet."
    )
