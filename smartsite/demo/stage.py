"""What a demo adds to an installation: simulated devices and cameras, a regulator, perhaps a broker; their files."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from core.settings import Settings, load_settings
from smartsite.commands.regulator import SECRET_VARIABLE
from smartsite.demo import broker, configuration
from smartsite.demo.layout import PortBook, Ports, choose_ports, secret
from smartsite.process import ProcessSpec

#: Paths of the cameras' streams, as the registry names them.
CAMERAS = ("gate-binjiang", "gate-qianjiang")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """The files and ports of a demo in its data directory."""

    data_dir: Path
    ports: Ports
    book: PortBook
    """Holds the ports for as long as the stage is there."""
    with_broker: bool
    configuration: Path
    registry: Path
    journal: Path
    settings: Settings
    environment: dict[str, str]
    """What processes beside the rooms find in their environment: the settings file, the sandbox's secret."""


def prepare(data_dir: Path, *, with_broker: bool, http_port: int | None, log_level: str) -> Stage:
    """Writes settings and registry for this run; what earlier runs decided (ports, secrets) is kept.

    Raises ConfigurationError when the settings that come from the environment do not fit.
    """
    data_dir = data_dir.resolve()
    folder = data_dir / "demo"
    folder.mkdir(parents=True, exist_ok=True)
    book = PortBook()
    ports = choose_ports(folder / "ports.json", http=http_port, book=book)
    regulator_secret = secret(folder / "regulator.secret")
    settings_file = data_dir / "smartsite.toml"
    configuration.write(
        settings_file,
        configuration.Choices(
            data_dir=data_dir,
            ports=ports,
            regulator_secret=regulator_secret,
            broker_password=secret(folder / "broker.secret") if with_broker else None,
            log_level=log_level,
        ),
    )
    registry = folder / "registry.toml"
    registry.write_text(
        configuration.fill_in(
            resources.files("smartsite.demo").joinpath("registry.toml").read_text(encoding="utf-8"),
            {"cameras": f"rtsp://127.0.0.1:{ports.cameras}", "inbox": f"127.0.0.1:{ports.regulator}/inbox"},
        ),
        encoding="utf-8",
    )
    # The account is of one run: a simulator that is restarted within it appends.
    journal = folder / "journal.jsonl"
    journal.unlink(missing_ok=True)
    return Stage(
        data_dir=data_dir,
        ports=ports,
        with_broker=with_broker,
        configuration=settings_file,
        registry=registry,
        journal=journal,
        settings=load_settings(settings_file),
        book=book,
        environment={"SMARTSITE_CONFIG": str(settings_file), SECRET_VARIABLE: regulator_secret},
    )


def regulator(stage: Stage) -> ProcessSpec:
    """The sandbox regulator."""
    port = str(stage.ports.regulator)
    return _command(stage, "regulator", "regulator", "--port", port, "--client", configuration.CLIENT)


def cameras(stage: Stage) -> ProcessSpec:
    """The simulated cameras."""
    return _command(stage, "cameras", "cameras", "--port", str(stage.ports.cameras), *CAMERAS)


def simulator(stage: Stage) -> ProcessSpec:
    """The simulated devices."""
    port = str(stage.ports.mqtt)
    return _command(
        stage, "simulator", "simulate", str(stage.registry), "--port", port, "--journal", str(stage.journal)
    )


def mosquitto(stage: Stage, device_passwords: dict[str, str]) -> ProcessSpec:
    """The broker, which knows our own reader and every device."""
    password = stage.settings.ingest.broker_password.get_secret_value()
    return broker.prepare(
        stage.data_dir / "demo" / "broker",
        port=stage.ports.mqtt,
        reader=configuration.BROKER_USER,
        passwords={configuration.BROKER_USER: password, **device_passwords},
    )


def _command(stage: Stage, name: str, *arguments: str) -> ProcessSpec:
    return ProcessSpec(
        name=name, command=(sys.executable, "-m", "smartsite", *arguments), environment=stage.environment, grace_s=20
    )
