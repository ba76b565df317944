"""A Mosquitto of the demo's own: configuration, passwords and access list in one folder, set up as for production."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from core.errors import ConfigurationError
from smartsite.process import ProcessSpec

#: Debian keeps servers out of a plain user's PATH.
_SEARCH = ("/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin")

_CONFIGURATION = """\
listener {port} 127.0.0.1
allow_anonymous false
password_file {folder}/passwords
acl_file {folder}/acl
persistence true
persistence_location {folder}/
autosave_interval 1
max_queued_messages 0
max_queued_bytes 0
max_inflight_messages 1000
log_dest stdout
log_type error
log_type warning
{user}"""

# As in deploy/mosquitto.acl, where each line is explained.
_ACL = """\
user {reader}
topic readwrite smartsite/v1/#

pattern write smartsite/v1/%u/telemetry
pattern write smartsite/v1/%u/status
pattern write smartsite/v1/%u/event
pattern write smartsite/v1/%u/reply
pattern read smartsite/v1/%u/command
"""


def program() -> str:
    """Path of the ``mosquitto`` program; raises ConfigurationError where it is not installed."""
    return _find("mosquitto")


def prepare(folder: Path, *, port: int, reader: str, passwords: Mapping[str, str]) -> ProcessSpec:
    """Writes configuration, access list and hashed passwords (user name -> password), and says how to run the broker.

    ``reader`` is the user who reads every topic; it must be among ``passwords``.
    """
    executable, hasher = _find("mosquitto"), _find("mosquitto_passwd")
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    # It drops root by itself and would lose its way into the folder, and the leash with it.
    user = "user root\n" if os.geteuid() == 0 else ""
    configuration = folder / "mosquitto.conf"
    configuration.write_text(_CONFIGURATION.format(port=port, folder=folder, user=user))
    _write_secret(folder / "acl", _ACL.format(reader=reader))
    clear = folder / "passwords.new"
    _write_secret(clear, "".join(f"{name}:{password}\n" for name, password in passwords.items()))
    subprocess.run([hasher, "-U", str(clear)], check=True, capture_output=True)
    clear.chmod(0o600)
    clear.replace(folder / "passwords")
    return ProcessSpec(name="broker", command=(executable, "-c", str(configuration)))


def _write_secret(path: Path, text: str) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)


def _find(name: str) -> str:
    found = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), *_SEARCH]))
    if found is None:
        raise ConfigurationError(
            f"the program {name} is not installed", hint="install Mosquitto (Debian: apt-get install mosquitto)"
        )
    return found
