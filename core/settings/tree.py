"""The whole tree, and where its values come from."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from core.errors import ConfigurationError
from core.settings.alerts import AlertsSettings
from core.settings.api import ApiSettings, LogSettings
from core.settings.database import DatabaseSettings
from core.settings.documents import DocumentSettings
from core.settings.evidence import EvidenceSettings
from core.settings.ingest import IngestSettings
from core.settings.vision import VisionSettings


class Settings(BaseSettings):
    """The whole tree."""

    model_config = SettingsConfigDict(
        env_prefix="SMARTSITE_", env_nested_delimiter="__", extra="forbid", frozen=True, env_ignore_empty=True
    )

    data_dir: Path = Field(
        default=Path("var"), description="Folder of everything that is kept: database, evidence, spool."
    )
    kinds_dir: Path | None = Field(
        default=None,
        description="Folder of device kinds (*.toml) besides the built-in ones; of the same kind, the folder's counts.",
    )
    signing_key: Path | None = Field(
        default=None,
        description="Ed25519 key (PEM) that signs reports and the audit log; empty: `keys/signing.pem` in data_dir, "
        "made at the first use.",
    )
    audit_heads: Path | None = Field(
        default=None,
        description="Folder into which the audit log's signed head is written each day, best of another machine; "
        "empty: `audit` in data_dir.",
    )
    database: DatabaseSettings = DatabaseSettings()
    ingest: IngestSettings = IngestSettings()
    vision: VisionSettings = VisionSettings()
    evidence: EvidenceSettings = EvidenceSettings()
    documents: DocumentSettings = DocumentSettings()
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

    @property
    def signing_key_file(self) -> Path:
        """Where the signing key lies or will be made."""
        return self.signing_key or self.data_dir / "keys" / "signing.pem"

    @property
    def audit_dir(self) -> Path:
        """Where the signed heads of the audit log lie."""
        return self.audit_heads or self.data_dir / "audit"


def settings_file() -> Path:
    """The file that SMARTSITE_CONFIG names, else smartsite.toml in the working directory; it may be missing."""
    return Path(os.environ.get("SMARTSITE_CONFIG") or "smartsite.toml")


def load_settings(config: Path | None = None) -> Settings:
    """Read the settings; raise ConfigurationError naming file, field and fault."""
    path = config or settings_file()
    named = config is not None or bool(os.environ.get("SMARTSITE_CONFIG"))
    values: dict[str, Any] = {}
    if named and not path.is_file():
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
