"""``smartsite simulate REGISTRY``: simulated devices to try the platform with."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from core.settings import Settings

HELP = "simulate the devices of a registry file"
DESCRIPTION = """\
Simulates the dust and noise stations, tower cranes, hoists and sprayers of a registry file: each publishes over MQTT
with its own credentials, goes through breaches, faults and gaps on a seeded schedule, and sends again what was not
acknowledged. Sprayers do what they are told.
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "registry", type=Path, metavar="REGISTRY", help="file with the devices and their secrets (TOML)"
    )
    parser.add_argument("--host", default="127.0.0.1", help="address of the MQTT endpoint or broker (%(default)s)")
    parser.add_argument("--port", type=int, default=1883, help="port of it (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="another seed, other readings (%(default)s)")
    parser.add_argument(
        "--journal",
        type=Path,
        metavar="FILE",
        help="append what was published and acknowledged (DATA_DIR/journal.jsonl)",
    )


def run(options: argparse.Namespace, settings: Settings) -> int:
    from core import logs
    from sensors.simulator import SimulationPlan, demo_schedule, read_devices, run_simulation
    from smartsite.running import run_until_signal

    logs.setup(settings.log, process="simulate")
    devices = read_devices(options.registry)
    plan = SimulationPlan(
        host=options.host,
        port=options.port,
        devices=devices,
        schedule=demo_schedule({device.name: device.kind for device in devices}, seed=options.seed),
        journal=options.journal or settings.data_dir / "journal.jsonl",
        seed=options.seed,
    )

    async def serve(stop: asyncio.Event) -> None:
        await run_simulation(plan, stop)

    run_until_signal(serve)
    return 0
