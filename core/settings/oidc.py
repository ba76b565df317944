"""Log-in through an OpenID Connect provider."""

from __future__ import annotations

from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from core.settings.section import Role, Section

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def is_protected(url: str) -> bool:
    """Whether what goes to the address can be read or changed by nobody on the way: HTTPS, or this machine."""
    parts = urlsplit(url)
    return bool(parts.hostname) and (
        parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
    )


class OidcSettings(Section):
    """Log-in through an OpenID Connect provider, beside passwords; see docs/single-sign-on.md."""

    issuer: str = Field(
        description="Address of the provider, as its `/.well-known/openid-configuration` calls itself; HTTPS, but on "
        "the same machine."
    )
    client_id: str = Field(pattern="^[!-~]+$", description="Name under which the provider knows this platform.")
    client_secret_file: Path | None = Field(
        default=None,
        description="File with the secret that came with it, read at the start; empty: a public client, PKCE alone.",
    )
    ca_file: Path | None = Field(
        default=None,
        description="Authorities, PEM, that vouch for the provider's certificate; empty: the public ones.",
    )
    public_url: str = Field(
        default="",
        pattern=r"^(https?://[^\s/?#]+)?$",
        description="Scheme and host by which browsers reach the page, without a path; empty: as each request says. "
        "The provider must know `<public_url>/api/v1/session/oidc/callback`.",
    )
    label: str = Field(
        default="统一身份认证登录", min_length=1, max_length=40, description="Words on the button of the log-in page."
    )
    label_en: str = Field(
        default="Single sign-on", min_length=1, max_length=40, description="The same on the English page."
    )
    scopes: list[str] = Field(default=["openid", "profile"], description="What is asked of the provider.")
    prompt: Literal["", "login", "select_account"] = Field(
        default="",
        description="What the provider shall ask even of who is logged in there: their password, or which account; for "
        "screens that several people use. Empty: nothing.",
    )
    user_claim: str = Field(
        default="preferred_username",
        min_length=1,
        description="Claim that names the user as `login` of a person does; dots lead into tables.",
    )
    unknown_users: Literal["refuse", "create"] = Field(
        default="refuse",
        description="What becomes of a user whose name is nobody's login: refused, or made a person without sites.",
    )
    default_role: Role = Field(
        default="officer", description="Role of a person who is made so, where no group decides it."
    )
    groups_claim: str = Field(
        default="",
        description="Claim with the user's groups; dots lead into tables. Empty: roles are kept here alone.",
    )
    roles: dict[str, Role] = Field(
        default={},
        description="Role by group, set at each log-in; the first of this table that the user has counts, and who has "
        "none is refused.",
    )
    timeout_s: float = Field(default=10, gt=0, le=60, description="Seconds that the provider has for one answer.")

    @field_validator("issuer")
    @classmethod
    def _is_an_issuer(cls, value: str) -> str:
        parts = urlsplit(value)
        if not is_protected(value) or parts.query or parts.fragment or parts.username is not None:
            raise ValueError("write https://HOST or https://HOST/PATH; http:// is for this machine alone")
        return value

    @field_validator("scopes")
    @classmethod
    def _asks_for_an_identity(cls, value: list[str]) -> list[str]:
        if "openid" not in value:
            raise ValueError("openid must be among them, or the provider says nothing of who logs in")
        return value

    @model_validator(mode="after")
    def _groups_and_roles_go_together(self) -> OidcSettings:
        if bool(self.groups_claim) != bool(self.roles):
            raise ValueError("groups_claim and roles need each other")
        return self
