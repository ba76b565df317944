"""The whole examination, from the ground up."""

from __future__ import annotations

from alerts.rules.files import RuleText
from alerts.rules.written import written
from api.service import web_folder
from core.clock import Clock
from core.database import connect
from core.errors import Conflict, SmartsiteError
from core.settings import Settings
from smartsite.database_part import database_at_hand
from smartsite.datadir import DataDirectory
from smartsite.doctor import cameras, database, evidence, machine, neighbours, registration, rooms
from smartsite.doctor.finding import Finding, fail, ok


async def checkup(settings: Settings, *, clock: Clock) -> list[Finding]:
    """Everything that was found, in the order in which one would mend it."""
    findings = [*machine.examine_disk(settings), machine.examine_clock()]
    directory = DataDirectory(settings.data_dir)
    running = _runs(directory)
    if running:
        findings += [
            ok("smartsite up", "runs on this data directory"),
            *rooms.examine_parts(directory.run / "parts.json"),
        ]
    else:
        findings += _ports(settings)
    found, texts = await _database(settings, clock=clock)
    findings += found
    if "broker" in settings.ingest.sources:
        findings.append(await neighbours.examine_broker(settings.ingest))
    if settings.api.oidc is not None:
        findings.append(await neighbours.examine_provider(settings.api.oidc, clock=clock))
    findings += registration.examine_targets(settings, clock=clock)
    findings += [finding async for finding in neighbours.examine_regulators(settings.alerts.targets, clock=clock)]
    findings += rooms.examine_rules(settings, texts)
    findings.append(await rooms.examine_model(settings))
    findings.append(machine.examine_page(web_folder(settings)))
    return findings


def _runs(directory: DataDirectory) -> bool:
    """Whether a supervisor holds the data directory."""
    if not directory.run.exists():
        return False
    try:
        with directory:
            return False
    except Conflict:
        return True


def _ports(settings: Settings) -> list[Finding]:
    found = [machine.examine_port("port of the page", settings.api.host, settings.api.port, "api.port")]
    if "endpoint" in settings.ingest.sources:
        ingest = settings.ingest
        found.append(machine.examine_port("port of MQTT", ingest.mqtt_host, ingest.mqtt_port, "ingest.mqtt_port"))
    if "hj212" in settings.ingest.sources:
        ingest = settings.ingest
        found.append(machine.examine_port("port of HJ 212", ingest.hj212_host, ingest.hj212_port, "ingest.hj212_port"))
    vision = settings.vision
    for number in range(vision.workers if vision.live_port and not vision.ray_address else 1):
        port = vision.live_port + number
        found.append(machine.examine_port("port of live video", vision.live_host, port, "vision.live_port"))
    return found


async def _database(settings: Settings, *, clock: Clock) -> tuple[list[Finding], tuple[RuleText, ...]]:
    """The database, the cameras that it names, and what it lacks for the regulators; the rules that people wrote."""
    embedded = settings.database.url is None
    texts: tuple[RuleText, ...] = ()
    if embedded and not (settings.data_dir / "postgres").exists():
        return [ok("database", "embedded; it is made at the first start")], texts
    try:
        with database_at_hand(settings) as reachable:
            findings = [finding async for finding in database.examine(reachable, clock=clock)]
            if all(finding.level != "fail" for finding in findings):
                findings += [finding async for finding in cameras.examine(reachable)]
                findings += [finding async for finding in registration.examine(reachable)]
                findings.append(await evidence.examine(reachable))
                async with await connect(reachable.database, application="doctor") as connection:
                    texts = await written(connection)
    except SmartsiteError as error:
        return [fail("database", error.message, error.hint)], texts
    return findings, texts
