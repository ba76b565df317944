"""One typed tree of settings: defaults, then one TOML file, then `SMARTSITE_...` variables.

`SMARTSITE_API__PORT=8080` sets `api.port`. The file is named by `SMARTSITE_CONFIG`, or is `smartsite.toml` in the
working directory where that exists. Every field is described; docs/settings.md is checked against this module.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from core.errors import ConfigurationError


class Section(BaseModel):
    """A table of the settings tree: unknown names are errors, values are fixed once read."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DatabaseSettings(Section):
    """PostgreSQL, with or without TimescaleDB."""

    url: SecretStr | None = Field(
        default=None,
        description="postgresql:// address of the database. Empty: `smartsite up` starts the PostgreSQL it carries.",
    )
    pool_size: int = Field(default=8, ge=1, le=200, description="Connections that one api process holds at most.")
    connect_timeout_s: float = Field(default=5, gt=0, description="Seconds to wait for a connection.")
    retention_days: int = Field(default=1100, ge=1, description="Days that readings are kept (GB/T 37537: 3 years).")
    log_max_mb: int = Field(
        default=1024, ge=1, description="Size at which the log drops entries that a registered reader has not read yet."
    )


class IngestSettings(Section):
    """Where readings come from and what is accepted."""

    worker: str = Field(
        default="1", pattern=r"^[a-z0-9-]{1,32}$", description="Name of this worker, unique among ingest workers."
    )


class VisionSettings(Section):
    """Cameras, detector and episodes."""

    worker: str = Field(
        default="1", pattern=r"^[a-z0-9-]{1,32}$", description="Name of this worker, unique among vision workers."
    )


class AlertsSettings(Section):
    """Rules, regulator targets and notifications."""

    rules: list[Path] = Field(default=[], description="Rule files; empty: the built-in pack.")


class ApiSettings(Section):
    """HTTP and WebSocket server."""

    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")


class LogSettings(Section):
    """What the processes print."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least severe level printed."
    )
    format: Literal["console", "json"] = Field(
        default="console", description="Lines for people or JSON for collectors."
    )


class Settings(BaseSettings):
    """The whole tree."""

    model_config = SettingsConfigDict(
        env_prefix="SMARTSITE_", env_nested_delimiter="__", extra="forbid", frozen=True, env_ignore_empty=True
    )

    data_dir: Path = Field(
        default=Path("var"), description="Folder of everything that is kept: database, evidence, spool."
    )
    database: DatabaseSettings = DatabaseSettings()
    ingest: IngestSettings = IngestSettings()
    vision: VisionSettings = VisionSettings()
    alerts: AlertsSettings = AlertsSettings()
    api: ApiSettings = ApiSettings()
    log: LogSettings = LogSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        # The file's values come in through init and yield to the environment.
        return env_settings, init_settings

    @property
    def evidence_dir(self) -> Path:
        """Root of the evidence store."""
        return self.data_dir / "evidence"


def load_settings(config: Path | None = None) -> Settings:
    """Read the settings; raise ConfigurationError naming file, field and fault."""
    named = config or (Path(os.environ["SMARTSITE_CONFIG"]) if os.environ.get("SMARTSITE_CONFIG") else None)
    path = named or Path("smartsite.toml")
    values: dict[str, Any] = {}
    if named is not None and not path.is_file():
        raise ConfigurationError(f"there is no settings file {path}", hint="correct SMARTSITE_CONFIG or --config")
    if path.is_file():
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"{path} is not valid TOML: {error}", hint="correct the line it names") from error
    try:
        return Settings(**values)
    except ValidationError as error:
        # Input values are left out: one of them may be a secret.
        faults = "; ".join(
            f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}"
            for fault in error.errors(include_input=False)
        )
        source = f"{path} and SMARTSITE_ variables" if path.is_file() else "SMARTSITE_ variables"
        raise ConfigurationError(f"the settings are not usable: {faults}", hint=f"correct {source}") from error
