"""The built web page: files, client-side routes, cache rules; and the security headers of every answer."""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path, PurePosixPath

from fastapi.responses import HTMLResponse, Response
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Vite names the files under assets/ by their content.
_HASHED = "assets"
_FOREVER = "public, max-age=31536000, immutable"
# Asked for again each time, and answered with 304 where nothing changed.
_ASK = "no-cache"

_NOT_BUILT = """<!doctype html><html lang="zh"><head><meta charset="utf-8"><title>Smartsite</title></head><body>
<h1>Smartsite</h1><p>网页尚未构建；API 运行正常。 The web page is not built; the API works.</p>
<p>Build it with <code>make web</code>, or name a built folder in <code>SMARTSITE_API__WEB_DIR</code>.</p>
<p><a href="/api/docs">API</a> &middot; <a href="/healthz">health</a></p></body></html>"""

_POLICY = (
    "default-src 'self'",
    "media-src 'self' blob:",
    "worker-src 'self' blob:",
    "font-src 'self' data:",
    # Chart tool-tips carry style attributes; style elements and scripts stay forbidden inline.
    "style-src-attr 'unsafe-inline'",
    "object-src 'none'",
    "base-uri 'none'",
    "form-action 'self'",
    "frame-ancestors 'none'",
)
# Frames of cameras and map layers come as blobs, icons of style sheets as data.
_PICTURES = "img-src 'self' blob: data:"
_SECURITY = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(self)",
}


class SecurityHeaders:
    """Adds the security headers to every HTTP answer, and `no-store` to those of the API that say nothing else."""

    def __init__(self, app: ASGIApp, *, map_origin: str = "") -> None:
        """`map_origin`: scheme and host that the base map's tiles come from, if not from here."""
        self._app = app
        pictures = f"{_PICTURES} {map_origin}".rstrip()
        self._headers = {"Content-Security-Policy": "; ".join((*_POLICY, pictures)), **_SECURITY}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
                if scope["path"].startswith("/api/"):
                    headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await self._app(scope, receive, send_with_headers)


class WebPage(StaticFiles):
    """The folder of the built page: the application's answer to whatever no route of its own takes.

    A path without a file is a route of the page and gets index.html; a missing asset and anything below /api is 404.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(directory=folder, check_dir=False)
        self._index = folder / "index.html"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close"})
            return
        await super().__call__(scope, receive, send)

    async def check_config(self) -> None:
        """The folder may be missing, or come later."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        parts = PurePosixPath(path).parts
        if parts[:1] == ("api",):
            raise HTTPException(404)
        if not self._index.is_file():
            return HTMLResponse(_NOT_BUILT, status_code=503)
        hashed = parts[:1] == (_HASHED,)
        try:
            response = await super().get_response(path, scope)
        except HTTPException as error:
            # Names of files have a dot, routes of the page have none.
            if error.status_code != HTTPStatus.NOT_FOUND or hashed or "." in "".join(parts[-1:]):
                raise
            response = await super().get_response(self._index.name, scope)
        response.headers["Cache-Control"] = _FOREVER if hashed else _ASK
        return response
