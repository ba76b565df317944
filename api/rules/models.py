"""What the API tells of rules, and what it takes."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from alerts.model import Severity
from alerts.rules.files import Problem
from api.alert_models import RuleName
from api.context import Millis, Text

RuleId = Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$", examples=["pm10-hour-warning"])]
RuleSource = Annotated[
    Text,
    Field(
        max_length=32768,
        description="TOML, as a rule file has it.",
        examples=['[[rules]]\nid = "pm10-high"\nkind = "threshold"\n'],
    ),
]
Reason = Annotated[
    Text,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=500),
    Field(examples=["按新标准收严 PM10 限值"]),
]


class RuleOverview(BaseModel):
    """A rule that counts, by whatever it is written in."""

    id: str = Field(examples=["pm10-high"])
    name: RuleName
    kind: str = Field(examples=["threshold"])
    severity: Severity
    enabled: bool
    device_kind: str | None = Field(description="Kind of device it looks at; null: any.", examples=["dust"])
    sites: list[str] = Field(description="Codes of sites it looks at; empty: all.")
    targets: list[str] = Field(description="Regulator targets that it names itself.")
    origin: Literal["pack", "file", "written"] = Field(
        description="pack: comes with the program; file: of `alerts.rules`; written: by a person, on the platform."
    )
    file: str = Field(description="Name of its file; empty: written on the platform.", examples=["dust.toml"])
    line: int = Field(description="Of its header, from 1; 0: written in a form that has no line of its own.")
    in_force: bool = Field(description="The engine judges by exactly this definition.")
    version: int | None = Field(description="That the engine judges by; null: it does not judge by this rule.")
    version_at: Millis | None = Field(description="Since when there is that version.")


class RuleProblem(BaseModel):
    """A fault that keeps rules from being put in force."""

    file: str = Field(description="Name of its file; empty: the text that was sent.", examples=["dust.toml"])
    line: int = Field(description="From 1; 0: none can be named.")
    rule: str = Field(description="Id of the rule; may be empty.", examples=["pm10-high"])
    field: str = Field(description="Key of the rule; empty: the rule as a whole.", examples=["unit"])
    reason: str = Field(description="In English.", examples=["unit 'mg/m³' is not the channel's, which is 'µg/m³'"])
    code: str = Field(description="The same for programs.", examples=["unit_differs"])
    values: dict[str, str] = Field(description="What belongs to the code.", examples=[{"unit": "µg/m³"}])

    @classmethod
    def of(cls, problem: Problem, file: str) -> RuleProblem:
        """`file` is its name as the caller knows it."""
        return cls(
            file=file,
            line=problem.line,
            rule=problem.rule,
            field=problem.field,
            reason=problem.reason,
            code=problem.code,
            values=dict(problem.values),
        )


class RuleList(BaseModel):
    """All rules, in the order of their files; with faults among them the engine goes on with the rules before."""

    items: list[RuleOverview]
    problems: list[RuleProblem]


class Explanation(BaseModel):
    """What a rule does in plain words, a line each."""

    zh: str
    en: str


class RuleVersion(BaseModel):
    """One definition of the rule that was ever in force; durations in seconds under `<field>_s`."""

    version: int
    since: Millis
    definition: dict[str, object]


class RuleRevision(BaseModel):
    """What a person wrote on the platform."""

    revision: int
    text: str | None = Field(description="null: withdrawn, the files had the word again.")
    reason: str
    written_by: str = Field(description="A person's code.")
    written_by_name: str = Field(description="Name of the person; the code of one who is gone.", examples=["李操作"])
    written_by_name_en: str = Field(examples=["Li Operator"])
    written_at: Millis


class RuleDetail(RuleOverview):
    """The rule with its text and its past."""

    text: str = Field(description="Its table in TOML; empty where `line` is 0.")
    file_text: str | None = Field(
        description="What stands in the files under this id while `origin` is written; null: nothing."
    )
    cited: str = Field(description="The standard or order it comes from.")
    explanation: Explanation
    versions: list[RuleVersion] = Field(description="The newest 100, newest first.")
    revisions: list[RuleRevision] = Field(description="Written on the platform; the newest 100, newest first.")
    etag: str = Field(description="For If-Match.", examples=['"3f2a9c..."'])


class RuleDraft(BaseModel):
    """Rules that somebody writes."""

    model_config = ConfigDict(extra="forbid")

    text: RuleSource


class RuleWrite(RuleDraft):
    """A rule as it shall count from now on."""

    reason: Reason


class RuleWithdrawal(BaseModel):
    """Why what was written on the platform shall count no more."""

    model_config = ConfigDict(extra="forbid")

    reason: Reason


class CheckedRule(BaseModel):
    """A rule of a text that holds by itself."""

    id: str
    name: RuleName
    replaces: bool = Field(description="There is a rule with this id.")
    changes: bool = Field(description="It decides otherwise than the rule with this id, or there is none.")
    explanation: Explanation


class RuleCheck(BaseModel):
    """What would be told to who puts this text in force; without problems it could be."""

    problems: list[RuleProblem]
    rules: list[CheckedRule]
