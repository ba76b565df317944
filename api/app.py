"""The application: routes, error shape, headers and the web page put together."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI
from starlette.middleware.gzip import GZipMiddleware

from api import (
    accounts,
    acknowledge,
    alerts,
    audit_log,
    bodies,
    cameras,
    clocks,
    commands,
    control,
    deliveries,
    device_import,
    devices,
    docs,
    errors,
    evidence,
    exports,
    health,
    inspections,
    live,
    mutes,
    notifications,
    own_password,
    people,
    permits,
    rectification_photos,
    rectification_steps,
    rectifications,
    registry,
    reports,
    rota,
    session,
    sites,
    statistics,
    system,
    tokens,
    video,
)
from api.access import COOKIE
from api.context import Context
from api.metrics import Measured
from api.permissions import PEOPLE_ONLY
from api.web import SecurityHeaders, WebPage

ROOT = "/api/v1"
_DESCRIPTION = (
    "Construction sites with their devices, cameras, alerts and evidence. Log in with POST /api/v1/session: the answer "
    "sets a cookie and carries `csrf`, which every write sends back as X-CSRF-Token. Times are milliseconds since "
    "1970-01-01 UTC. Errors have one shape and stable codes. Lists that grow are paged by an opaque cursor. "
    "WebSockets: /api/v1/live (state and changes) and /api/v1/cameras/{id}/live (pictures); see docs/api.md."
)


def build(context: Context, *, web_dir: Path) -> FastAPI:
    """The ASGI application of one process; `web_dir` is the built page's folder, which may be missing."""
    app = FastAPI(
        title="Smartsite",
        version=health.VERSION,
        description=_DESCRIPTION,
        openapi_url="/api/openapi.json",
        # Their pages load scripts from a CDN; ours is api/docs.py.
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: f"{route.tags[0] if route.tags else ''}_{route.name}",
    )
    app.state.context = context
    app.openapi = partial(_described, app)  # type: ignore[method-assign]
    errors.install(app)
    root = APIRouter(prefix=ROOT)
    for part in (
        session,
        own_password,
        sites,
        devices,
        statistics,
        exports,
        clocks,
        commands,
        control,
        cameras,
        alerts,
        mutes,
        permits,
        deliveries,
        notifications,
        people,
        rectifications,
        rectification_steps,
        rectification_photos,
        inspections,
        reports,
        rota,
        evidence,
        system,
        tokens,
        accounts,
        registry.sites,
        registry.devices,
        registry.cameras,
        registry.checks,
        audit_log,
        device_import,
        live,
        video,
    ):
        root.include_router(part.router)
    app.include_router(root)
    app.include_router(health.router)
    app.include_router(docs.router)
    app.include_router(acknowledge.router)
    app.router.default = GZipMiddleware(WebPage(web_dir))
    # The last added is the outermost.
    app.add_middleware(
        bodies.BodyLimit,
        max_bytes=context.settings.api.max_body_kb * 1024,
        photo_bytes=context.settings.alerts.rectification.photo_max_mb * 1024 * 1024,
    )
    app.add_middleware(errors.LastResort)
    app.add_middleware(Measured)
    app.add_middleware(SecurityHeaders)
    return app


def _described(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI description, with what FastAPI cannot know: which operations need a session's cookie or a token."""
    if app.openapi_schema is None:
        schema = FastAPI.openapi(app)
        cookie = {"type": "apiKey", "in": "cookie", "name": COOKIE, "description": "Set by POST /api/v1/session."}
        bearer = {
            "type": "http",
            "scheme": "bearer",
            "description": "A machine's token, made with POST /api/v1/tokens.",
        }
        schema["components"]["securitySchemes"] = {"session": cookie, "token": bearer}
        for path, operations in schema["paths"].items():
            for method, operation in operations.items():
                if path.startswith(f"{ROOT}/") and (method, path) != ("post", f"{ROOT}/session"):
                    of_people = f"{method.upper()} {path.removeprefix(ROOT)}" in PEOPLE_ONLY
                    operation["security"] = [{"session": []}, *([] if of_people else [{"token": []}])]
        app.openapi_schema = schema
    return app.openapi_schema
