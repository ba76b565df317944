"""Remote inspections over the API: begun, gone through with pictures and findings, finished with a signed report.

Steps name the `version` that the inspector looked at.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response
from psycopg import AsyncConnection

from alerts.inspection.checklists import load_checklists
from alerts.inspection.desk import Desk
from alerts.inspection.model import State, contents
from alerts.rectification import requests
from alerts.rectification.desk import Draft
from api import audit
from api.access import SQL, Seen, Viewer, Writer
from api.cameras import take
from api.context import Context, Database, Here, Row, rows
from api.errors import documented
from api.inspection_models import (
    Cancelling,
    Checklists,
    Ending,
    Finding,
    Inspection,
    InspectionDetail,
    InspectionId,
    InspectionPage,
    Judgement,
    Look,
    Marking,
    NewInspection,
    SealKey,
    detail_of,
)
from api.keys import Key
from api.rectification_orders import by_code
from core.clock import from_micros
from core.errors import InvalidInput, NotFound
from core.signing import SigningKey
from sensors.registry import load_registry

router = APIRouter(prefix="/inspections", tags=["inspections"])

PictureId = Annotated[int, Path(ge=1, lt=2**63)]
# False where it was done before, under the same key.
Work = Callable[[Desk], Awaitable[bool | None]]
# A report is a page of its own: nothing in it may run, and nothing be fetched.
_REPORT_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; sandbox allow-modals"


@router.get("", summary="List inspections", responses=documented(401, 404, 422))
async def page(
    viewer: Seen,
    database: Database,
    state: Annotated[State | None, Query(description="None: all.")] = None,
    site_id: Annotated[int | None, Query(ge=1, lt=2**31)] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    before: Annotated[int | None, Query(ge=1, lt=2**63, description="`next` of the page before.")] = None,
) -> InspectionPage:
    """Inspections of the sites that the person may see, newest first."""
    if site_id is not None:
        viewer.must_see(site_id)
    found = await _find(database, viewer, state=state, site_id=site_id, before=before, limit=limit)
    return InspectionPage(
        items=[Inspection(**one) for one in found], next=found[-1]["id"] if len(found) == limit else None
    )


@router.get("/checklists", summary="Checklists", responses=documented(401))
async def checklists(_viewer: Seen, context: Here) -> Checklists:
    """The lists that an inspection can go through: built-in ones and the bureau's own."""
    own = context.settings.alerts.inspection_checklists
    return Checklists(items=list((await asyncio.to_thread(load_checklists, own)).values()))


@router.get("/signing-key", summary="The key of reports", responses=documented(401))
async def signing_key(_viewer: Seen, context: Here) -> SealKey:
    """The public key that reports are signed with; hand it to whoever is to verify them."""
    key = await _key(context)
    return SealKey(algorithm="Ed25519", public_key=key.public, fingerprint=key.id)


@router.post("", summary="Begin an inspection", responses=documented(401, 403, 404, 409, 422))
async def begin(wanted: NewInspection, viewer: Writer, context: Here, database: Database, key: Key) -> InspectionDetail:
    """Begin to inspect a site by a list. Sent again under the same key it is the same inspection."""
    viewer.must_see(wanted.site_id)
    known = await asyncio.to_thread(load_checklists, context.settings.alerts.inspection_checklists)
    if wanted.checklist not in known:
        raise InvalidInput(f"there is no checklist {wanted.checklist!r}", hint=f"there are {', '.join(known)}")
    desk = await _desk(database, context, viewer)
    async with database.transaction():
        inspection_id = await desk.begin(wanted.site_id, known[wanted.checklist], key)
        await _audit(database, context, viewer, "begin", inspection_id, wanted.model_dump())
    return await _detail(database, viewer, inspection_id)


@router.get("/{inspection_id}", summary="One inspection", responses=documented(401, 404, 422))
async def read(inspection_id: InspectionId, viewer: Seen, database: Database) -> InspectionDetail:
    """The inspection with its items, cameras, pictures and findings."""
    return await _detail(database, viewer, inspection_id)


