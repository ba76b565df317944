"""`python -m benchmarks.reconnect [--json] [--devices N]`: generated secrets, chosen ones, and Mosquitto."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psycopg
from argon2 import PasswordHasher

from benchmarks.ingest.stage import Stage
from benchmarks.ingest.usage import Meter
from benchmarks.report import conclude, machine, target
from ingest.verified import Verified
from sensors.credentials import generate_secret, hash_generated, hash_secret

NEVER_SEEN = 300
"""Devices of the way in which argon2 is asked for each; it costs some 20 ms of a core for each, and as much before."""
# Where right passwords are known already the cost of their hashes is never paid: cheap ones shorten the preparation.
_cheap = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


class Ways:
    """One run each; every one begins with a server that has just started."""

    def __init__(self, stage: Stage, devices: int) -> None:
        self._stage = stage
        self._secrets = {name: generate_secret() for name in stage.names[:devices]}

    async def generated(self) -> dict[str, Any]:
        """Secrets as provisioning makes them."""
        hashes = {name: hash_generated(secret) for name, secret in self._secrets.items()}
        return await self._own(hashes)

    async def chosen_known(self) -> dict[str, Any]:
        """Chosen secrets, each found right by an ingest before this one."""
        hashes = {name: _cheap.hash(secret) for name, secret in self._secrets.items()}
        known = Verified(self._stage.folder / "data" / "verified" / "ingest-1")
        known.open(list(hashes.values()))
        for name, hashed in hashes.items():
            known.add(hashed, self._secrets[name].encode())
        known.close()
        return await self._own(hashes)

    async def chosen_new(self) -> dict[str, Any]:
        """Chosen secrets that nobody has seen before: argon2 for each."""
        few = list(self._secrets)[:NEVER_SEEN]
        return await self._own({name: hash_secret(self._secrets[name]) for name in few})

    async def mosquitto(self) -> dict[str, Any]:
        """Mosquitto with its own password file; it acknowledges without storing a reading."""
        file = self._stage.folder / "passwords"
        file.write_text("".join(f"{name}:{secret}\n" for name, secret in self._secrets.items()))
        file.chmod(0o644)
        await (await asyncio.create_subprocess_exec("mosquitto_passwd", "-U", str(file))).wait()
        async with self._stage.broker(f"password_file {file}") as (pid, port):
            return await self._crowd(self._secrets, port, {"mosquitto": pid})

    async def _own(self, hashes: dict[str, str]) -> dict[str, Any]:
        with self._stage.database() as url:
            with psycopg.connect(url) as connection:
                connection.execute(
                    "UPDATE device d SET secret_hash = u.hash"
                    " FROM unnest(%s::text[], %s::text[]) u (name, hash), site s"
                    " WHERE s.id = d.site_id AND s.code = split_part(u.name, '/', 1)"
                    " AND d.code = split_part(u.name, '/', 2)",
                    [list(hashes), list(hashes.values())],
                )
            async with self._stage.rooms(url) as (pids, port):
                pids["postgres"] = self._stage.postgres_pid
                figures = await self._crowd({name: self._secrets[name] for name in hashes}, port, pids)
            with psycopg.connect(url) as connection:
                row = connection.execute("SELECT count(*) FROM reading_dust").fetchone()
            assert row is not None
            return {**figures, "lost": len(hashes) - int(row[0])}

    async def _crowd(self, secrets: dict[str, str], port: int, pids: dict[str, int]) -> dict[str, Any]:
        file = self._stage.folder / "crowd.json"
        file.write_text(json.dumps(secrets))
        meter = Meter(pids)
        meter.start()
        async with self._stage.process("-m", "benchmarks.reconnect.crowd", str(file), str(port)) as process:
            assert process.stdout is not None
            line = await process.stdout.readline()
            if not line:
                raise RuntimeError("the crowd did not come through; see processes.log")
            spent = {f"{name}_cpu_s": round(seconds, 2) for name, seconds in meter.spent().items()}
            return {**json.loads(line), **spent, "peak_mb": meter.peak()}


@contextlib.asynccontextmanager
async def staged(devices: int, folder: str | None) -> AsyncIterator[Stage]:
    """The set in a temporary folder."""
    place = Path(tempfile.mkdtemp(prefix="smartsite-reconnect-", dir=folder))
    place.chmod(0o755)
    stage = Stage(place, devices)
    try:
        await stage.open()
        yield stage
    except BaseException:
        log = place / "processes.log"
        if log.exists():
            print(log.read_text(errors="replace")[-4000:], file=sys.stderr)
        raise
    finally:
        stage.close()
        shutil.rmtree(place, ignore_errors=True)


async def run(options: argparse.Namespace) -> None:
    """Every way once; Mosquitto before and after ours."""
    about = machine()
    figures: dict[str, dict[str, Any]] = {}
    async with staged(options.devices, options.folder) as stage:
        ways = Ways(stage, options.devices)
        for name in ("mosquitto", "generated", "chosen_known", "chosen_new"):
            figures[name] = await getattr(ways, name)()
            print(name, figures[name], file=sys.stderr, flush=True)
    own, peer = figures["generated"], figures["mosquitto"]
    figures["shares"] = {
        f"{name} / mosquitto, time until all are acknowledged": round(
            figures[name]["all_acknowledged_s"] / peer["all_acknowledged_s"], 2
        )
        for name in ("generated", "chosen_known")
    }
    lost = sum(figures[name]["lost"] for name in ("generated", "chosen_known", "chosen_new"))
    conclude(
        figures,
        about,
        [
            target("generated secrets, all acknowledged, s", own["all_acknowledged_s"], "<=", 30),
            target(
                "chosen secrets seen before, all acknowledged, s",
                figures["chosen_known"]["all_acknowledged_s"],
                "<=",
                30,
            ),
            target("generated secrets, devices that had to come again", own["came_again"], "==", 0),
            target("acknowledged readings lost", lost, "==", 0),
        ],
    )


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reconnect", description=__doc__)
    parser.add_argument("--json", action="store_true", help="the JSON object is all that is printed in any case")
    parser.add_argument("--devices", type=int, default=10_000)
    parser.add_argument("--folder", help="where to keep databases meanwhile; the disk whose fsync counts")
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
