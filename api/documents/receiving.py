"""A file on its way in: written as it comes, its form told by its content, its name made fit to be a name."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import unicodedata
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

from fastapi import Request
from starlette.requests import ClientDisconnect

from api.documents.content import FORMS, EmptyFile, UnsupportedType, form_of
from core.errors import InvalidInput, SmartsiteError
from core.evidence import EvidenceStore, Incoming
from core.settings.documents import DocumentType

# Parts of the body are small; each hand-over to a thread costs.
_PART_BYTES = 1024 * 1024
_FULL = {errno.ENOSPC, errno.EDQUOT}
# Of file systems and of the column; letters of the ending are among them.
_LONGEST_NAME = 255


class NoRoom(SmartsiteError):
    """There is no room for the file."""

    code = "no_room"
    status = 507


@dataclass(frozen=True, slots=True)
class Received:
    """A file that has come whole and lies on the disk, though not yet in its place."""

    incoming: Incoming
    sha256: str
    form: DocumentType

    @property
    def bytes(self) -> int:
        """Its size."""
        return self.incoming.bytes

    @property
    def media_type(self) -> str:
        """By the content."""
        return FORMS[self.form].media_type


@contextlib.asynccontextmanager
async def received(
    request: Request, store: EvidenceStore, types: list[DocumentType], name: str
) -> AsyncIterator[Received]:
    """The body of the request as a file of the store's folder; whatever happens, what is not kept is taken away.

    Raises:
        EmptyFile: it has no bytes.
        UnsupportedType: it is none of `types`.
        NoRoom: the disk is full.
        InvalidInput: the sender went away in the middle.
    """
    with _room():
        incoming = await asyncio.to_thread(Incoming, store)
    try:
        sha256 = await _body(request, incoming)
        if not incoming.bytes:
            raise EmptyFile(f"the file {name!r} is empty", hint="choose the file anew")
        form = await asyncio.to_thread(form_of, incoming.path)
        if form is None or form not in types:
            taken = ", ".join(types)
            raise UnsupportedType(f"the content of {name!r} is none of: {taken}", hint="save it in one of these forms")
        yield Received(incoming, sha256, form)
    finally:
        incoming.discard()


async def keep(incoming: Incoming) -> None:
    """Give the file its place; NoRoom where the disk is full."""
    with _room():
        await asyncio.to_thread(incoming.keep)


def file_name(given: str, form: DocumentType) -> str:
    """The given name without folders and without characters that are not seen, with an ending of its form.

    A name that ends otherwise than its content is gets the right ending behind it: what is downloaded is opened by it.
    """
    base = given.replace("\\", "/").rpartition("/")[2]
    base = "".join(one for one in base if not unicodedata.category(one).startswith("C")).strip(" .") or "document"
    endings = FORMS[form].endings
    ending = next((one for one in endings if base.lower().endswith(one)), None)
    stem = base[: -len(ending)] if ending else base
    own = base[len(stem) :] or endings[0]
    return (stem[: _LONGEST_NAME - len(own)].rstrip(" .") or "document") + own


async def _body(request: Request, incoming: Incoming) -> str:
    part = bytearray()
    try:
        async for data in request.stream():
            part += data
            if len(part) >= _PART_BYTES:
                await _write(incoming, part)
        await _write(incoming, part)
    except ClientDisconnect:
        # Nobody is there to be told; the connection's end is no fault of ours.
        raise InvalidInput("the file did not come to its end", hint="send it again") from None
    with _room():
        return await asyncio.to_thread(incoming.end)


async def _write(incoming: Incoming, part: bytearray) -> None:
    with _room():
        await asyncio.to_thread(incoming.write, bytes(part))
    part.clear()


@contextlib.contextmanager
def _room() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise NoRoom("the disk has no room for the file", hint="tell whoever runs the server") from error
