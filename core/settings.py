"""One typed tree of settings: defaults, then one TOML file, then `SMARTSITE_...` variables.

`SMARTSITE_API__PORT=8080` sets `api.port`. The file is named by `SMARTSITE_CONFIG`, or is `smartsite.toml` in the
working directory where that exists. Every field is described; docs/settings.md is checked against this module.
"""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator
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
    rollup_1m_days: int = Field(default=92, ge=42, description="Days that means by the minute are kept.")
    rollup_15m_days: int = Field(default=1100, ge=42, description="Days that means by the quarter of an hour are kept.")
    rollup_1h_days: int = Field(default=3660, ge=42, description="Days that means by the hour are kept.")
    rollup_1d_days: int = Field(default=36_600, ge=42, description="Days that means by the day are kept.")
    log_max_mb: int = Field(
        default=1024, ge=1, description="Size at which the log drops entries that a registered reader has not read yet."
    )


class IngestSettings(Section):
    """Where readings come from and what is accepted."""

    worker: str = Field(
        default="1", pattern=r"^[a-z0-9-]{1,32}$", description="Name of this worker, unique among ingest workers."
    )
    sources: list[Literal["endpoint", "broker", "amqp", "hj212"]] = Field(
        default=["endpoint"],
        min_length=1,
        description="Where messages come from: own MQTT endpoint, MQTT broker, RabbitMQ queue, HJ 212 stations.",
    )
    mqtt_host: str = Field(default="0.0.0.0", description="Address that the own MQTT endpoint listens on.")
    mqtt_port: int = Field(
        default=1883, ge=0, le=65535, description="Port of the own MQTT endpoint; 0 takes a free one."
    )
    tls_host: str = Field(default="0.0.0.0", description="Address that the own endpoint listens on for MQTT over TLS.")
    tls_port: int | None = Field(
        default=None,
        ge=0,
        le=65535,
        description="Port for MQTT over TLS, 8883 by custom; empty: no TLS; 0 takes a free one.",
    )
    tls_certificate: Path | None = Field(
        default=None, description="Certificate of the own endpoint with its chain, PEM; read at start."
    )
    tls_key: Path | None = Field(default=None, description="Private key of that certificate, PEM without passphrase.")
    tls_client_ca: Path | None = Field(
        default=None,
        description="Authorities, PEM, whose client certificates stand for the device that they name; empty: none.",
    )
    tls_require_certificate: bool = Field(
        default=False, description="Whether a client without such a certificate is refused over TLS."
    )
    connect_rate: float = Field(
        default=5,
        ge=0,
        description="Connects a second of one device from one address, in bursts of ten seconds' worth; 0: no limit.",
    )
    publish_rate: float = Field(
        default=2000,
        ge=0,
        description="Messages a second of one device, likewise; beyond it its connection is read slower. 0: no limit.",
    )
    max_packet_kb: int = Field(
        default=256, ge=1, le=262_143, description="Largest MQTT packet that the own endpoint takes, in KiB."
    )
    in_flight: int = Field(
        default=1000,
        ge=1,
        le=65535,
        description="QoS 1 messages that a device, or the broker, may send before the first is acknowledged.",
    )
    max_connections: int = Field(default=5000, ge=1, description="Connections at a time to the own endpoint.")
    address_connections: int = Field(
        default=1000,
        ge=1,
        description="Connections at a time from one address (of IPv6: one /64), to the own endpoint and to the gateway "
        "each. A site's devices often share one address.",
    )
    device_connections: int = Field(
        default=10, ge=1, description="MQTT connections of one device; one more ends the oldest."
    )
    remember_verified: bool = Field(
        default=True,
        description="Whether secrets that were found right are noted, keyed, in data_dir/verified, so that devices "
        "with chosen secrets come back at once after a restart; docs/protocol-mqtt.md tells what that means.",
    )
    broker_url: str = Field(
        default="mqtt://127.0.0.1:1883",
        pattern=r"^mqtts?://[^\s/@:]+(:[0-9]{1,5})?/?$",
        description="Address of the MQTT broker, mqtt:// or mqtts:// (TLS); user and password are fields of their own.",
    )
    broker_user: str = Field(default="", description="User name at the broker; empty: none.")
    broker_password: SecretStr = Field(default=SecretStr(""), description="Password at the broker.")
    broker_client_id: str = Field(
        default="",
        max_length=64,
        description="Client identifier of the persistent session at the broker; empty: smartsite-ingest-<worker>.",
    )
    broker_group: str = Field(
        default="",
        pattern=r"^[A-Za-z0-9_-]{0,64}$",
        description="Name of the shared subscription of several workers on one broker; empty: this worker reads alone.",
    )
    amqp_urls: list[str] = Field(
        default=[],
        description="Nodes of the RabbitMQ cluster: amqp://host:port/vhost, or amqps:// for TLS; no user or password.",
    )
    amqp_user: str = Field(default="smartsite", description="User name of the workers at RabbitMQ.")
    amqp_password: SecretStr = Field(default=SecretStr(""), description="Password of the workers at RabbitMQ.")
    amqp_queue: str = Field(
        default="smartsite",
        pattern=r"^[A-Za-z0-9_.-]{1,100}$",
        description="Name of the quorum queue that all ingest workers read.",
    )
    amqp_prefetch: int = Field(
        default=2000,
        ge=1,
        le=65535,
        description="Messages that RabbitMQ gives a worker before the first is acknowledged.",
    )
    amqp_declare: bool = Field(
        default=True,
        description="Whether the worker makes the queue and its bindings where they are missing.",
    )
    hj212_host: str = Field(default="0.0.0.0", description="Address that the gateway for HJ 212 stations listens on.")
    hj212_port: int = Field(
        default=2120, ge=0, le=65535, description="Port of the gateway for HJ 212 stations; 0 takes a free one."
    )
    hj212_max_connections: int = Field(default=2000, ge=1, description="Connections of HJ 212 stations at a time.")
    hj212_max_frame_kb: int = Field(
        default=64, ge=1, le=1024, description="Longest frame of HJ 212 that is taken, in KiB; the standard says 1."
    )
    hj212_idle_s: float = Field(
        default=900, ge=10, le=86_400, description="Seconds of silence after which an HJ 212 connection is ended."
    )
    max_age_days: float = Field(
        default=30, gt=0, le=35, description="Days that a reading may be old; older ones go to quarantine."
    )
    max_ahead_s: float = Field(
        default=300, ge=0, le=86_400, description="Seconds that a reading may lie in the future before it goes there."
    )
    batch_messages: int = Field(default=2000, ge=1, le=100_000, description="Messages in one transaction at most.")
    waiting_messages: int = Field(
        default=50_000, ge=1, description="Messages that may wait in memory before sources stop reading."
    )
    waiting_mb: int = Field(default=128, ge=1, description="The same bound for their payloads, in MiB.")
    spool_mb: int = Field(
        default=1024,
        ge=0,
        description="MiB of messages that wait on disk (data_dir/spool) while the database is away; 0: no spool. "
        "A worker that only reads from a broker has none.",
    )
    spool_after_s: float = Field(
        default=2, gt=0, description="Seconds that a transaction may take before what arrives goes to the spool."
    )
    quarantine_rows: int = Field(
        default=1000, ge=1, description="Newest rows of the quarantine that are kept for each device."
    )

    @model_validator(mode="after")
    def _tls_is_whole(self) -> IngestSettings:
        if self.tls_port is not None and (self.tls_certificate is None or self.tls_key is None):
            raise ValueError("tls_port needs tls_certificate and tls_key")
        if self.tls_require_certificate and self.tls_client_ca is None:
            raise ValueError("tls_require_certificate needs tls_client_ca")
        return self

    @field_validator("amqp_urls")
    @classmethod
    def _nodes_can_be_reached(cls, urls: list[str]) -> list[str]:
        for url in urls:
            # `port` raises ValueError beyond 65535. The address is not shown: it may hold a password by mistake.
            if not re.fullmatch(r"amqps?://[^\s/@:]+(:[0-9]{1,5})?(/[^\s/@]*)?", url) or urlsplit(url).port == 0:
                raise ValueError("an address is not of the form amqp://host:port/vhost")
        return urls

    @model_validator(mode="after")
    def _sources_have_addresses(self) -> IngestSettings:
        if "amqp" in self.sources and not self.amqp_urls:
            raise ValueError("the source amqp needs amqp_urls")
        return self


