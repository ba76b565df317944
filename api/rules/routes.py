"""The rules that count, as they are written; whether a text of rules could be put in force; and writing one."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path as File

from fastapi import APIRouter
from psycopg import AsyncConnection

from alerts.replay.words import explain
from alerts.rules import builtin_packs
from alerts.rules.check import check, check_text
from alerts.rules.faults import message
from alerts.rules.files import Block, Problem, RuleText, excerpt, read_over
from alerts.rules.model import AnyRule
from alerts.rules.written import lock, write, written
from api import audit
from api.access import SQL, Seen, Viewer, Writer
from api.alert_models import RuleName
from api.context import Context, Database, Here, Row, rows
from api.errors import FaultyFields, FieldFault, documented
from api.rules.models import (
    CheckedRule,
    Explanation,
    RuleCheck,
    RuleDetail,
    RuleDraft,
    RuleId,
    RuleList,
    RuleOverview,
    RuleProblem,
    RuleRevision,
    RuleVersion,
    RuleWithdrawal,
    RuleWrite,
)
from api.versions import IfMatch, IfNoneMatch, Precondition, etag_of
from core.errors import NotFound

router = APIRouter(prefix="/rules", tags=["administration"])

_LONGEST_LINE = 1000
"""Characters. A key of thousands of dotted parts would take the parser minutes; keys do not go over a line's end."""


@dataclass(frozen=True, slots=True)
class Book:
    """The rules that count: of the files, and what people wrote in place of them."""

    paths: Sequence[File]
    texts: tuple[RuleText, ...]
    rules: Sequence[tuple[AnyRule, Block]]
    context: Context

    @classmethod
    async def open(cls, database: AsyncConnection, context: Context) -> Book:
        """As it is now."""
        paths = list(context.settings.alerts.rules) or builtin_packs()
        texts = await written(database)
        found, _ = await asyncio.to_thread(read_over, paths, texts)
        return cls(paths, texts, found, context)

    def find(self, rule: str) -> tuple[AnyRule, Block] | None:
        """The rule and where it is written."""
        return next(((known, block) for known, block in self.rules if known.id == rule), None)

    async def text_of(self, block: Block) -> str:
        """The rule's TOML; empty where it has no place of its own."""
        if (own := self._written(block)) is not None:
            return own.text
        if not block.line:
            return ""
        return excerpt(await asyncio.to_thread(File(block.file).read_text, "utf-8"), block.line)

    async def text_in_files(self, rule: str) -> str | None:
        """What the files say under this id; None: nothing."""
        found, _ = await asyncio.to_thread(read_over, self.paths, ())
        block = next((block for known, block in found if known.id == rule), None)
        return None if block is None else await self.text_of(block)

    def without(self, rule: str) -> tuple[RuleText, ...]:
        """The texts with this rule's withdrawn."""
        found = self.find(rule)
        return tuple(one for one in self.texts if found is None or one.name != found[1].file)

    def is_written(self, block: Block) -> bool:
        """Whether a person wrote it on the platform."""
        return self._written(block) is not None

    async def problems(self, texts: tuple[RuleText, ...]) -> list[Problem]:
        """What keeps the files with these texts from being put in force."""
        return await asyncio.to_thread(check, self.paths, self.context.profiles, _targets(self.context), texts)

    async def check(self, text: str) -> RuleCheck:
        """A text as if it stood here in place of the rules with its ids."""
        lines = text.splitlines()
        if long := [number for number, line in enumerate(lines, start=1) if len(line) > _LONGEST_LINE]:
            values = {"most": str(_LONGEST_LINE)}
            reason = message("long_line", values)
            problems = [
                Problem(file="", line=number, rule="", reason=reason, code="long_line", values=values)
                for number in long
            ]
            return RuleCheck(problems=[RuleProblem.of(problem, "") for problem in problems], rules=[])
        return await asyncio.to_thread(self._check, text)

    def _check(self, text: str) -> RuleCheck:
        rules, problems = check_text(
            RuleText("", text), self.paths, self.context.profiles, _targets(self.context), self.texts
        )
        present = {rule.id: rule for rule, _ in self.rules}
        return RuleCheck(
            problems=[RuleProblem.of(problem, "") for problem in problems],
            rules=[
                CheckedRule(
                    id=rule.id,
                    name=RuleName(zh=rule.name, en=rule.name_en),
                    replaces=rule.id in present,
                    changes=rule != present.get(rule.id),
                    explanation=_explained(rule),
                )
                for rule in rules
            ],
        )

    def _written(self, block: Block) -> RuleText | None:
        return next((one for one in self.texts if one.name == block.file), None)


