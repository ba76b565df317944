"""One typed tree of settings: defaults, then one TOML file, then `SMARTSITE_...` variables.

`SMARTSITE_API__PORT=8080` sets `api.port`. The file is named by `SMARTSITE_CONFIG`, or is `smartsite.toml` in the
working directory where that exists. Every field is described; docs/settings.md is checked against this package.
"""

from core.settings.alerts import AlertsSettings
from core.settings.api import ApiSettings, LogSettings, MapSettings
from core.settings.database import DatabaseSettings
from core.settings.documents import DocumentSettings
from core.settings.evidence import EvidenceSettings
from core.settings.ingest import IngestSettings
from core.settings.notify import EscalationSettings, NotifySettings, SmsSettings
from core.settings.oidc import OidcSettings
from core.settings.rectification import RectificationSettings
from core.settings.section import Role, Section, Severity
from core.settings.targets import Registration, TargetSettings
from core.settings.tree import Settings, load_settings, settings_file
from core.settings.uplinks import UplinkSettings
from core.settings.vision import CameraSettings, Precision, VisionSettings

__all__ = [
    "AlertsSettings",
    "ApiSettings",
    "CameraSettings",
    "DatabaseSettings",
    "DocumentSettings",
    "EscalationSettings",
    "EvidenceSettings",
    "IngestSettings",
    "LogSettings",
    "MapSettings",
    "NotifySettings",
    "OidcSettings",
    "Precision",
    "RectificationSettings",
    "Registration",
    "Role",
    "Section",
    "Settings",
    "Severity",
    "SmsSettings",
    "TargetSettings",
    "UplinkSettings",
    "VisionSettings",
    "load_settings",
    "settings_file",
]
