"""Which right each operation needs: the one table that every request and WebSocket is held against.

A key is the method and the path below /api/v1. A right, or any one of several, is what the role (and a machine's token)
must have; None means everybody who is logged in, and the sites that they see decide. What an operation does not name
here is refused, so that a new route cannot be open by oversight.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Right = Literal[
    "acknowledge",
    "review",
    "command",
    "system",
    "permit",
    "documents",
    "rota",
    "original",
    "ptz",
    "preset",
    "order",
    "rectify",
    "supervise",
    "registry",
    "rules",
    "targets",
    "people",
    "tokens",
    "audit",
]

_ALL: frozenset[Right] = frozenset(
    {
        *("acknowledge", "review", "command", "system", "permit", "documents", "rota", "original", "order"),
        *("supervise", "ptz", "preset"),
    }
)
RIGHTS: Mapping[str, frozenset[Right]] = {
    # Whoever judges what a camera saw must see it as it was; everybody else sees faces blurred.
    "leader": _ALL | {"registry", "rules", "targets", "people", "tokens", "audit"},
    "operator": _ALL - {"supervise"} | {"targets"},
    "inspector": frozenset({"acknowledge", "review", "documents", "original", "order", "supervise", "ptz"}),
    "supervisor": frozenset({"acknowledge", "review", "documents", "rota", "original", "order", "ptz"}),
    "officer": frozenset({"acknowledge", "command", "documents", "rota", "rectify", "ptz"}),
    "integrator": frozenset(
        {"command", "system", "permit", "rota", "registry", "rules", "targets", "tokens", "ptz", "preset"}
    ),
    "auditor": frozenset({"system", "audit"}),
}
WHOLE: frozenset[Right] = frozenset({"system", "rules", "targets", "people", "audit"})
"""Rights over what belongs to no site: only for those who see all sites."""

_PART: tuple[Right, ...] = ("rectify", "order", "review")

PERMISSIONS: Mapping[str, Right | tuple[Right, ...] | None] = {
    "GET /session": None,
    "DELETE /session": None,
    "PUT /session/password": None,
    "GET /sites": None,
    "GET /sites/{site_id}": None,
    "GET /sites/{site_id}/people": None,
    "GET /sites/{site_id}/control": None,
    "GET /sites/{site_id}/permits": None,
    "POST /sites/{site_id}/permits": "permit",
    "DELETE /permits/{permit_id}": "permit",
    "GET /sites/{site_id}/documents": None,
    "POST /sites/{site_id}/documents": "documents",
    "PUT /sites/{site_id}/documents/{document_id}": "documents",
    "POST /sites/{site_id}/documents/{document_id}/withdraw": "documents",
    "GET /sites/{site_id}/documents/{document_id}/file": None,
    "GET /sites/{site_id}/rota": None,
    "PUT /sites/{site_id}/rota": "rota",
    "GET /kinds": None,
    "GET /map": None,
    "GET /map/file": None,
    "GET /devices": None,
    "GET /devices/{device_id}/series": None,
    "GET /devices/{device_id}/statistics": None,
    "GET /devices/{device_id}/export": None,
    "GET /devices/{device_id}/clock": None,
    "GET /devices/{device_id}/commands": None,
    "POST /devices/{device_id}/commands": "command",
    "PUT /devices/{device_id}/override": "command",
    "DELETE /devices/{device_id}/override": "command",
    "GET /cameras": None,
    "GET /cameras/{camera_id}/snapshot.jpg": None,
    "WS /cameras/{camera_id}/live": None,
    "GET /cameras/{camera_id}/ptz": None,
    "GET /cameras/{camera_id}/ptz/presets": None,
    "POST /cameras/{camera_id}/ptz/presets": "preset",
    "POST /cameras/{camera_id}/ptz/presets/{preset}/go": "ptz",
    "WS /cameras/{camera_id}/ptz": "ptz",
    # Video needs the right to originals, asked camera by camera; pictures need none.
    "WS /video": None,
    "WS /live": None,
    "GET /alerts": None,
    "GET /alerts/{alert_id}": None,
    "POST /alerts/acknowledge": "acknowledge",
    "POST /alerts/{alert_id}/acknowledge": "acknowledge",
    "POST /alerts/{alert_id}/review": "review",
    "POST /alerts/{alert_id}/comments": "acknowledge",
    "GET /alerts/{alert_id}/assignees": None,
    "PUT /alerts/{alert_id}/assignee": "acknowledge",
    "PUT /alerts/{alert_id}/severity": "review",
    "POST /alerts/{alert_id}/clear": "review",
    "GET /mutes": None,
    "POST /mutes": "review",
    "DELETE /mutes/{mute_id}": "review",
    "GET /deliveries": None,
    "GET /deliveries/{delivery_id}": None,
    "POST /deliveries/{delivery_id}/resend": "review",
    "POST /deliveries/{delivery_id}/confirm": "review",
    "GET /notifications": None,
    # Originals need the right to see them; which file is one, its row says.
    "GET /evidence/{sha256}": None,
    "GET /rectifications": None,
    "POST /rectifications": "order",
    "GET /rectifications/statistics": None,
    "GET /rectifications/{order_id}": None,
    # Whoever is responsible for the order may take these two steps, whatever the role.
    "POST /rectifications/{order_id}/start": None,
    "POST /rectifications/{order_id}/submit": None,
    "POST /rectifications/{order_id}/review": "review",
    "POST /rectifications/{order_id}/deadline": "order",
    "POST /rectifications/{order_id}/assign": "order",
    "POST /rectifications/{order_id}/comment": _PART,
    "POST /rectifications/{order_id}/photos": _PART,
    "POST /rectifications/{order_id}/supervision": "supervise",
    "POST /rectifications/{order_id}/stop-work": "supervise",
    "POST /rectifications/{order_id}/resume-work": "supervise",
    "POST /rectifications/{order_id}/withdraw": "order",
    "GET /inspections": None,
    "GET /inspections/checklists": None,
    "GET /inspections/signing-key": None,
    "POST /inspections": "order",
    "GET /inspections/{inspection_id}": None,
    "GET /inspections/{inspection_id}/report": None,
    "PUT /inspections/{inspection_id}/items/{position}": "order",
    "POST /inspections/{inspection_id}/looks": "order",
    "POST /inspections/{inspection_id}/pictures": "order",
    "PUT /inspections/{inspection_id}/pictures/{picture_id}": "order",
    "DELETE /inspections/{inspection_id}/pictures/{picture_id}": "order",
    "POST /inspections/{inspection_id}/findings": "order",
    "POST /inspections/{inspection_id}/finish": "order",
    "POST /inspections/{inspection_id}/cancel": "order",
    # Of all sites: only who sees all finds them.
    "GET /reports": None,
    "GET /reports/{report_id}": None,
    "GET /reports/{report_id}/file": None,
    "GET /system": "system",
    "GET /quarantine": "system",
    "GET /accounts": "people",
    "PUT /accounts/{code}": "people",
    "DELETE /accounts/{code}/lock": "people",
    "DELETE /accounts/{code}/links": "people",
    "GET /audit": "audit",
    # Of whole files: only who sees all sites, for a row may name any.
    "POST /devices/import": "registry",
    "GET /registry/sites": "registry",
    "PUT /registry/sites/{site}": "registry",
    "GET /registry/devices": "registry",
    "PUT /registry/devices/{site}/{device}": "registry",
    "POST /registry/devices/{site}/{device}/secret": "registry",
    "GET /registry/cameras": "registry",
    "GET /registry/cameras/options": "registry",
    "PUT /registry/cameras/{site}/{camera}": "registry",
    "GET /registry/cameras/{site}/{camera}/check": "registry",
    "POST /registry/cameras/{site}/{camera}/check": "registry",
    "GET /registry/cameras/{site}/{camera}/check/picture.jpg": "registry",
    "GET /targets": "targets",
    "PUT /targets/{target}/switch": "targets",
    "GET /targets/{target}/test": "targets",
    "POST /targets/{target}/test": "targets",
    "GET /rules": "rules",
    "GET /rules/{rule}": "rules",
    "POST /rules/check": "rules",
    "PUT /rules/{rule}": "rules",
    "POST /rules/{rule}/withdraw": "rules",
    "GET /rule-trial": "rules",
    "POST /rule-trial": "rules",
    "DELETE /rule-trial": "rules",
    "GET /tokens": "tokens",
    "POST /tokens": "tokens",
    "DELETE /tokens/{token_id}": "tokens",
}

PEOPLE_ONLY = frozenset(
    {"GET /session", "DELETE /session", "PUT /session/password", "POST /tokens", "DELETE /tokens/{token_id}"}
)
"""What a machine's token cannot do: it has no session, and it makes no further tokens."""

OPEN = frozenset({"POST /session", "GET /session/ways", "GET /session/oidc", "GET /session/oidc/callback"})
"""What leads to a session, and so needs none."""


def methods(path: str) -> list[str]:
    """The methods that a path below /api/v1 knows; none for other paths."""
    parts = path.removeprefix("/api/v1").split("/")
    found = (operation.split(" ") for operation in {*PERMISSIONS, *OPEN})
    return sorted(
        method
        for method, known in found
        if method != "WS"
        and len(template := known.split("/")) == len(parts)
        and all(one == part or one.startswith("{") for one, part in zip(template, parts, strict=True))
    )
