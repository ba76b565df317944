"""Whom of the registry a user of the provider is: by the link once made, else by the name, which then is linked."""

from __future__ import annotations

import hashlib
import re
from datetime import datetime

from psycopg import AsyncConnection
from pydantic import ValidationError

from api import audit
from api.access import SQL
from api.context import Row, row
from api.oidc.provider import Identity
from api.oidc.refusal import Refusal
from core.settings import OidcSettings, Role
from core.sql import queries
from sensors.provision import Report, Rows, Sourced, apply_rows
from sensors.provision.rows import PersonRow

_PROVISION = queries("sensors")
_CODE = re.compile(r"[A-Za-z0-9_-]{1,64}")


async def person_of(database: AsyncConnection, settings: OidcSettings, identity: Identity, *, at: datetime) -> Row:
    """The person, as `person_entering` tells them, within the caller's transaction.

    Somebody who comes for the first time is linked, or made a person where the settings say so; the role follows the
    groups where they decide it. Raises Refusal.
    """
    role = _role(settings, identity)
    known = {"issuer": settings.issuer, "subject": identity.subject}
    link = await row(database, SQL["person_linked"], known)
    if link is None or role is not None:
        # The lock of all who change the registry; somebody may have come in a second window meanwhile.
        await database.execute(_PROVISION["provision_lock"])
        link = await row(database, SQL["person_linked"], known)
    number = link["person_id"] if link else await _link(database, settings, identity, role, at=at)
    person = await row(database, SQL["person_entering"], {"id": number})
    assert person is not None
    if not person.pop("enabled"):
        raise Refusal("oidc_disabled", "the person is disabled", user=identity.user)
    if role is not None and role != person["role"]:
        await _change_role(database, person, role, identity, at=at)
        person["role"] = role
    return person


def _role(settings: OidcSettings, identity: Identity) -> Role | None:
    """The role by the user's groups; None where groups decide nothing."""
    if not settings.groups_claim:
        return None
    for group, role in settings.roles.items():
        if group in identity.groups:
            return role
    raise Refusal("oidc_role", "none of the user's groups has a role here", user=identity.user)


async def _link(
    database: AsyncConnection, settings: OidcSettings, identity: Identity, role: Role | None, *, at: datetime
) -> int:
    asked = {"login": identity.user, "issuer": settings.issuer}
    found = await row(database, SQL["person_to_link"], asked)
    if found is not None and found["linked"]:
        # Whoever had the name before is linked to the person: names may change hands at the provider.
        reason = "the person of this name is linked to another user of the provider"
        raise Refusal("oidc_taken", reason, user=identity.user)
    if found is None and settings.unknown_users == "refuse":
        raise Refusal("oidc_unknown", "nobody has this login", user=identity.user)
    if found is None:
        number = await _make(database, settings, identity, role or settings.default_role, at=at)
    else:
        number = int(found["id"])
    link = {"issuer": settings.issuer, "subject": identity.subject}
    await database.execute(SQL["person_link_put"], {**link, "person_id": number, "now": at})
    detail = {**link, "login": identity.user}
    await audit.append(database, at=at, actor="", action="account.link", thing=f"person:{number}", detail=detail)
    return number


async def _make(
    database: AsyncConnection, settings: OidcSettings, identity: Identity, role: Role, *, at: datetime
) -> int:
    code = identity.user
    if not _CODE.fullmatch(code) or await row(database, SQL["person_of_code"], {"code": code}) is not None:
        # The same again for the same user.
        code = "oidc-" + hashlib.sha256(f"{settings.issuer} {identity.subject}".encode()).hexdigest()[:16]
    values = {"name": identity.name, "role": role, "login": identity.user, "language": identity.language}
    report = Report()
    try:
        made = PersonRow.model_validate({"code": code, **values})
        await apply_rows(database, Rows(people=[Sourced("", "", made)]), report)
    except ValidationError as error:
        reason = f"no person can be made of it: {error.errors(include_input=False)[0]['msg']}"
        raise Refusal("oidc_unknown", reason, user=identity.user) from error
    present = await row(database, SQL["person_of_code"], {"code": code})
    if report.errors or present is None:
        raise Refusal("oidc_unknown", f"no person can be made of it: {report.errors[0].message}", user=identity.user)
    thing = f"person:{present['id']}"
    detail = {"code": code, **values}
    await audit.append(database, at=at, actor="", action="account.make", thing=thing, detail=detail)
    return int(present["id"])


async def _change_role(database: AsyncConnection, person: Row, role: Role, identity: Identity, *, at: datetime) -> None:
    await database.execute(SQL["person_role_put"], {"id": person["id"], "role": role})
    left = await row(database, SQL["administrators"], {}) if person["role"] == "leader" else {"n": 1}
    if left is None or not left["n"]:
        raise Refusal("oidc_role", "nobody who may administer people would be left", user=identity.user)
    thing = f"person:{person['id']}"
    detail = {"code": person["code"], "role": role, "groups": sorted(identity.groups)[:20]}
    await audit.append(database, at=at, actor="", action="account.change", thing=thing, detail=detail)
