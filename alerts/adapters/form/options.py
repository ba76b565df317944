"""The options of the form adapter: what one regulator's API looks like, checked when the settings are read.

They stand under `[alerts.targets.options]` of a target with `adapter = "form"`. docs/regulators.md explains them by
worked examples.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field, PrivateAttr, field_validator, model_validator

from alerts.adapters.form.nodes import Node, node_of, tables_of
from alerts.adapters.form.templates import check_template
from alerts.adapters.form.values import check_time
from core.settings import Section

Code = str | int | bool


def text_of(code: Any) -> str:
    """A code as it is compared: 0 and "0" are the same, "00" is another."""
    if isinstance(code, bool):
        return "true" if code else "false"
    if isinstance(code, float) and code.is_integer():
        return str(int(code))
    return "" if code is None else str(code)


def _is_pointer(value: str) -> str:
    if value and not value.startswith("/"):
        raise ValueError("write a JSON pointer, such as /status/code")
    return value


def _is_template(value: str) -> str:
    check_template(value)
    return value


def _is_time(value: str) -> str:
    check_time(value)
    return value


Pointer = Annotated[str, AfterValidator(_is_pointer)]
Template = Annotated[str, AfterValidator(_is_template)]
TimeFormat = Annotated[str, AfterValidator(_is_time)]
Path = Annotated[str, Field(pattern="^/[!-~]*$")]
BodyStyle = Literal["json", "form", "form-json"]


class NoAuth(Section):
    """Whoever reaches the address may report."""

    kind: Literal["none"] = "none"


class BasicAuth(Section):
    """HTTP basic authentication with the target's `client_id` and `secret`."""

    kind: Literal["basic"]


class HeaderAuth(Section):
    """A key in a header."""

    kind: Literal["header"]
    name: str = Field(default="x-api-key", description="Name of the header.")
    value: Template = Field(default="{secret}", description="Template of its value.")


class OAuth2Auth(Section):
    """A bearer token by client credentials (RFC 6749, 4.4), fetched when needed and renewed before it ends."""

    kind: Literal["oauth2"]
    path: Path = Field(description="Path of the token endpoint, behind the target's url.")
    client_in: Literal["body", "basic"] = Field(
        default="body", description="Whether client_id and secret go in the form or as HTTP basic authentication."
    )
    fields: dict[str, Template] = Field(default={}, description="Further fields of the token request.")
    token: Pointer = Field(default="/access_token", description="Where the answer holds the token.")
    expires_in: Pointer = Field(default="/expires_in", description="Where it holds the seconds that the token lasts.")
    lifetime_s: float = Field(default=3600, gt=0, description="Seconds that a token lasts if the answer does not say.")
    renew_before_s: float = Field(default=60, ge=0, description="Seconds before its end at which it is renewed.")
    header: str = Field(default="authorization", description="Header that carries the token.")
    scheme: str = Field(default="Bearer", description="Word before the token; empty: none.")


class SignatureAuth(Section):
    """Parameters and a digest over them, in the query, in headers, in the form or in the JSON body."""

    kind: Literal["signature"]
    place: Literal["query", "headers", "form", "body"] = Field(
        default="query", description="Where parameters and signature go."
    )
    params: dict[str, Template] = Field(default={}, description="Parameters by name, each a template.")
    name: str = Field(default="sign", description="Name under which the signature goes.")
    text: Template = Field(
        default="{params}",
        description="What is digested. {params}: all parameters (in the form: all its fields) sorted by name.",
    )
    pair: str = Field(default="=", description="Between name and value in {params}.")
    joint: str = Field(default="&", description="Between two parameters in {params}.")
    lower: bool = Field(default=False, description="Whether the text is put into lower case before it is digested.")
    digest: Literal["md5", "sha1", "sha256", "sha512", "hmac-md5", "hmac-sha1", "hmac-sha256", "hmac-sha512"] = Field(
        default="hmac-sha256", description="How it is digested; the key of an HMAC is the target's secret."
    )
    encoding: Literal["hex", "HEX", "base64"] = Field(default="hex", description="How the digest is written.")
    timestamp: TimeFormat = Field(default="epoch-s", description="Form of {timestamp}.")
    nonce_length: int = Field(default=16, ge=4, le=64, description="Letters and digits of {nonce}.")


Auth = Annotated[NoAuth | BasicAuth | HeaderAuth | OAuth2Auth | SignatureAuth, Field(discriminator="kind")]


class Call(Section):
    """One call: where it goes and what is in it."""

    path: Path = Field(description="Path behind the target's url.")
    method: Literal["GET", "POST", "PUT"] = Field(default="POST", description="HTTP method.")
    body: BodyStyle = Field(default="json", description="JSON, a form, or a form of which one field holds JSON.")
    form_field: str = Field(default="params", description="Name of that field, for form-json.")
    params: dict[str, Template] = Field(
        default={}, description="Parameters of this call beside those of the signature."
    )
    fields: dict[str, Any] = Field(default={}, description="What is sent: name -> source; docs/regulators.md.")
    _node: Node = PrivateAttr()

    @model_validator(mode="after")
    def _fields_can_be_filled(self) -> Call:
        receipt = isinstance(self, Result)
        # The whole is an object, whatever its fields are called.
        self._node = {name: node_of(field, f"fields.{name}", receipt=receipt) for name, field in self.fields.items()}
        if self.body == "form" and any(
            isinstance(value, dict | list) and not _is_leaf(value) for value in self.fields.values()
        ):
            raise ValueError("fields: a form has no nested fields; use form-json")
        return self

    @property
    def node(self) -> Node:
        """The checked tree of `fields`."""
        return self._node


