"""The rules in force, read again when their files or the rules that people wrote change.

What became unusable leaves the old rules in force.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from alerts.rules.check import load
from alerts.rules.files import RuleText, builtin_packs
from alerts.rules.model import RuleSet
from core.errors import ConfigurationError
from sensors.profiles import Profile

logger = logging.getLogger(__name__)

NO_RULES = RuleSet(())
Stamp = tuple[tuple[str, int, int], ...]


class RuleWatch:
    """Rules of files and folders, and of `written` in place of theirs; no path means the built-in packs.

    `stored` are the rules that were in force last: a process that starts on unusable files goes on with them.

    Raises:
        ConfigurationError: the files are not usable and there is nothing stored to go on with.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        profiles: Mapping[str, Profile],
        targets: Collection[str],
        *,
        written: tuple[RuleText, ...] = (),
        stored: RuleSet = NO_RULES,
    ) -> None:
        self._paths = list(paths) or builtin_packs()
        self.profiles = profiles
        self._targets = targets
        self._written = written
        self._stamp = self._look()
        self.current = self._load(stored)

    def poll(self, written: tuple[RuleText, ...]) -> bool:
        """Look at the files and at what is written now; True where `current` has moved."""
        stamp = self._look()
        if (stamp, written) == (self._stamp, self._written):
            return False
        self._stamp, self._written = stamp, written
        rules = self._load(self.current)
        moved = rules != self.current
        self.current = rules
        return moved

    def _load(self, old: RuleSet) -> RuleSet:
        try:
            return load(self._paths, self.profiles, self._targets, self._written)
        except ConfigurationError as error:
            if not old.rules:
                raise
            logger.error("rules are not usable, the old ones stay in force", extra={"error": str(error)})  # noqa: TRY400
            return old

    def _look(self) -> Stamp:
        """Name, size and time of change of every file."""
        files = [file for path in self._paths for file in (sorted(path.glob("*.toml")) if path.is_dir() else [path])]
        stamps = []
        for file in files:
            try:
                status = file.stat()
            except OSError:
                continue  # `load` says what is wrong with it
            stamps.append((str(file), status.st_mtime_ns, status.st_size))
        return tuple(stamps)
