"""``smartsite rules check | test | explain``: whether rule files can be put in force, and what they would do."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from core.settings import Settings

if TYPE_CHECKING:
    from alerts.replay import Episode, History
    from alerts.rules.model import AnyRule
    from sensors.profiles import Profile
    from sensors.registry import Registry

HELP = "check rule files, try them on history, explain them"
DESCRIPTION = """\
Checks rule files against the device kinds, plays history through them with the engine itself, and says in words what
a rule does, without touching the installation that runs.
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    check = actions.add_parser("check", help="name every fault with file, line and rule")
    check.add_argument(
        "files", nargs="*", type=Path, metavar="FILE", help="rule files or folders; none: those in force"
    )
    test = actions.add_parser("test", help="the alerts that rules would have raised on history")
    test.add_argument("files", nargs="*", type=Path, metavar="FILE", help="rule files or folders; none: those in force")
    test.add_argument("--rule", action="append", default=[], metavar="ID", help="only these rules, switched on or not")
    test.add_argument("--plot", type=Path, metavar="FILE.html", help="curves with the alerts in them")
    _history_options(test)
    explain = actions.add_parser("explain", help="what rules do, in words; with --device and --at why one fired or not")
    explain.add_argument("rule", metavar="RULE", help="id of the rule, or `all`")
    explain.add_argument("files", nargs="*", type=Path, metavar="FILE", help="as in test")
    explain.add_argument("--language", choices=("zh", "en"), default="zh", help="default zh")
    explain.add_argument("--device", metavar="SITE/CODE", help="the device that is asked about")
    explain.add_argument("--at", type=_moment, metavar="TIME", help="the moment that is asked about")
    _history_options(explain)


def _history_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--csv", action="append", default=[], metavar="KIND=FILE", help="history as `smartsite export KIND` writes it"
    )
    parser.add_argument("--zone", default="Asia/Shanghai", help="time zone of the sites in CSV files")
    parser.add_argument("--from", dest="start", type=_moment, metavar="TIME", help="history of the database, from here")
    parser.add_argument("--to", dest="end", type=_moment, metavar="TIME", help="to here, exclusive")
    parser.add_argument("--site", metavar="CODE", help="of the database: only this site")


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def run(options: argparse.Namespace, settings: Settings) -> int:
    from alerts.rules import builtin_packs, check, load
    from sensors.profiles import load_profiles
    from smartsite.console import complain, say

    paths = options.files or settings.alerts.rules or builtin_packs()
    profiles = load_profiles(settings.kinds_dir)
    problems = check(paths, profiles)
    for problem in problems:
        complain(str(problem))
    if problems:
        return 1
    rules = load(paths, profiles).rules
    if options.action == "test":
        return _test(options, settings, rules, profiles)
    if options.action == "explain":
        return _explain(options, settings, rules, profiles)
    say(f"{len(rules)} rule{'' if len(rules) == 1 else 's'}, no fault")
    return 0


def _test(
    options: argparse.Namespace, settings: Settings, rules: Sequence[AnyRule], profiles: Mapping[str, Profile]
) -> int:
    from alerts.replay import replay
    from alerts.replay.plot import page
    from smartsite.console import say

    chosen = [rule for rule in rules if rule.id in options.rule] if options.rule else [r for r in rules if r.enabled]
    _known(options.rule, rules)
    history = _history(options, settings, profiles, chosen)
    episodes = replay(chosen, history, profiles)
    registry = history.devices()
    for episode in episodes:
        say(_line(episode, registry))
    rows = sum(len(table.time) for table in history.tables)
    say(f"{len(episodes)} alert{'' if len(episodes) == 1 else 's'} of {len(chosen)} rules in {rows} readings")
    if options.plot is not None:
        options.plot.write_text(page(history, episodes, ", ".join(map(str, options.files)) or "Smartsite"), "utf-8")
        say(f"wrote {options.plot}")
    return 0


def _explain(
    options: argparse.Namespace, settings: Settings, rules: Sequence[AnyRule], profiles: Mapping[str, Profile]
) -> int:
    from alerts.replay.words import explain, why
    from core.clock import micros
    from core.errors import NotFound
    from smartsite.console import say

    if options.rule != "all":
        _known([options.rule], rules)
    chosen = [rule for rule in rules if options.rule in (rule.id, "all")]
    for rule in chosen:
        say(explain(rule, options.language))
    if options.device is None or options.at is None:
        return 0
    history = _history(options, settings, profiles, chosen)
    site, _, code = options.device.partition("/")
    device = history.devices().by_topic.get((site, code))
    if device is None:
        raise NotFound(f"there is no device {options.device}", hint="SITE/CODE, as in the history")
    for rule in chosen:
        say(f"{rule.id} · {options.device} · {options.at.isoformat()}")
        said = why(rule, history, profiles, device, micros(options.at), options.language)
        say("\n".join(f"  {line}" for line in said.splitlines()))
    return 0


def _known(names: Sequence[str], rules: Sequence[AnyRule]) -> None:
    from core.errors import NotFound

    for name in names:
        if name not in {rule.id for rule in rules}:
            raise NotFound(f"there is no rule {name!r}", hint="`smartsite rules explain all` lists them")


def _history(
    options: argparse.Namespace, settings: Settings, profiles: Mapping[str, Profile], rules: Sequence[AnyRule]
) -> History:
    """From CSV files, or from the database where --from and --to are given."""
    from alerts.replay import History
    from core.errors import InvalidInput, NotFound

    history = History(zone=options.zone)
    for item in options.csv:
        kind, _, file = item.partition("=")
        if kind not in profiles:
            raise NotFound(f"there is no kind {kind!r}", hint="--csv KIND=FILE; kinds: " + ", ".join(profiles))
        with Path(file).open(encoding="utf-8-sig", newline="") as lines:
            history.add(lines, profiles[kind], name=file)
    if options.csv:
        return history
    if options.start is None or options.end is None:
        raise InvalidInput("no history", hint="give --csv KIND=FILE, or --from and --to for the database's")
    return _from_database(options, settings, profiles, rules)


def _from_database(
    options: argparse.Namespace, settings: Settings, profiles: Mapping[str, Profile], rules: Sequence[AnyRule]
) -> History:
    import asyncio

    from alerts.replay import stored
    from core.database import connect, connect_sync
    from sensors.registry import load_registry
    from smartsite.database_part import database_at_hand

    with contextlib.ExitStack() as stack:
        reachable = stack.enter_context(database_at_hand(settings))

        async def registry() -> Registry:
            async with await connect(reachable.database, application="rules") as connection:
                return await load_registry(connection)

        known = asyncio.run(registry())
        connection = stack.enter_context(connect_sync(reachable.database, application="rules"))
        span = {"start": options.start, "end": options.end, "site": options.site}
        return stored.load(connection, known, profiles, rules, **span)


def _line(episode: Episode, registry: Registry) -> str:
    from zoneinfo import ZoneInfo

    from core.clock import from_micros

    device = registry.devices[episode.device]
    zone = ZoneInfo(registry.sites[episode.site].time_zone)
    began = f"{from_micros(episode.started).astimezone(zone):%Y-%m-%d %H:%M:%S}"
    ended = "…" if episode.ended is None else f"{from_micros(episode.ended).astimezone(zone):%Y-%m-%d %H:%M:%S}"
    worst = "" if episode.worst is None else f"  worst {episode.worst:g}"
    severities = " > ".join(severity for _, severity in episode.severities)
    exempt = "  exempt" if episode.exempt else ""
    return f"{began}  {ended:19}  {device.site}/{device.code}  {episode.rule.id}  {severities}{worst}{exempt}"
