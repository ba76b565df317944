"""The HTTP server, and what the processes print."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from core.settings.oidc import OidcSettings
from core.settings.section import Section


class MapSettings(Section):
    """The base map below the sites; with neither tiles nor a file, the page's own outlines."""

    tiles: str = Field(
        default="",
        pattern=r"^((https?://[^\s/;,'\"{}]+)?/[^\s;,'\"]*)?$",
        description="Map tiles of your own network (Web Mercator, WGS-84): an address with {z}, {x} and {y}. "
        "Browsers ask that host.",
    )
    file: Path | None = Field(
        default=None, description="A PMTiles file with vector (Protomaps) or picture tiles, instead of `tiles`."
    )
    zoom: int = Field(default=18, ge=0, le=22, description="Deepest zoom of `tiles`; deeper views enlarge them.")
    credit: str = Field(
        default="", max_length=200, description="Shown on the map: its source, its approval number (审图号)."
    )

    @model_validator(mode="after")
    def _one_map(self) -> MapSettings:
        if self.tiles and self.file:
            raise ValueError("give tiles or a file, not both")
        if self.tiles and not all(part in self.tiles for part in ("{z}", "{x}", "{y}")):
            raise ValueError("tiles needs {z}, {x} and {y} in the address")
        return self

    @property
    def origin(self) -> str:
        """Scheme and host that tiles come from; empty where it is the page's own."""
        return "/".join(self.tiles.split("/", 3)[:3]) if "://" in self.tiles else ""


class ApiSettings(Section):
    """HTTP and WebSocket server."""

    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    web_dir: Path | None = Field(
        default=None, description="Folder of the built web page; empty: the one that the package carries."
    )
    proxies: list[str] = Field(
        default=[],
        description="Addresses of reverse proxies whose X-Forwarded-For and X-Forwarded-Proto are believed; '*': any.",
    )
    session_hours: float = Field(default=12, gt=0, le=8760, description="Hours after which one must log in again.")
    login_attempts: int = Field(
        default=5, ge=1, description="Failed log-ins of one name from one address after which it is locked there."
    )
    login_lock_minutes: float = Field(
        default=15, gt=0, le=1440, description="Minutes that a lock lasts, and that failures are remembered."
    )
    blur_live: bool = Field(
        default=True,
        description="Blur heads on live pictures and snapshots for people without the right `original`; off: nobody's.",
    )
    caller_requests_s: float = Field(
        default=50, ge=0, description="Requests a second that one session or token may make for long; 0: no limit."
    )
    caller_burst: int = Field(
        default=1000, ge=1, description="Requests that one session or token may make at once after a pause."
    )
    address_requests_s: float = Field(
        default=20,
        ge=0,
        description="Requests a second that an address may make for long without a session or token; 0: no limit.",
    )
    address_burst: int = Field(
        default=300, ge=1, description="Requests that an address may make at once without a session or token."
    )
    max_body_kb: int = Field(default=64, ge=1, description="Largest request body that is read, in KiB.")
    map: MapSettings = Field(default=MapSettings(), description="The base map.")
    oidc: OidcSettings | None = Field(
        default=None, description="Log-in through an OpenID Connect provider; empty: by password alone."
    )


class LogSettings(Section):
    """What the processes print."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least severe level printed."
    )
    format: Literal["console", "json"] = Field(
        default="console", description="Lines for people or JSON for collectors."
    )
