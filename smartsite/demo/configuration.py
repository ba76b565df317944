"""The settings file of a demo: an ordinary smartsite.toml, so that every other command can be pointed at the demo."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from smartsite.demo.layout import Ports

TARGET = "sandbox"
CLIENT = "smartsite-demo"
BROKER_USER = "smartsite"

_TEMPLATE = """\
# Written by `smartsite demo` at each start. Other commands work on the running demo with it:
#   smartsite --config {path} doctor

data_dir = {data_dir}

[log]
level = "{log_level}"

[api]
port = {http}

[ingest]
{ingest}

[vision]
live_port = {live}

[vision.camera]
# The surveyor comes by every 24 s; each time shall be an episode of its own.
cool_down_s = 20

[alerts]
rules = [{rules}]
linkages = [{linkages}]

[alerts.notify]
link = "http://127.0.0.1:{http}"

[[alerts.targets]]
name = "{target}"
url = "http://127.0.0.1:{regulator}"
client_id = "{client}"
secret = "{secret}"
"""
_ENDPOINT = """\
sources = ["endpoint"]
mqtt_host = "127.0.0.1"
mqtt_port = {mqtt}"""
_BROKER = """\
sources = ["broker"]
broker_url = "mqtt://127.0.0.1:{mqtt}"
broker_user = "{user}"
broker_password = "{password}\""""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """What the command line and the layout decide. ``broker_password`` is None where no broker is used."""

    data_dir: Path
    ports: Ports
    regulator_secret: str
    broker_password: str | None
    log_level: str


def _file(name: str) -> Path:
    """A file that the demo brings along."""
    return Path(str(resources.files("smartsite.demo").joinpath(name)))


def write(path: Path, choices: Choices) -> None:
    """Writes the settings file; only this user may read it."""
    ports = choices.ports
    if choices.broker_password is None:
        ingest = _ENDPOINT.format(mqtt=ports.mqtt)
    else:
        ingest = _BROKER.format(mqtt=ports.mqtt, user=BROKER_USER, password=choices.broker_password)
    path.touch(mode=0o600)
    path.write_text(
        _TEMPLATE.format(
            path=path,
            data_dir=_quoted(choices.data_dir),
            log_level=choices.log_level,
            http=ports.http,
            ingest=ingest,
            live=ports.live,
            rules=_quoted(_file("rules.toml")),
            linkages=_quoted(_file("linkages.toml")),
            target=TARGET,
            regulator=ports.regulator,
            client=CLIENT,
            secret=choices.regulator_secret,
        ),
        encoding="utf-8",
    )


def fill_in(text: str, values: Mapping[str, object]) -> str:
    """Replaces ``@name@`` in a file that the demo brings along."""
    for name, value in values.items():
        text = text.replace(f"@{name}@", str(value))
    return text


def _quoted(path: Path) -> str:
    """A path as a TOML basic string."""
    return '"' + str(path).replace("\\", "\\\\").replace('"', '\\"') + '"'
