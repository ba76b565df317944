"""The tree of fields of a call: what is sent, and where each value comes from.

A text names a source (`"site.project_code"`). A table with `from`, `value` or `template` is a leaf with options. A
table with `each` makes a list, one item a picture or unit. Any other table is an object, a list a list.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from alerts.adapters.form.templates import check_template, names_in
from alerts.adapters.form.values import UNITS, check_time

_UNIT_FIELDS = ("name", "credit_code")
SOURCES = frozenset(
    {"phase", "metric", "unit", "limit", "first_value", "max_value", "started_at", "ended_at", "moment", "amendment"}
    | {"key", "now", "client_id"}
    | {f"alert.{name}" for name in ("id", "rule", "rule_version", "kind", "severity")}
    | {f"site.{name}" for name in ("code", "name", "project_code", "permit_number", "supervision_number")}
    | {f"site.{name}" for name in ("region_code", "address", "latitude", "longitude")}
    | {f"site.{role}.{name}" for role in ("builder", "contractor", "supervisor") for name in _UNIT_FIELDS}
    | {f"subject.{name}" for name in ("type", "code", "name", "record_number", "factory")}
)
"""What a field may come from; besides `quality.NAME`, `item.NAME` inside `each`, `receipt` when asking for results."""
TIMES = frozenset({"started_at", "ended_at", "moment", "now"})
LISTS: Mapping[str, frozenset[str]] = {
    "evidence": frozenset({"role", "sha256", "md5", "media_type", "data", "name"}),
    "site.units": frozenset({"role", *_UNIT_FIELDS}),
}
_LEAF = frozenset({"from", "value", "template", "time", "unit", "table", "default", "digits", "text", "length"})
_QUALITY = re.compile(r"quality\.[a-z_0-9]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """One value.

    Exactly one of `source`, `value` and `template` is given. `time` is the format of a time, `unit` the unit of a
    value, `table` the code table, `digits` the decimals, `text` whether a number is sent as text, `length` the most
    characters; `default` is sent where there is nothing, and where it is None that is an error.
    """

    source: str | None = None
    value: Any = None
    template: str | None = None
    time: str | None = None
    unit: str | None = None
    table: str | None = None
    default: Any = None
    digits: int | None = None
    text: bool = False
    length: int | None = None


@dataclass(frozen=True, slots=True)
class Each:
    """A list with one item for every part of a source."""

    source: str
    item: Node


Node: TypeAlias = "Leaf | Each | dict[str, Node] | list[Node]"


def node_of(written: Any, where: str, *, receipt: bool = False, items: frozenset[str] = frozenset()) -> Node:
    """The node that is written at `where`; raise ValueError naming the place and the fault."""
    if isinstance(written, str):
        if written in TIMES:
            raise ValueError(f"{where}: a time needs its format, {{ from = {written!r}, time = 'yyyyMMddHHmmss' }}")
        return Leaf(source=_source(written, where, receipt, items))
    if isinstance(written, list):
        return [node_of(item, f"{where}[{place}]", receipt=receipt, items=items) for place, item in enumerate(written)]
    if not isinstance(written, dict):
        raise ValueError(f"{where}: write a source, or {{ value = {written!r} }} for a constant")  # noqa: TRY004 - pydantic's
    if isinstance(written.get("each"), str):
        return _each(written, where, receipt)
    if any(not isinstance(written.get(name), dict | list | None) for name in ("from", "value", "template")):
        return _leaf(written, where, receipt, items)
    return {name: node_of(inner, f"{where}.{name}", receipt=receipt, items=items) for name, inner in written.items()}


def tables_of(node: Node) -> set[str]:
    """Names of the code tables that a node uses."""
    if isinstance(node, Leaf):
        return {node.table} if node.table else set()
    if isinstance(node, Each):
        return tables_of(node.item)
    return set[str]().union(*map(tables_of, node.values() if isinstance(node, dict) else node))


def _each(written: dict[str, Any], where: str, receipt: bool) -> Each:
    source = written["each"]
    if source not in LISTS:
        raise ValueError(f"{where}: each is one of {', '.join(LISTS)}")
    if set(written) != {"each", "item"}:
        raise ValueError(f"{where}: a list has `each` and `item` and nothing else")
    item = node_of(written["item"], f"{where}.item", receipt=receipt, items=LISTS[source])
    return Each(source=source, item=item)


def _leaf(written: dict[str, Any], where: str, receipt: bool, items: frozenset[str]) -> Leaf:
    unknown = sorted(set(written) - _LEAF)
    if unknown:
        raise ValueError(f"{where}: unknown {', '.join(unknown)}; a value has {', '.join(sorted(_LEAF))}")
    if len({"from", "value", "template"} & set(written)) != 1:
        raise ValueError(f"{where}: a value has one of from, value and template")
    options = {name: value for name, value in written.items() if name not in ("from", "template")}
    for name, kinds in (("time", str), ("unit", str), ("table", str), ("digits", int), ("text", bool), ("length", int)):
        if name in options and not isinstance(options[name], kinds):
            raise ValueError(f"{where}: {name} is no {kinds.__name__}")
    source = _source(written["from"], where, receipt, items) if "from" in written else None
    template = written.get("template")
    if template is not None:
        _check_template(template, where, receipt, items)
    try:
        if "time" in options:
            check_time(options["time"])
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    if (source in TIMES) != ("time" in options):
        raise ValueError(f"{where}: {'a time needs its format, `time`' if source in TIMES else 'time is for times'}")
    if "unit" in options and options["unit"] not in UNITS:
        raise ValueError(f"{where}: unit is one of {', '.join(sorted(UNITS))}")
    return Leaf(source=source, template=template, **options)


def _check_template(template: Any, where: str, receipt: bool, items: frozenset[str]) -> None:
    try:
        check_template(str(template))
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    for name in names_in(str(template)):
        if name in TIMES:
            raise ValueError(f"{where}: a time has its format and stands in a field of its own, not in a template")
        _source(name, where, receipt, items)


def _source(name: Any, where: str, receipt: bool, items: frozenset[str]) -> str:
    if isinstance(name, str):
        if name in SOURCES or _QUALITY.fullmatch(name) or (receipt and name == "receipt"):
            return name
        if name.startswith("item.") and name.removeprefix("item.") in items:
            return name
    raise ValueError(f"{where}: there is no source {name!r}; docs/regulators.md lists them")