class CameraSettings(Section):
    """How one camera is read and judged. The defaults of all cameras; `options` of a camera overrides each by name."""

    fps: float = Field(
        default=1, gt=0, le=30, description="Pictures a second that are looked at while nothing happens."
    )
    attentive_fps: float = Field(
        default=5, gt=0, le=30, description="Pictures a second while a bare head is being judged or somebody watches."
    )
    transport: Literal["tcp", "udp"] = Field(default="tcp", description="How RTSP carries the video.")
    loop: bool = Field(default=False, description="Play a file again and again instead of once.")
    open_timeout_s: float = Field(default=8, gt=0, le=120, description="Seconds a camera has to answer.")
    read_timeout_s: float = Field(
        default=5, gt=0, le=120, description="Seconds without data after which it is stalled."
    )
    gate_share: float = Field(
        default=0.0003,
        ge=0,
        le=1,
        description="Share of the picture that must change before it is looked at; 0: always.",
    )
    gate_look_s: float = Field(default=30, gt=0, description="Seconds after which a still picture is looked at anyway.")
    score: float = Field(default=0.5, gt=0, le=1, description="Least score of a box that counts in the vote.")
    head_px: float = Field(default=16, ge=1, description="Heads lower than this many pixels are unknown: no vote.")
    vote_positive: int = Field(
        default=5, ge=1, le=100, description="Bare-headed looks at one person that make an episode ..."
    )
    vote_window: int = Field(default=8, ge=1, le=100, description="... out of that many newest looks at the person.")
    quiet_s: float = Field(default=10, gt=0, description="Seconds without a bare head after which its episode ends.")
    cool_down_s: float = Field(
        default=300,
        ge=0,
        le=86_400,
        description="Seconds after an episode was last seen in which its camera and zone start no other.",
    )
    clip_before_s: float = Field(default=5, ge=0, le=60, description="Seconds of video kept before an episode ...")
    clip_after_s: float = Field(
        default=5, ge=0, le=60, description="... and after its start, as the camera sent them; both 0: no clips."
    )
    clip_mb: int = Field(
        default=16, ge=0, le=256, description="Most MB of encoded video that one camera holds for clips; 0: no clips."
    )

    @model_validator(mode="after")
    def _vote_can_be_won(self) -> CameraSettings:
        if self.vote_positive > self.vote_window:
            raise ValueError(f"vote_positive {self.vote_positive} is above vote_window {self.vote_window}")
        return self


