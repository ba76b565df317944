"""Photos of rectification orders: uploaded here, then named by a later step of the order.

A photo is the one large body that the API takes, so it is not read before its sender is known to have a part in the
order. Other bodies are small; FastAPI reads them first.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request

from alerts.rectification import photos
from api.access import Writer
from api.context import Here
from api.errors import documented
from api.rectification_models import OrderId, UploadedPhoto
from api.rectification_orders import audit_step, load_order

router = APIRouter(prefix="/rectifications", tags=["rectifications"])

_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "JPEG, PNG or WebP.",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}
# A large picture unfolds into hundreds of megabytes: many at once must not take the machine.
_preparing = asyncio.Semaphore(2)


async def _body(request: Request, order_id: OrderId, viewer: Writer, context: Here) -> bytes:
    """The photo's bytes, of somebody who may add one to the order."""
    # The connection is given back before the body is awaited: a slow sender holds none.
    async with context.connection() as database:
        await load_order(database, viewer, context, order_id)
    return await request.body()


@router.post(
    "/{order_id}/photos",
    summary="Upload a photo",
    responses=documented(401, 403, 404, 409, 413, 422),
    openapi_extra=_BODY,
)
async def upload(
    order_id: OrderId, viewer: Writer, context: Here, data: Annotated[bytes, Depends(_body)]
) -> UploadedPhoto:
    """Store a photo for a later step of the order. It is its own key: the same photo again changes nothing.

    It is written anew as JPEG without EXIF, so that neither place nor telephone are kept, unless the installation
    keeps them (`alerts.rectification.keep_photo_location`).
    """
    settings = context.settings.alerts.rectification
    async with _preparing:
        photo = await asyncio.to_thread(photos.prepare, data, keep=settings.keep_photo_location)
    async with context.connection() as database, database.transaction():
        sha256 = await photos.add(
            database,
            context.evidence,
            order_id,
            photo,
            by=viewer.code,
            most=settings.photos_max,
            clock=context.clock,
        )
        await audit_step(database, context, viewer, "rectification.photo", order_id, {"sha256": sha256})
    return UploadedPhoto(sha256=sha256, media_type=photo.media_type, width=photo.width, height=photo.height)
