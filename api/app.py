"""The application: routes, error shape, headers and the web page put together."""

from __future__ import annotations

from functools import cache, partial
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from starlette.middleware.gzip import GZipMiddleware
from starlette.routing import BaseRoute

from api import (
    accounts,
    acknowledge,
    alerts,
    audit_log,
    basemap,
    bodies,
    cameras,
    clocks,
    commands,
    control,
    deliveries,
    device_import,
    devices,
    docs,
    documents,
    errors,
    evidence,
    exports,
    health,
    inspections,
    live,
    mutes,
    notifications,
    oidc,
    own_password,
    people,
    permits,
    ptz,
    rectification_photos,
    rectification_steps,
    rectifications,
    registry,
    reports,
    rota,
    rules,
    session,
    sites,
    statistics,
    system,
    targets,
    tokens,
    video,
)
from api.access import COOKIE
from api.context import Context
from api.etags import Tagged
from api.metrics import Measured
from api.permissions import OPEN, PEOPLE_ONLY
from api.rates import RateLimits
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
        generate_unique_id_function=_operation_id,
        routes=_routes(),
    )
    app.state.context = context
    app.openapi = partial(_described, app)  # type: ignore[method-assign]
    errors.install(app)
    app.router.default = GZipMiddleware(WebPage(web_dir))
    # The last added is the outermost.
    app.add_middleware(Tagged)
    app.add_middleware(RateLimits, rates=context.rates)
    app.add_middleware(
        bodies.BodyLimit,
        max_bytes=context.settings.api.max_body_kb * 1024,
        larger={
            bodies.PHOTOS: context.settings.alerts.rectification.photo_max_mb * 1024 * 1024,
            bodies.DOCUMENTS: context.settings.documents.max_mb * 1024 * 1024,
        },
    )
    app.add_middleware(errors.LastResort)
    app.add_middleware(Measured)
    app.add_middleware(SecurityHeaders, map_origin=context.settings.api.map.origin)
    return app


def _operation_id(route: APIRoute) -> str:
    return f"{route.tags[0] if route.tags else ''}_{route.name}"


@cache
def _routes() -> list[BaseRoute]:
    """What is served below a prefix or beside it; made once a process, which takes a second, as nothing here is one
    application's own."""
    root = APIRouter(prefix=ROOT)
    for part in (
        session,
        oidc.routes,
        own_password,
        sites,
        basemap,
        devices,
        statistics,
        exports,
        clocks,
        commands,
        control,
        cameras,
        ptz.routes,
        alerts,
        mutes,
        permits,
        documents.routes,
        deliveries,
        notifications,
        people,
        rectifications,
        rectification_steps,
        rectification_photos,
        inspections,
        reports,
        rota,
        rules.routes,
        rules.trial,
        evidence,
        system,
        targets,
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
    top = APIRouter(generate_unique_id_function=_operation_id)
    for router in (root, health.router, docs.router, acknowledge.router):
        top.include_router(router)
    return top.routes


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
                name = f"{method.upper()} {path.removeprefix(ROOT)}"
                if path.startswith(f"{ROOT}/") and name not in OPEN:
                    of_people = name in PEOPLE_ONLY
                    operation["security"] = [{"session": []}, *([] if of_people else [{"token": []}])]
        app.openapi_schema = schema
    return app.openapi_schema
