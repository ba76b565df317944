"""Users, roles and site scopes: people of the registry, changed one by one by who administers them."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path
from psycopg import AsyncConnection
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from api import audit
from api.access import SQL, Seen, Writer
from api.context import Context, Database, Here, Row, row, rows
from api.errors import FaultyFields, documented
from api.versions import IfMatch, IfNoneMatch, Precondition, etag_of
from core.errors import Conflict, NotFound
from core.sql import queries
from sensors.provision import Report, Rows, Sourced, apply_rows
from sensors.provision.rows import Code, Name, PersonRow, Secret, Text

router = APIRouter(prefix="/accounts", tags=["administration"])
_PROVISION = queries("sensors")

Role = Literal["leader", "operator", "inspector", "supervisor", "officer", "integrator", "auditor"]
AccountCode = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{1,64}$", examples=["op-li"])]


class AccountForm(BaseModel):
    """What may be set of a person. Contacts are set by `smartsite provision`."""

    model_config = ConfigDict(extra="forbid")

    name: Name = Field(examples=["李操作"])
    name_en: Text = ""
    role: Role
    unit: Code | None = Field(default=None, description="Code of the company.")
    phone: Annotated[str, Field(pattern=r"^(\+?[0-9 -]{5,24})?$")] = ""
    language: Literal["zh", "en"] = "zh"
    login: Name | None = Field(default=None, description="Null: may not log in.")
    password: Secret | None = Field(default=None, description="A new one, or null: it stays. It ends all sessions.")
    all_sites: bool = False
    sites: list[Code] = Field(default=[], max_length=2000, description="Codes; without meaning with `all_sites`.")
    enabled: bool = True


class Account(BaseModel):
    """A person with role and sites; neither password nor contacts."""

    code: str = Field(examples=["op-li"])
    name: str
    name_en: str
    role: Role
    unit: str | None
    phone: str
    language: Literal["zh", "en"]
    login: str | None
    has_password: bool
    all_sites: bool
    sites: list[str]
    enabled: bool
    failures: int = Field(description="Failed log-ins that still count for a lock.")
    linked: bool = Field(description="Whether a user of the OpenID Connect provider enters as this person.")
    etag: str = Field(description="For If-Match of a change.", examples=['"3f2a9c..."'])


class AccountList(BaseModel):
    """Everybody."""

    items: list[Account]


@router.get("", summary="List people who may log in or be told", responses=documented(401, 403))
async def listed(_viewer: Seen, context: Here, database: Database) -> AccountList:
    """Everybody with role and sites, those who are disabled last."""
    return AccountList(items=[_shown(one) for one in await _find(database, context)])


@router.put("/{code}", summary="Change or make a person", responses=documented(401, 403, 404, 409, 412, 422))
async def save(
    code: AccountCode,
    form: AccountForm,
    viewer: Writer,
    context: Here,
    database: Database,
    if_match: IfMatch = None,
    if_none_match: IfNoneMatch = None,
) -> Account:
    """Change a person as read, or make a new one. Somebody who may administer people must remain."""
    async with database.transaction():
        # The lock of all who change the registry: between the look and the change nobody else comes.
        await database.execute(_PROVISION["provision_lock"])
        found = await _find(database, context, code)
        before = _shown(found[0]) if found else None
        if before is not None and _says(form, before):
            return before  # a form that was sent twice
        Precondition(if_match, if_none_match).check(f"person {code!r}", None if before is None else before.etag)
        await _apply(database, code, form)
        (present,) = await _find(database, context, code)
        left = await row(database, SQL["administrators"], {})
        if left is None or not left["n"]:
            raise Conflict("nobody who may administer people would be left", hint="make another leader first")
        if form.password is not None:
            await database.execute(SQL["sessions_of_person_delete"], {"id": present["id"]})
        detail = {**form.model_dump(exclude={"password"}), "password": form.password is not None}
        await audit.append(
            database,
            at=context.clock.now(),
            actor=viewer.code,
            action="account.make" if before is None else "account.change",
            thing=f"person:{present['id']}",
            detail={"code": code, **detail},
        )
    return _shown(present)


@router.delete("/{code}/lock", status_code=204, summary="Unlock a log-in", responses=documented(401, 403, 404, 422))
async def unlock(code: AccountCode, viewer: Writer, context: Here, database: Database) -> None:
    """Forget the person's failed log-ins: a lock of the log-in ends at once."""
    async with database.transaction():
        found = await _find(database, context, code)
        if not found:
            raise NotFound(f"there is no person {code!r}")
        await database.execute(SQL["failure_forget_login"], {"login": found[0]["login"]})
        thing = f"person:{found[0]['id']}"
        await audit.append(database, at=context.clock.now(), actor=viewer.code, action="account.unlock", thing=thing)


@router.delete(
    "/{code}/links", status_code=204, summary="Unlink from the provider", responses=documented(401, 403, 404, 422)
)
async def unlink(code: AccountCode, viewer: Writer, context: Here, database: Database) -> None:
    """Forget which user of the OpenID Connect provider the person is: their sessions end, and whoever comes next under
    their login is linked."""
    async with database.transaction():
        found = await _find(database, context, code)
        if not found:
            raise NotFound(f"there is no person {code!r}")
        wanted = {"id": found[0]["id"]}
        gone = await rows(database, SQL["person_links_delete"], wanted)
        if gone:
            await database.execute(SQL["sessions_of_person_delete"], wanted)
            await audit.append(
                database,
                at=context.clock.now(),
                actor=viewer.code,
                action="account.unlink",
                thing=f"person:{found[0]['id']}",
                detail={"links": [[one["issuer"], one["subject"]] for one in gone]},
            )


async def _find(database: AsyncConnection, context: Context, code: str | None = None) -> list[Row]:
    since = context.clock.now() - timedelta(minutes=context.settings.api.login_lock_minutes)
    return await rows(database, SQL["accounts"], {"code": code, "since": since})


def _shown(found: Row) -> Account:
    # What comes by logging in makes nobody's form stale.
    facts: dict[str, Any] = {name: value for name, value in found.items() if name not in ("id", "failures", "linked")}
    return Account(**facts, failures=found["failures"], linked=found["linked"], etag=etag_of(facts))


def _says(form: AccountForm, present: Account) -> bool:
    """Whether the form asks for what is there. A password cannot be compared without its cost: it counts as new."""
    wanted = form.model_dump(exclude={"password"}) | {"sites": sorted(form.sites)}
    return form.password is None and wanted == present.model_dump(include=set(wanted))


async def _apply(database: AsyncConnection, code: str, form: AccountForm) -> None:
    values = form.model_dump(exclude=set() if form.password is not None else {"password"})
    try:
        person = PersonRow.model_validate({"code": code, **values})
    except ValidationError as error:
        # Each field was checked with the form; what is left is that a password needs a log-in.
        fault = error.errors(include_input=False)[0]["msg"].removeprefix("Value error, ")
        raise FaultyFields({"body.login": fault}) from error
    report = Report()
    await apply_rows(database, Rows(people=[Sourced("", "", person)]), report)
    if report.errors:
        raise FaultyFields.of_rows(report.errors)
