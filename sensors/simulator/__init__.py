"""Simulated devices with believable statistics, publishing over real MQTT.

What they measure is decided by a seed and the clock alone (`Instrument`), what goes wrong by a `Schedule` that can be
read beforehand, and what became of each message stands in a journal.
"""

from __future__ import annotations

from sensors.simulator.devices import Instrument, Reading, SimulatedDevice, read_devices
from sensors.simulator.journal import read_journal
from sensors.simulator.run import SimulationPlan, Summary, run_simulation
from sensors.simulator.schedule import Effect, Episode, Schedule, demo_schedule

__all__ = [
    "Effect",
    "Episode",
    "Instrument",
    "Reading",
    "Schedule",
    "SimulatedDevice",
    "SimulationPlan",
    "Summary",
    "demo_schedule",
    "read_devices",
    "read_journal",
    "run_simulation",
]
