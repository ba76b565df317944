"""RabbitMQ nodes of the tests' own, set up as deploy/rabbitmq is: free ports, own folders, own epmd."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

from tests.support.ports import free_port

_PROGRAM = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
"""Debian's own; the one on the PATH wants to be started by root or rabbitmq, and keeps to /var."""

_DEPLOYED = Path(__file__).parents[2] / "deploy" / "rabbitmq"
_OF_THE_PLACE = ("listeners.", "mqtt.listeners.", "cluster_formation.")
"""Settings of deploy/rabbitmq/rabbitmq.conf that belong to a machine."""
_OF_A_CLUSTER = ("mqtt.durable_queue_type",)
"""Settings of it that make sense with more nodes than one (docs/scale-out.md)."""


def program() -> Path | None:
    """Where rabbitmq-server is, None where it is not."""
    return _PROGRAM if _PROGRAM.is_file() and shutil.which("epmd") else None


class Epmd:
    """Erlang's port mapper on a port of its own: nodes of other runs are not its business, and it ends with us."""

    def __init__(self) -> None:
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it in the foreground; a node would leave one behind."""
        self._process = subprocess.Popen(["epmd", "-port", str(self.port), "-address", "127.0.0.1"])
        _wait_for(self.port, 60)

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()


class Node:
    """One node. `peers` are all nodes of its cluster, by name, itself included.

    A node alone loads the definitions when it starts. In a cluster they are imported once all nodes are there: a quorum
    queue has its replicas on the nodes that run when it is made.
    """

    def __init__(
        self, folder: Path, epmd: Epmd, definitions: dict[str, Any], *, name: str = "one", peers: tuple[str, ...] = ()
    ) -> None:
        self.folder = folder / name
        self.folder.mkdir(parents=True)
        self.amqp, self.mqtt = free_port(), free_port()
        self.name = f"{name}@localhost"
        self._process: subprocess.Popen[bytes] | None = None
        (self.folder / "definitions.json").write_text(json.dumps(definitions))
        shutil.copy(_DEPLOYED / "enabled_plugins", self.folder)
        deployed = (_DEPLOYED / "rabbitmq.conf").read_text().splitlines(keepends=True)
        left_out = _OF_THE_PLACE if peers else _OF_THE_PLACE + _OF_A_CLUSTER
        lines = "".join(line for line in deployed if not line.startswith(left_out))
        lines += f"listeners.tcp.1 = 127.0.0.1:{self.amqp}\nmqtt.listeners.tcp.1 = 127.0.0.1:{self.mqtt}\n"
        if peers:
            lines += "cluster_formation.peer_discovery_backend = classic_config\n"
            for number, peer in enumerate(peers, 1):
                lines += f"cluster_formation.classic_config.nodes.{number} = {peer}@localhost\n"
        else:
            lines += f"load_definitions = {self.folder / 'definitions.json'}\n"
        (self.folder / "rabbitmq.conf").write_text(lines)
        cookie = self.folder / ".erlang.cookie"
        cookie.write_text("OF_THE_TESTS")
        cookie.chmod(0o400)
        self._environment = {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": str(self.folder),
            "ERL_EPMD_PORT": str(epmd.port),
            "RABBITMQ_NODENAME": self.name,
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_CONF_ENV_FILE": str(self.folder / "none"),
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_PID_FILE": str(self.folder / "pid"),
            # Schedulers that wait for work without burning the processor.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+sbwt none +sbwtdcpu none +sbwtdio none +S 2:2"
            " -kernel inet_dist_use_interface {127,0,0,1}",
        }

    @property
    def url(self) -> str:
        """Address for the settings."""
        return f"amqp://127.0.0.1:{self.amqp}"

    def start(self) -> None:
        """Start; `ready` waits for it."""
        assert program() is not None
        with (self.folder / "output.log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(_PROGRAM)], env=self._environment, stdout=log, stderr=log, cwd=self.folder, start_new_session=True
            )

    def ready(self, timeout: float = 120) -> None:
        """Wait until devices and workers can connect."""
        try:
            _wait_for(self.mqtt, timeout)
            _wait_for(self.amqp, timeout)
        except TimeoutError:
            raise TimeoutError((self.folder / "output.log").read_text(errors="replace")[-4000:]) from None

    def control(self, *arguments: str) -> str:
        """What rabbitmqctl says."""
        return subprocess.run(
            [str(_PROGRAM.with_name("rabbitmqctl")), "--quiet", *arguments],
            env=self._environment,
            cwd=self.folder,
            check=True,
            capture_output=True,
            text=True,
        ).stdout

    def import_definitions(self) -> None:
        """Bring users, the queue and its bindings into the cluster."""
        self.control("import_definitions", str(self.folder / "definitions.json"))

    def freeze(self) -> None:
        """Let its processes do nothing any more, with all connections open; then it can only be killed."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGSTOP)

    def kill(self) -> None:
        """kill -9 of all its processes."""
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            for port in (self.amqp, self.mqtt):
                _wait_for(port, 60, listening=False)

    async def restart(self) -> None:
        """kill -9, and start again on the same ports with what is on disk."""
        await asyncio.to_thread(self.kill)
        self.start()
        await asyncio.to_thread(self.ready)


def _wait_for(port: int, timeout: float, *, listening: bool = True) -> None:
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            found = True
        except OSError:
            found = False
        if found is listening:
            return
        time.sleep(0.05)
    raise TimeoutError(f"port {port} is {'not yet' if listening else 'still'} open")