@router.put("/{inspection_id}/items/{position}", summary="Judge an item", responses=documented(401, 403, 404, 409, 422))
async def judge(
    inspection_id: InspectionId,
    position: Annotated[int, Path(ge=1, le=200)],
    said: Judgement,
    viewer: Writer,
    context: Here,
    database: Database,
) -> InspectionDetail:
    """Say whether an item passes, fails or does not apply."""

    def work(desk: Desk) -> Awaitable[None]:
        return desk.judge(inspection_id, said.version, position, said.result, said.note)

    detail = {"position": position, "result": said.result}
    return await _write(database, context, viewer, inspection_id, "judge", detail, work)


@router.post("/{inspection_id}/looks", summary="Look through a camera", responses=documented(401, 403, 404, 409, 422))
async def look(
    inspection_id: InspectionId, said: Look, viewer: Writer, context: Here, database: Database
) -> InspectionDetail:
    """Note that the inspector looks through a camera; the report names it."""
    detail = {"camera": said.camera_id}
    return await _write(
        database, context, viewer, inspection_id, "look", detail, lambda desk: desk.look(inspection_id, said.camera_id)
    )


@router.post("/{inspection_id}/pictures", summary="Take a picture", responses=documented(401, 403, 404, 409, 422, 503))
async def take_picture(
    inspection_id: InspectionId, said: Look, viewer: Writer, context: Here, database: Database, key: Key
) -> InspectionDetail:
    """Keep the camera's picture of this moment. Sent again under the same key none is added."""
    await _one(database, viewer, inspection_id)
    jpeg = await take(context, viewer, said.camera_id)

    def work(desk: Desk) -> Awaitable[bool]:
        return desk.add_picture(inspection_id, said.camera_id, jpeg, key)

    return await _write(database, context, viewer, inspection_id, "picture", {"camera": said.camera_id}, work)


@router.put(
    "/{inspection_id}/pictures/{picture_id}", summary="Mark a picture", responses=documented(401, 403, 404, 409, 422)
)
async def mark(
    inspection_id: InspectionId,
    picture_id: PictureId,
    said: Marking,
    viewer: Writer,
    context: Here,
    database: Database,
) -> InspectionDetail:
    """Draw marks on a picture, in place of those before, and say what it shows."""

    def work(desk: Desk) -> Awaitable[None]:
        return desk.mark_picture(
            inspection_id, said.version, picture_id, marks=said.marks, note=said.note, position=said.position
        )

    return await _write(database, context, viewer, inspection_id, "mark", {"picture": picture_id}, work)


@router.delete(
    "/{inspection_id}/pictures/{picture_id}",
    summary="Remove a picture",
    responses=documented(401, 403, 404, 409, 422),
)
async def drop(
    inspection_id: InspectionId,
    picture_id: PictureId,
    viewer: Writer,
    context: Here,
    database: Database,
    version: Annotated[int, Query(ge=1, lt=2**31)],
) -> InspectionDetail:
    """Remove a picture that no finding shows."""
    return await _write(
        database,
        context,
        viewer,
        inspection_id,
        "drop_picture",
        {"picture": picture_id},
        lambda desk: desk.drop_picture(inspection_id, version, picture_id),
    )


@router.post("/{inspection_id}/findings", summary="File a finding", responses=documented(401, 403, 404, 409, 422))
async def file(
    inspection_id: InspectionId, said: Finding, viewer: Writer, context: Here, database: Database, key: Key
) -> InspectionDetail:
    """Order the rectification of a hazard that was found; its pictures go with the order, the person is told."""
    people = await by_code(database, said.person, said.unit)
    words = said.model_dump(include={"level", "title", "description", "location", "requirement"})
    deadline = None if said.deadline_at is None else from_micros(said.deadline_at * 1000)
    asked = {"action": "finding", "inspection": inspection_id, **said.model_dump()}

    async def work(desk: Desk) -> bool:
        if await requests.done_before(database, viewer.code, key, asked, at=context.clock.now()) is not None:
            return False
        draft = Draft(**words, **people, site_id=0, source="inspection", alert_id=None, deadline_at=deadline)
        order = await desk.file(inspection_id, said.version, draft, position=said.position, pictures=said.pictures)
        await requests.note(database, viewer.code, key, order.id)
        return True

    return await _write(database, context, viewer, inspection_id, "finding", {"title": said.title}, work)