def _is_leaf(value: Any) -> bool:
    return isinstance(value, dict) and bool({"from", "value", "template"} & value.keys())


class Message(Call):
    """What is reported of the violations that it fits; the first message that fits a violation is used."""

    phases: list[Literal["raise", "end"]] = Field(default=["raise", "end"], description="Phases that it reports.")
    subjects: list[Literal["device", "camera"]] = Field(default=[], description="Subjects; empty: both.")
    metrics: list[str] = Field(default=[], description="Patterns of metrics; empty: any.")
    rules: list[str] = Field(default=[], description="Patterns of rules; empty: any.")

    def fits(self, event: dict[str, Any]) -> bool:
        """Whether the message is that of a canonical event."""
        return (
            event["phase"] in self.phases
            and (not self.subjects or event["subject"]["type"] in self.subjects)
            and (not self.metrics or any(fnmatchcase(event["metric"], pattern) for pattern in self.metrics))
            and (not self.rules or any(fnmatchcase(event["alert"]["rule"], pattern) for pattern in self.rules))
        )


class Answer(Section):
    """How an answer is read. An HTTP status that is not among `statuses` means what it means anywhere."""

    statuses: list[int] = Field(
        default=list(range(200, 300)), description="HTTP statuses of which the body tells what happened; 2xx."
    )
    code: Pointer = Field(default="", description="Where the body holds the regulator's code; empty: 2xx is success.")
    success: list[Code] = Field(default=[], description="Codes of success.")
    duplicate: list[Code] = Field(default=[], description="Codes that say that it has this already: success as well.")
    retry: list[Code] = Field(default=[], description="Codes after which a later call may succeed.")
    refused: list[Code] = Field(default=[], description="Codes that only a person can change.")
    token_expired: list[Code] = Field(default=[], description="Codes that ask for a new token.")
    otherwise: Literal["config_error", "temporary"] = Field(
        default="config_error", description="What any other code means: refused, or to be tried again."
    )
    message: Pointer = Field(default="", description="Where the body holds its message.")
    receipt: Pointer = Field(default="", description="Where it holds the number by which the result is asked for.")

    @model_validator(mode="after")
    def _codes_are_told_apart(self) -> Answer:
        groups = {
            "success": self.success,
            "duplicate": self.duplicate,
            "retry": self.retry,
            "refused": self.refused,
            "token_expired": self.token_expired,
        }
        seen: dict[str, str] = {}
        for name, codes in groups.items():
            for code in map(text_of, codes):
                if code in seen:
                    raise ValueError(f"code {code!r} stands in {seen[code]} and in {name}")
                seen[code] = name
        if bool(self.code) != bool(self.success):
            raise ValueError("code and success belong together")
        return self


class Result(Call):
    """How the result of an accepted report is asked for."""

    method: Literal["GET", "POST", "PUT"] = Field(
        default="GET", description="HTTP method; a GET has its fields in the query."
    )
    code: Pointer = Field(default="", description="Where the body holds the code of the question itself; empty: none.")
    success: list[Code] = Field(default=[], description="Codes that say that the question was answered.")
    state: Pointer = Field(description="Where the body holds the state of the report.")
    validated: list[Code] = Field(min_length=1, description="States of a report that was found right.")
    rejected: list[Code] = Field(min_length=1, description="States of a report that was found wrong.")
    pending: list[Code] = Field(default=[], description="States of a report that was not looked at yet.")
    message: Pointer = Field(default="", description="Where it holds the reason of a rejection.")


class Options(Section):
    """Options of the adapter `form`."""

    time_zone: str = Field(default="Asia/Shanghai", description="Zone of all times that are sent.")
    headers: dict[str, str] = Field(default={}, description="Headers of every call.")
    tables: dict[str, dict[str, str | int]] = Field(
        default={}, description="Code tables by name: what a value is called by the regulator."
    )
    auth: Auth = Field(default=NoAuth(), description="How the regulator knows us.")
    messages: list[Message] = Field(min_length=1, description="What is sent; the first that fits a violation.")
    amendments: bool = Field(
        default=False,
        strict=True,
        description="Whether a raise is sent again, with its number in `amendment`, when the severity has risen.",
    )
    answer: Answer = Field(default=Answer(), description="What the answers mean.")
    result: Result | None = Field(default=None, description="Where results are told later: how they are asked for.")

    @field_validator("time_zone")
    @classmethod
    def _zone_exists(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError):
            raise ValueError(f"there is no time zone {name!r}; write one such as Asia/Shanghai") from None
        return name

    @model_validator(mode="after")
    def _parts_fit(self) -> Options:
        calls: list[Call] = [*self.messages, *([self.result] if self.result else [])]
        for call in calls:
            unknown = sorted(tables_of(call.node) - self.tables.keys())
            if unknown:
                raise ValueError(f"{call.path} uses a table that there is not: {', '.join(unknown)}")
        if (
            self.result is not None
            and not self.answer.receipt
            and "receipt" in f"{self.result.path} {self.result.fields}"
        ):
            raise ValueError("result asks by the receipt, and answer.receipt does not say where that is")
        if isinstance(self.auth, SignatureAuth):
            wanted = {"form": ("form", "form-json"), "body": ("json",)}.get(self.auth.place)
            wrong = [call.path for call in self.messages if wanted and call.body not in wanted]
            if wrong:
                raise ValueError(f"auth.place is {self.auth.place}, which the body of {wrong[0]} has no room for")
        return self