class VisionSettings(Section):
    """Cameras, detector and episodes."""

    worker: str = Field(
        default="1", pattern=r"^[a-z0-9-]{1,32}$", description="Name of this worker, unique among vision workers."
    )
    model: Path | None = Field(
        default=None,
        description="Model: OpenVINO (.xml beside its .bin), .onnx, .pt or TensorRT .engine; empty: the built-in one.",
    )
    input_px: int = Field(
        default=640,
        ge=160,
        le=2048,
        description="Longer side of the network's input; more finds smaller heads and costs more. The shorter follows.",
    )
    threads: int = Field(default=1, ge=1, le=64, description="Threads of one inference.")
    live_host: str = Field(
        default="127.0.0.1", description="Address on which api fetches live pictures; it has no log-in."
    )
    live_port: int = Field(default=8091, ge=0, le=65535, description="Port of it; 0 takes a free one.")
    camera: CameraSettings = CameraSettings()


Severity = Literal["info", "warning", "major", "critical"]
Registration = Literal[
    "project_code",
    "permit_number",
    "supervision_number",
    "region_code",
    "coordinates",
    "builder",
    "contractor",
    "supervisor",
    "record_number",
    "factory",
]


class TargetSettings(Section):
    """One regulator to which violations are reported."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$", description="Name by which rules and deliveries know it.")
    adapter: str = Field(default="reference", description="File in alerts/adapters/ that speaks the regulator's API.")
    url: str = Field(pattern=r"^https?://", description="Base address of the regulator's API.")
    client_id: str = Field(
        default="",
        pattern="^[!-~]*$",
        description="Number under which the regulator has registered this platform.",
    )
    secret: SecretStr = Field(default=SecretStr(""), description="Secret that came with it; whsec_... for `reference`.")
    secrets: dict[str, SecretStr] = Field(
        default={}, description="Further secrets by name, for regulators that give out several."
    )
    options: dict[str, Any] = Field(
        default={}, description="Options of the adapter; those of `form` are described in docs/regulators.md."
    )
    push_on: Literal["raise", "end", "both"] = Field(
        default="both", description="Whether the raise, the end (with the maximum reached) or both are reported."
    )
    rules: list[str] = Field(
        default=[], description="Patterns (`pm10-*`) of rules reported here, besides the rules that name this target."
    )
    sites: list[str] = Field(default=[], description="Codes of the sites reported here; empty: all sites.")
    min_severity: Severity = Field(default="info", description="Least severity that is reported.")
    requires: list[Registration] = Field(
        default=["project_code", "permit_number"],
        description="What a site (and its device) must be registered with; where it is missing, nothing is sent.",
    )
    keys: bool = Field(
        default=True, description="Whether the regulator takes an idempotency key, so that sending again is harmless."
    )
    on_uncertain: Literal["ask", "resend"] = Field(
        default="ask",
        description="Without keys, when a reply was lost: wait for a person (`ask`), or risk a double (`resend`).",
    )
    timeout_s: float = Field(default=10, gt=0, le=300, description="Seconds that one call may take from end to end.")
    in_flight: int = Field(default=4, ge=1, le=64, description="Calls to this regulator at the same time.")
    per_minute: float = Field(
        default=0, ge=0, description="Calls a minute of all workers, in bursts of ten seconds' worth; 0: no limit."
    )
    ordered: bool = Field(
        default=False,
        description="Whether all deliveries keep their order, one call at a time; an alert's own always do.",
    )
    breaker_failures: int = Field(
        default=10,
        ge=0,
        description="Failed calls in a row after which one at a time is tried, until one is answered; 0: never.",
    )
    max_skew_s: float = Field(
        default=60,
        gt=0,
        description="Seconds that its clock may be off ours; beyond it a refusal is the clock's fault and is retried.",
    )
    give_up_days: float = Field(default=14, gt=0, description="Days of failing after which a delivery is given up.")

    @field_validator("url")
    @classmethod
    def _host_and_port_are_possible(cls, url: str) -> str:
        # `port` raises ValueError beyond 65535.
        parts = urlsplit(url)
        if not parts.hostname or parts.port == 0:
            raise ValueError("the address names no host, or port 0")
        return url


class UplinkSettings(Section):
    """One platform that takes the stations' data by HJ 212 over TCP."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$", description="Name by which logs and cursors know it.")
    host: str = Field(min_length=1, description="Host of the platform.")
    port: int = Field(ge=1, le=65535, description="Port of the platform.")
    sites: list[str] = Field(default=[], description="Codes of the sites whose stations are reported; empty: all.")
    kinds: list[str] = Field(default=["dust"], description="Kinds of devices that are reported.")
    mn: dict[str, str] = Field(
        default={},
        description="MN that the platform gave out, by `site/device`; where it is missing, the device's own `mn`.",
    )
    st: str = Field(default="39", pattern="^[0-9]{2}$", description="System type: 39 construction site dust, 22 air.")
    password: SecretStr = Field(default=SecretStr("123456"), description="Access password (PW), 6 characters.")
    version: Literal["2017", "2025"] = Field(default="2017", description="Edition of HJ 212.")
    key: SecretStr = Field(
        default=SecretStr(""),
        description="SM4 key of HJ 212-2025, 16 characters or 32 hexadecimal digits; empty: none.",
    )
    time_zone: str = Field(
        default="+08:00", pattern=r"^[+-](0[0-9]|1[0-4]):[0-5][0-9]$", description="Offset of QN and DataTime."
    )
    real_time_s: float = Field(
        default=30, ge=0, le=3600, description="Seconds between real-time data (2011) of a station; 0: none."
    )
    minutes: Literal[0, 1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30] = Field(
        default=10, description="Minutes of a period of minute data (2051); 0: none."
    )
    hours: bool = Field(default=True, description="Whether hour data (2061) are sent.")
    codes: dict[str, str] = Field(
        default={}, description="Factor codes by channel where the platform wants others, such as laeq = LA."
    )
    timeout_s: float = Field(default=10, gt=0, le=300, description="Seconds to wait for an acknowledgement.")
    retries: int = Field(default=3, ge=0, le=20, description="Times that a packet is sent again before reconnecting.")
    delay_s: float = Field(
        default=90, ge=0, le=3600, description="Seconds after the end of a period before its data are sent."
    )
    back_fill_days: float = Field(
        default=7, ge=0, le=90, description="Days of minute and hour data that are sent after an outage at most."
    )