@router.get("", summary="The rules", responses=documented(401, 403))
async def rule_list(_viewer: Seen, context: Here, database: Database) -> RuleList:
    """Every rule that counts with where it is written, and whether the engine judges by it."""
    book = await Book.open(database, context)
    problems = await book.problems(book.texts)
    judged = await _judged(database)
    items = [RuleOverview(**_overview(book, rule, block, judged)) for rule, block in book.rules]
    own = {one.name for one in book.texts}
    return RuleList(
        items=items,
        problems=[RuleProblem.of(one, one.file if one.file in own else File(one.file).name) for one in problems],
    )


@router.get("/{rule}", summary="One rule", responses=documented(401, 403, 404, 422))
async def rule_detail(rule: RuleId, _viewer: Seen, context: Here, database: Database) -> RuleDetail:
    """Its text, what it does in words, every definition by which alerts were raised, and what people wrote and why."""
    return await _detail(await Book.open(database, context), database, rule)


@router.post("/check", summary="Check a text of rules", responses=documented(401, 403, 422))
async def rule_check(draft: RuleDraft, _viewer: Writer, context: Here, database: Database) -> RuleCheck:
    """Look at the text as if it counted in place of the rules with its ids. Nothing is changed."""
    return await (await Book.open(database, context)).check(draft.text)


@router.put("/{rule}", summary="Write a rule", responses=documented(401, 403, 404, 412, 422))
async def rule_write(
    rule: RuleId,
    wanted: RuleWrite,
    viewer: Writer,
    context: Here,
    database: Database,
    if_match: IfMatch = None,
    if_none_match: IfNoneMatch = None,
) -> RuleDetail:
    """The text, which holds this one rule, counts from now on, in place of what the files say under its id or beside
    them. The engine takes it up within seconds (`in_force`); open alerts go on under the new definition."""
    async with database.transaction():
        await lock(database)
        book = await Book.open(database, context)
        present = book.find(rule)
        if present is not None and book.is_written(present[1]) and await book.text_of(present[1]) == wanted.text:
            return await _detail(book, database, rule)  # a form that was sent twice
        etag = None if present is None else await _etag(book, *present)
        Precondition(if_match, if_none_match).check(f"rule {rule!r}", etag)
        checked = await book.check(wanted.text)
        if checked.problems:
            raise refused(checked.problems)
        if [one.id for one in checked.rules] != [rule]:
            raise FaultyFields({"body.text": f"it must hold one rule, with the id {rule!r}"})
        await _write(database, context, viewer, rule, wanted.text, wanted.reason)
        return await _detail(await Book.open(database, context), database, rule)


