"""Routes of a site's documents. Whoever sees the site reads them; changing them needs the right `documents`."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import FileResponse
from psycopg import AsyncConnection

from api import audit
from api.access import SQL, Seen, Viewer, Writer
from api.context import Context, Database, Here, row, rows
from api.documents.content import FORMS
from api.documents.model import (
    DUE_DAYS,
    Document,
    DocumentForm,
    DocumentId,
    DocumentLimits,
    DocumentPage,
    Kind,
    NewDocument,
    Withdrawal,
    shown,
)
from api.documents.receiving import NoRoom, Received, file_name, keep, received
from api.errors import documented
from api.keys import Key
from api.sites import SiteId
from api.versions import IfMatch, Precondition
from core.errors import Conflict, NotFound
from core.evidence import Evidence, EvidenceStore, record

router = APIRouter(prefix="/sites/{site_id}/documents", tags=["documents"])

_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "The file's bytes.",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}
# What is handed out is kept, never shown: should a browser show it all the same, no script of it runs here.
_HANDED_OUT = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "sandbox; default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


@router.get("", summary="Documents of a site", responses=documented(401, 404, 422))
async def listed(
    site_id: SiteId,
    viewer: Seen,
    context: Here,
    database: Database,
    kind: Annotated[Kind | None, Query(description="None: all.")] = None,
    withdrawn: Annotated[bool, Query(description="Those that are withdrawn instead of those that are not.")] = False,
    due: Annotated[bool, Query(description=f"Only those that are over or end within {DUE_DAYS} days.")] = False,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    before: Annotated[int | None, Query(ge=1, lt=2**63, description="`next` of the page before.")] = None,
) -> DocumentPage:
    """Documents of the site, the newest first, with what an upload may be."""
    await _must_see(database, viewer, site_id)
    asked = _asked(context, viewer, site_id) | {
        "kind": kind,
        "withdrawn": withdrawn,
        "due_days": DUE_DAYS if due else None,
        "limit": limit,
        "before": before,
    }
    items = [shown(one) for one in await rows(database, SQL["documents"], asked)]
    counted = await row(database, SQL["documents_due"], {**asked, "due_days": DUE_DAYS})
    assert counted is not None
    limits = context.settings.documents
    return DocumentPage(
        items=items,
        next=items[-1].id if len(items) == limit else None,
        due=counted["n"],
        limits=DocumentLimits(
            max_bytes=limits.max_mb * 1024 * 1024,
            types=limits.types,
            media_types=[FORMS[one].media_type for one in limits.types],
        ),
    )


async def _may_upload(site_id: SiteId, viewer: Writer, context: Here) -> Viewer:
    """Who uploads, before the body is awaited: a slow sender holds no connection of the pool."""
    async with context.connection() as database:
        await _must_see(database, viewer, site_id)
    return viewer


@router.post(
    "",
    status_code=201,
    summary="Upload a document",
    responses=documented(401, 403, 404, 409, 413, 415, 422, 507),
    openapi_extra=_BODY,
)
async def upload(
    site_id: SiteId,
    viewer: Annotated[Viewer, Depends(_may_upload)],
    context: Here,
    request: Request,
    new: Annotated[NewDocument, Query()],
    key: Key,
) -> Document:
    """Store the body as a document; the same again under its key is the same document.

    Its form is told by its content: those of `documents.types`, office files without macros. A name that does not fit
    the form gets the form's ending.
    """
    limits = context.settings.documents
    store = EvidenceStore(context.settings.evidence_dir, reserve_bytes=context.settings.evidence.reserve_bytes)
    async with (
        received(request, store, limits.types, new.file_name) as file,
        context.connection() as database,
        database.transaction(),
    ):
        return await _store(database, context, viewer, site_id, new, file, key)


async def _store(
    database: AsyncConnection,
    context: Context,
    viewer: Viewer,
    site_id: int,
    new: NewDocument,
    file: Received,
    key: str,
) -> Document:
    facts = new.model_dump()
    wanted = {**facts, "site_id": site_id, "sha256": file.sha256}
    digest = hashlib.sha256(json.dumps(wanted, sort_keys=True, default=str).encode()).hexdigest()
    await database.execute(SQL["document_site_lock"], {"site_id": site_id})
    if (known := await _done_before(database, viewer, key, digest)) is not None:
        return await _one(database, context, viewer, site_id, known)
    most = round(context.settings.documents.site_most_gb * 1e9)
    room = await row(database, SQL["document_room"], {"site_id": site_id})
    assert room is not None
    if room["bytes"] + file.bytes > most:
        raise NoRoom(
            f"site {site_id} has {room['bytes']} bytes of documents, {most} at most",
            hint="raise documents.site_most_gb, or withdraw documents and wait until their files are removed",
        )
    await record(database, Evidence(file.sha256, file.media_type, file.bytes))
    await keep(file.incoming)
    values = {
        **wanted,
        "file_name": file_name(new.file_name, file.form),
        "media_type": file.media_type,
        "bytes": file.bytes,
        "now": context.clock.now(),
        "by": viewer.code,
        "key": key,
        "digest": digest,
    }
    inserted = await row(database, SQL["document_insert"], values)
    if inserted is None:
        # Under the same key a document came to another site at the same moment.
        raise _other_use()
    document = await _one(database, context, viewer, site_id, inserted["id"])
    told = document.model_dump(
        mode="json", include={"kind", "kind_text", "title", "file_name", "bytes", "sha256", "valid_until"}
    )
    await _audit(database, context, viewer, "document.upload", document, told)
    return document


async def _done_before(database: AsyncConnection, viewer: Viewer, key: str, digest: str) -> int | None:
    known = await row(database, SQL["document_asked"], {"by": viewer.code, "key": key})
    if known is None:
        return None
    if known["request_digest"] != digest:
        raise _other_use()
    return int(known["id"])


def _other_use() -> Conflict:
    return Conflict("the idempotency key was used for something else", hint="choose a new key for a new document")


@router.put("/{document_id}", summary="Change a document", responses=documented(401, 403, 404, 409, 412, 422))
async def change(
    site_id: SiteId,
    document_id: DocumentId,
    form: DocumentForm,
    viewer: Writer,
    context: Here,
    database: Database,
    if_match: IfMatch = None,
) -> Document:
    """Change kind, title, end and note of a document as it was read; its file stays as it is.

    A form that asks for what is there changes nothing, so that one sent twice is no conflict.
    """
    async with database.transaction():
        present = await _locked(database, context, viewer, site_id, document_id)
        if present.withdrawn_at is not None:
            raise Conflict(f"document {document_id} is withdrawn", hint="upload it anew")
        wanted = form.model_dump()
        before = present.model_dump(include=set(wanted))
        if wanted == before:
            return present
        Precondition(if_match, None).check(f"document {document_id}", present.etag)
        step = {"id": document_id, "now": context.clock.now(), "by": viewer.code}
        await database.execute(SQL["document_change"], wanted | step)
        document = await _one(database, context, viewer, site_id, document_id)
        after = form.model_dump(mode="json")
        changed = {name: value for name, value in after.items() if wanted[name] != before[name]}
        await _audit(database, context, viewer, "document.change", document, changed)
    return document


@router.post("/{document_id}/withdraw", summary="Withdraw a document", responses=documented(401, 403, 404, 422))
async def withdraw(
    site_id: SiteId, document_id: DocumentId, wanted: Withdrawal, viewer: Writer, context: Here, database: Database
) -> Document:
    """It counts no more; a second time changes nothing, the first reason stands.

    It stays in the list of those that are withdrawn, its file for `documents.withdrawn_days`.
    """
    async with database.transaction():
        document = await _locked(database, context, viewer, site_id, document_id)
        if document.withdrawn_at is None:
            step = {"id": document_id, "now": context.clock.now(), "by": viewer.code, "reason": wanted.reason}
            await database.execute(SQL["document_withdraw"], step)
            document = await _one(database, context, viewer, site_id, document_id)
            await _audit(database, context, viewer, "document.withdraw", document, {"reason": wanted.reason})
    return document


@router.get(
    "/{document_id}/file",
    summary="The file of a document",
    response_class=FileResponse,
    responses={
        200: {
            "description": "The file, to be kept and not to be shown.",
            "content": {form.media_type: {} for form in FORMS.values()},
        },
        **documented(401, 404, 422),
    },
)
async def download(
    site_id: SiteId, document_id: DocumentId, viewer: Seen, context: Here, database: Database
) -> FileResponse:
    """The file under its name; every one that is fetched is audited."""
    await _must_see(database, viewer, site_id)
    document = await _one(database, context, viewer, site_id, document_id)
    if not document.file_kept:
        raise NotFound(f"the file of document {document_id} was removed at the end of its time")
    path = context.evidence.open(document.sha256)
    await _audit(database, context, viewer, "document.download", document, {"sha256": document.sha256})
    return FileResponse(
        path,
        media_type=document.media_type,
        headers=_HANDED_OUT,
        content_disposition_type="attachment",
        filename=document.file_name,
    )


def _asked(context: Context, viewer: Viewer, site_id: int) -> dict[str, Any]:
    """Parameters of the statement `documents` that ask for everything of a site."""
    return {
        "site_id": site_id,
        "sites": viewer.scope,
        "now": context.clock.now(),
        "id": None,
        "kind": None,
        "withdrawn": None,
        "due_days": None,
        "before": None,
        "limit": 1,
    }


async def _must_see(database: AsyncConnection, viewer: Viewer, site_id: int) -> None:
    viewer.must_see(site_id)
    if await row(database, SQL["document_site"], {"site_id": site_id, "sites": viewer.scope}) is None:
        raise NotFound(f"there is no site {site_id}")


async def _one(database: AsyncConnection, context: Context, viewer: Viewer, site_id: int, document_id: int) -> Document:
    found = await row(database, SQL["documents"], _asked(context, viewer, site_id) | {"id": document_id})
    if found is None:
        raise NotFound(f"site {site_id} has no document {document_id}")
    return shown(found)


async def _locked(
    database: AsyncConnection, context: Context, viewer: Viewer, site_id: int, document_id: int
) -> Document:
    await _must_see(database, viewer, site_id)
    asked = {"id": document_id, "site_id": site_id, "sites": viewer.scope}
    if await row(database, SQL["document_lock"], asked) is None:
        raise NotFound(f"site {site_id} has no document {document_id}")
    return await _one(database, context, viewer, site_id, document_id)


async def _audit(
    database: AsyncConnection, context: Context, viewer: Viewer, action: str, document: Document, detail: dict[str, Any]
) -> None:
    await audit.append(
        database,
        at=context.clock.now(),
        actor=viewer.code,
        action=action,
        thing=f"document:{document.id}",
        detail={"site": document.site_id, **detail},
    )
