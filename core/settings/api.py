"""The HTTP server, and what the processes print."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from core.settings.section import Section


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
    max_body_kb: int = Field(default=64, ge=1, description="Largest request body that is read, in KiB.")


class LogSettings(Section):
    """What the processes print."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least severe level printed."
    )
    format: Literal["console", "json"] = Field(
        default="console", description="Lines for people or JSON for collectors."
    )