class NotifySettings(Section):
    """Who on a site is told of a violation, and how."""

    officer: Severity = Field(default="info", description="Least severity of which a site's safety officers are told.")
    supervisor: Severity = Field(default="major", description="Least severity of which its supervisors are told.")
    link: str = Field(
        default="http://127.0.0.1:8000",
        pattern=r"^https?://",
        description="Address of the web page as officers reach it; messages link to the alert there.",
    )
    timeout_s: float = Field(default=10, gt=0, le=120, description="Seconds that one message may take.")
    in_flight: int = Field(default=4, ge=1, le=64, description="Messages under way at the same time.")
    give_up_hours: float = Field(default=24, gt=0, description="Hours of failing after which a message is given up.")


class AlertsSettings(Section):
    """Rules, regulator targets and notifications."""

    rules: list[Path] = Field(default=[], description="Rule files and folders of them; empty: the built-in packs.")
    linkages: list[Path] = Field(
        default=[], description="Linkage files: what is switched on while a violation stands; read at the start."
    )
    rules_check_s: float = Field(default=2, gt=0, description="Seconds between looks for changed rule files.")
    snapshot_every_s: float = Field(
        default=2, ge=0, description="Seconds of readings that a restarted engine reads again at most."
    )
    targets: list[TargetSettings] = Field(default=[], description="Regulators to which violations are reported.")
    uplinks: list[UplinkSettings] = Field(default=[], description="Platforms that take data by HJ 212.")
    notify: NotifySettings = NotifySettings()

    @model_validator(mode="after")
    def _names_are_unique(self) -> AlertsSettings:
        for kind, names in (
            ("targets", [target.name for target in self.targets]),
            ("up-links", [uplink.name for uplink in self.uplinks]),
        ):
            doubled = sorted({name for name in names if names.count(name) > 1})
            if doubled:
                raise ValueError(f"two {kind} have the same name: {', '.join(doubled)}")
        return self


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
    max_body_kb: int = Field(default=64, ge=1, description="Largest request body that is read, in KiB.")


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
    kinds_dir: Path | None = Field(
        default=None,
        description="Folder of device kinds (*.toml) besides the built-in ones; of the same kind, the folder's counts.",
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
