"""Evidence files, for those who may see the site they come from; every look is audited.

Pictures with blurred heads are for everybody who sees the site. Originals, clips among them, are for the roles that
judge; they are not kept by browsers, so that the next look is asked for, and audited, too.
"""

from __future__ import annotations

import mimetypes
from typing import Annotated

from fastapi import APIRouter, Path
from fastapi.responses import FileResponse

from api import audit
from api.access import SQL, Seen
from api.context import Database, Here, row
from api.errors import documented
from core.errors import NotFound

router = APIRouter(prefix="/evidence", tags=["evidence"])
_INLINE = {"image/jpeg", "image/png", "image/webp", "video/mp4"}
_GONE = {
    "age": "that piece of evidence was removed at the end of its time",
    "space": "that piece of evidence was removed to make room",
    "not_stored": "that piece of evidence could not be stored: the disk was full",
}

Sha256 = Annotated[str, Path(pattern="^[0-9a-f]{64}$", description="SHA-256 of the file.", examples=["9f86d0..."])]


@router.get(
    "/{sha256}",
    summary="A piece of evidence",
    response_class=FileResponse,
    responses={200: {"description": "The file.", "content": {"image/jpeg": {}}}, **documented(401, 403, 404, 422)},
)
async def read(sha256: Sha256, viewer: Seen, context: Here, database: Database) -> FileResponse:
    """The file that belongs to an alert or an episode of a site that the person may see.

    Originals (frame, crop, clip) need a role that may see them: leader, operator, inspector or supervisor.
    """
    found = await row(database, SQL["evidence"], {"sites": viewer.scope, "sha256": sha256})
    if found is None:
        raise NotFound("there is no such evidence")
    original = bool(found["original"])
    if original:
        viewer.must("original")
    if found["removed_at"] is not None:
        raise NotFound(_GONE[found["removed_for"]])
    path = context.evidence.open(sha256)
    await audit.append(
        database,
        at=context.clock.now(),
        actor=viewer.code,
        action="evidence.original" if original else "evidence.view",
        thing=f"evidence:{sha256}",
        detail={"site": found["site_id"]},
    )
    return FileResponse(
        path,
        media_type=found["media_type"],
        # The name is the content; a shared cache must not hand it to the next person.
        headers={"Cache-Control": "no-store"}
        if original
        else {"Cache-Control": "private, max-age=31536000, immutable", "ETag": f'"{sha256}"'},
        content_disposition_type="inline" if found["media_type"] in _INLINE else "attachment",
        filename=sha256 + (mimetypes.guess_extension(found["media_type"]) or ""),
    )