@router.post(
    "/{rule}/withdraw",
    status_code=204,
    summary="Withdraw what was written",
    responses=documented(401, 403, 404, 409, 412, 422),
)
async def rule_withdraw(
    rule: RuleId,
    wanted: RuleWithdrawal,
    viewer: Writer,
    context: Here,
    database: Database,
    if_match: IfMatch = None,
) -> None:
    """What the files say under this id counts again. Where they say nothing, the rule is gone and its open alerts end
    as those of a withdrawn rule."""
    async with database.transaction():
        await lock(database)
        book = await Book.open(database, context)
        present = book.find(rule)
        if present is None or not book.is_written(present[1]):
            raise NotFound(f"no rule {rule!r} is written on the platform", hint="rules of files are changed in them")
        Precondition(if_match, None).check(f"rule {rule!r}", await _etag(book, *present))
        before = await book.problems(book.texts)
        if new := [one for one in await book.problems(book.without(rule)) if one not in before]:
            raise refused([RuleProblem.of(one, File(one.file).name) for one in new])
        await _write(database, context, viewer, rule, None, wanted.reason)


async def _write(
    database: AsyncConnection, context: Context, viewer: Viewer, rule: str, text: str | None, reason: str
) -> None:
    now = context.clock.now()
    revision = await write(database, rule, text, reason=reason, by=viewer.code, now=now)
    action = "rule.withdraw" if text is None else "rule.write"
    detail = {"reason": reason, "revision": revision}
    await audit.append(database, at=now, actor=viewer.code, action=action, thing=f"rule:{rule}", detail=detail)


def refused(problems: Sequence[RuleProblem]) -> FaultyFields:
    """Problems of a text that was sent as faults of the field that it came in."""
    fault = FaultyFields({})
    fault.fields = [
        FieldFault(
            field="body.text",
            message=f"line {one.line}: {one.reason}" if one.line else one.reason,
            code=one.code,
            values={**one.values, "line": str(one.line), "rule": one.rule},
        )
        for one in problems
    ]
    return fault


async def _detail(book: Book, database: AsyncConnection, rule: str) -> RuleDetail:
    named = book.find(rule)
    if named is None:
        raise NotFound(f"there is no rule {rule!r}")
    known, block = named
    versions = await rows(database, SQL["rule_versions"], {"rule": rule})
    revisions = await rows(database, SQL["rule_revisions"], {"rule": rule})
    return RuleDetail(
        **_overview(book, known, block, await _judged(database)),
        text=await book.text_of(block),
        file_text=await book.text_in_files(rule) if book.is_written(block) else None,
        cited=known.source,
        explanation=_explained(known),
        versions=[RuleVersion(**version) for version in versions],
        revisions=[RuleRevision(**revision) for revision in revisions],
        etag=await _etag(book, known, block),
    )


async def _etag(book: Book, rule: AnyRule, block: Block) -> str:
    # The name of a text has its revision in it.
    place = block.file if book.is_written(block) else ""
    return etag_of({"rule": rule.id, "written": place, "text": await book.text_of(block)})


def _targets(context: Context) -> set[str]:
    return {target.name for target in context.settings.alerts.targets}


async def _judged(database: AsyncConnection) -> Mapping[str, Row]:
    """What the engine judges by, by rule."""
    return {found["rule"]: found for found in await rows(database, SQL["rules_judged"], {})}


def _overview(book: Book, rule: AnyRule, block: Block, judged: Mapping[str, Row]) -> Row:
    version = judged.get(rule.id)
    is_written = book.is_written(block)
    origin = "written" if is_written else "file" if book.context.settings.alerts.rules else "pack"
    return {
        "id": rule.id,
        "name": RuleName(zh=rule.name, en=rule.name_en),
        "kind": rule.kind,
        "severity": rule.severity,
        "enabled": rule.enabled,
        "device_kind": rule.scope.device_kind,
        "sites": list(rule.scope.sites),
        "targets": list(rule.targets),
        "origin": origin,
        "file": "" if is_written else File(block.file).name,
        "line": block.line,
        "in_force": rule.enabled and version is not None and version["sha256"] == rule.digest(),
        "version": None if version is None else version["version"],
        "version_at": None if version is None else version["in_force_at"],
    }


def _explained(rule: AnyRule) -> Explanation:
    return Explanation(zh=explain(rule, "zh"), en=explain(rule, "en"))