@router.post("/{inspection_id}/finish", summary="Finish", responses=documented(401, 403, 404, 409, 422))
async def finish(
    inspection_id: InspectionId, said: Ending, viewer: Writer, context: Here, database: Database
) -> InspectionDetail:
    """End the inspection; the report is made in the inspector's language and signed."""
    key = await _key(context)
    language = "en" if viewer.language == "en" else "zh"

    def work(desk: Desk) -> Awaitable[None]:
        return desk.finish(inspection_id, said.version, said.conclusion, key, language)

    return await _write(database, context, viewer, inspection_id, "finish", {"key": key.id}, work)


@router.post("/{inspection_id}/cancel", summary="Cancel", responses=documented(401, 403, 404, 409, 422))
async def cancel(
    inspection_id: InspectionId, said: Cancelling, viewer: Writer, context: Here, database: Database
) -> InspectionDetail:
    """End the inspection without a report; orders that were given stay."""

    def work(desk: Desk) -> Awaitable[None]:
        return desk.cancel(inspection_id, said.version, said.reason)

    return await _write(database, context, viewer, inspection_id, "cancel", {"reason": said.reason}, work)


@router.get(
    "/{inspection_id}/report",
    summary="The signed report",
    response_class=Response,
    responses={200: {"description": "An HTML page.", "content": {"text/html": {}}}, **documented(401, 404, 422)},
)
async def report(
    inspection_id: InspectionId,
    viewer: Seen,
    context: Here,
    database: Database,
    download: Annotated[bool, Query(description="As a file, to be kept and verified.")] = False,
) -> Response:
    """The report as it was signed, to be read, printed or kept."""
    found = await _one(database, viewer, inspection_id)
    if found["report_sha256"] is None:
        raise NotFound("the inspection has no report", hint="one is made when it is finished")
    path = context.evidence.open(found["report_sha256"])
    await _audit(database, context, viewer, "report", inspection_id, {})
    name = f"{'attachment' if download else 'inline'}; filename={found['number']}.html"
    return Response(
        await asyncio.to_thread(path.read_bytes),
        media_type="text/html",
        headers={"Content-Disposition": name, "Content-Security-Policy": _REPORT_POLICY},
    )


async def _write(
    database: AsyncConnection[Any],
    context: Context,
    viewer: Viewer,
    inspection_id: int,
    action: str,
    detail: dict[str, Any],
    work: Work,
) -> InspectionDetail:
    """Do one step in one transaction, with its row in the audit log; the inspection as it stands then."""
    await _one(database, viewer, inspection_id)
    desk = await _desk(database, context, viewer)
    async with database.transaction():
        if await work(desk) is not False:
            await _audit(database, context, viewer, action, inspection_id, detail)
    return await _detail(database, viewer, inspection_id)


async def _desk(database: AsyncConnection[Any], context: Context, viewer: Viewer) -> Desk:
    return Desk(
        connection=database,
        actor=viewer.code,
        registry=await load_registry(database),
        store=context.evidence,
        settings=context.settings,
        clock=context.clock,
    )


async def _key(context: Context) -> SigningKey:
    return await asyncio.to_thread(SigningKey.load, context.settings.signing_key_file)


async def _detail(database: AsyncConnection[Any], viewer: Viewer, inspection_id: int) -> InspectionDetail:
    return detail_of(await _one(database, viewer, inspection_id), await contents(database, inspection_id))


async def _one(database: AsyncConnection[Any], viewer: Viewer, inspection_id: int) -> Row:
    found = await _find(database, viewer, inspection_id=inspection_id, limit=1)
    if not found:
        raise NotFound(f"there is no inspection {inspection_id}")
    return found[0]


async def _find(
    database: AsyncConnection[Any],
    viewer: Viewer,
    *,
    limit: int,
    inspection_id: int | None = None,
    state: State | None = None,
    site_id: int | None = None,
    before: int | None = None,
) -> list[Row]:
    asked = {
        "sites": viewer.scope,
        "id": inspection_id,
        "state": state,
        "site_id": site_id,
        "before": before,
        "limit": limit,
    }
    return await rows(database, SQL["inspections"], asked)


async def _audit(
    database: AsyncConnection[Any],
    context: Context,
    viewer: Viewer,
    action: str,
    inspection_id: int,
    detail: dict[str, Any],
) -> None:
    await audit.append(
        database,
        at=context.clock.now(),
        actor=viewer.code,
        action=f"inspection.{action}",
        thing=f"inspection:{inspection_id}",
        detail=detail,
    )
