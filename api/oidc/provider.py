"""The provider: where it says its parts are, its keys, and what an authorization code is worth.

OpenID Connect Core 1.0 section 3.1, Discovery 1.0, RFC 7636 (PKCE), RFC 9207 (issuer in the answer).
"""

from __future__ import annotations

import asyncio
import secrets
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from authlib.oauth2 import ClientAuth
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri, prepare_token_request
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from authlib.oidc.discovery import get_well_known_url
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet
from joserfc.jws import JWSRegistry
from pydantic import BaseModel, ValidationError, field_validator

from api.oidc.refusal import Code, Refusal
from core.clock import Clock
from core.errors import ConfigurationError
from core.settings import OidcSettings
from core.settings.oidc import is_protected

# Public keys alone: `none`, and HMAC with what is no secret, are not among them.
_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512")
# What the provider says of itself, keys that it has withdrawn included, is asked for anew after so long.
_KEPT_S = 3600.0
# Its clock may be off ours by so much.
_LEEWAY_S = 60
_MOST = 200
"""Characters of a name or word of the provider that are looked at or logged."""


class Metadata(BaseModel):
    """What is used of the provider's discovery document."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None = None
    token_endpoint_auth_methods_supported: list[str] = ["client_secret_basic"]
    id_token_signing_alg_values_supported: list[str] = ["RS256"]
    authorization_response_iss_parameter_supported: bool = False

    @field_validator("authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint")
    @classmethod
    def _protected(cls, value: str | None) -> str | None:
        if value is not None and not is_protected(value):
            raise ValueError("an address of the provider is not HTTPS")
        return value


@dataclass(frozen=True, slots=True)
class Request:
    """A log-in that is sent to the provider; the three secrets are this one's alone."""

    state: str
    nonce: str
    code_verifier: str
    redirect_uri: str

    @classmethod
    def new(cls, redirect_uri: str) -> Request:
        """One that nobody can guess (256 bits each)."""
        return cls(secrets.token_urlsafe(32), secrets.token_urlsafe(32), secrets.token_urlsafe(48), redirect_uri)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who logged in at the provider: `subject` never changes hands, the name (`user`) may. No name: empty."""

    subject: str
    user: str
    name: str
    language: str
    groups: frozenset[str]


class Provider:
    """One per process. Its answers are kept for an hour; a key that is not among them is looked for at once."""

    def __init__(self, settings: OidcSettings, *, clock: Clock) -> None:
        """Raise ConfigurationError where the files that the settings name cannot be used."""
        self.settings = settings
        self._clock = clock
        self._secret = _secret(settings.client_secret_file)
        # As all calls of the platform: no proxy and no authorities of the environment.
        self._http = httpx.AsyncClient(trust_env=False, verify=_trust(settings.ca_file), timeout=settings.timeout_s)
        self._asking: asyncio.Task[Metadata] | None = None
        self._metadata: Metadata | None = None
        self._keys: KeySet | None = None
        self._asked = 0.0

    async def close(self) -> None:
        """End its connections."""
        if self._asking is not None:
            self._asking.cancel()
        await self._http.aclose()

    async def check(self) -> str:
        """Whether it answers and is what the settings say: its issuer. Raise Refusal otherwise."""
        return (await self._known()).issuer

    async def address(self, request: Request) -> str:
        """Where to send the browser. Raise Refusal where the provider is away or not what the settings say."""
        metadata = await self._known()
        return str(
            prepare_grant_uri(
                metadata.authorization_endpoint,
                client_id=self.settings.client_id,
                response_type="code",
                redirect_uri=request.redirect_uri,
                scope=" ".join(self.settings.scopes),
                state=request.state,
                nonce=request.nonce,
                code_challenge=create_s256_code_challenge(request.code_verifier),
                code_challenge_method="S256",
                # Left out where it is None.
                prompt=self.settings.prompt or None,
            )
        )

    async def identity(self, code: str, issuer: str, request: Request) -> Identity:
        """Who the authorization code stands for. `issuer` came with it, or is empty.

        Raises:
            Refusal: code or ID token is not good (`oidc_invalid`), the provider is away (`oidc_away`), or does not do
                what the settings expect (`oidc_provider`).
        """
        metadata = await self._known()
        if issuer != metadata.issuer and (issuer or metadata.authorization_response_iss_parameter_supported):
            raise Refusal("oidc_invalid", f"the answer comes from another issuer: {issuer[:_MOST]!r}")
        answer = await self._exchange(metadata, code, request)
        claims = await self._verified(metadata, answer, request.nonce)
        wanted = [self.settings.user_claim, *filter(None, [self.settings.groups_claim])]
        more: dict[str, Any] = {}
        if metadata.userinfo_endpoint and any(_claim(claims, name) is None for name in wanted):
            more = await self._userinfo(metadata.userinfo_endpoint, answer, claims["sub"])
        return self._read(claims["sub"], claims, more)

    def _read(self, subject: str, *sources: Mapping[str, Any]) -> Identity:
        def told(name: str) -> Any:
            return next((found for one in sources if (found := _claim(one, name)) is not None), None)

        user, name = told(self.settings.user_claim), told("name")
        if not isinstance(user, str) or not 0 < len(user) <= _MOST or not user.isprintable():
            raise Refusal("oidc_provider", f"the provider tells no usable {self.settings.user_claim} (user_claim)")
        groups = told(self.settings.groups_claim) if self.settings.groups_claim else []
        listed = groups if isinstance(groups, list) else [groups]
        known = isinstance(name, str) and 0 < len(name.strip()) <= _MOST and name.isprintable()
        return Identity(
            subject=subject,
            user=user,
            name=str(name) if known else user,
            language="en" if str(told("locale") or "").lower().startswith("en") else "zh",
            groups=frozenset(one for one in listed if isinstance(one, str)),
        )

    async def _known(self) -> Metadata:
        if self._metadata is not None and self._clock.monotonic() - self._asked < _KEPT_S:
            return self._metadata
        # All who wait meanwhile get the one answer, or the one fault: they do not queue up for a provider that hangs.
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask())
            self._asking.add_done_callback(self._asked_once)
        return await asyncio.shield(self._asking)

    async def _ask(self) -> Metadata:
        now = self._clock.monotonic()
        found = await self._discover()
        self._keys = await self._fetch_keys(found)
        self._metadata, self._asked = found, now
        return found

    def _asked_once(self, task: asyncio.Task[Metadata]) -> None:
        self._asking = None
        if not task.cancelled():
            # Whoever waited may have gone: a fault is no news to the event loop.
            task.exception()

    async def _discover(self) -> Metadata:
        issuer = self.settings.issuer
        document = await self._get(str(get_well_known_url(issuer, external=True)))
        try:
            metadata = Metadata.model_validate(document)
        except ValidationError as error:
            fault = error.errors(include_input=False)[0]
            raise Refusal("oidc_provider", f"discovery: {'.'.join(map(str, fault['loc']))}: {fault['msg']}") from error
        if metadata.issuer != issuer:
            raise Refusal("oidc_provider", f"the provider calls itself {metadata.issuer[:_MOST]!r}: set issuer so")
        return metadata

    async def _fetch_keys(self, metadata: Metadata) -> KeySet:
        document = await self._get(metadata.jwks_uri)
        try:
            return KeySet.import_key_set(document)  # type: ignore[arg-type]
        except (JoseError, ValueError, KeyError, TypeError) as error:
            raise Refusal("oidc_provider", f"its keys cannot be read: {type(error).__name__}") from error

    async def _exchange(self, metadata: Metadata, code: str, request: Request) -> dict[str, Any]:
        methods = metadata.token_endpoint_auth_methods_supported
        method = "client_secret_post" if "client_secret_basic" not in methods else "client_secret_basic"
        if self._secret is None:
            method = "none"
        body = prepare_token_request(
            "authorization_code", code=code, redirect_uri=request.redirect_uri, code_verifier=request.code_verifier
        )
        headers = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}
        url, headers, body = ClientAuth(self.settings.client_id, self._secret, method).prepare(
            "POST", metadata.token_endpoint, headers, body
        )
        try:
            response = await self._http.post(url, content=body, headers=headers)
        except httpx.HTTPError as error:
            raise _away("token endpoint", error) from error
        if response.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
            raise Refusal("oidc_away", f"its token endpoint answers with {response.status_code}")
        answer = _object(response, "token endpoint")
        if "error" in answer or not response.is_success:
            error_code = str(answer.get("error", ""))[:_MOST]
            # Of a code that is wrong, old or used; all else is how provider and platform are set up.
            kind: Code = "oidc_invalid" if error_code == "invalid_grant" else "oidc_provider"
            raise Refusal(kind, f"its token endpoint refuses with {response.status_code} {error_code!r}")
        return answer

    async def _verified(self, metadata: Metadata, answer: Mapping[str, Any], nonce: str) -> dict[str, Any]:
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise Refusal("oidc_provider", "its token endpoint gives no ID token: is openid among the scopes?")
        offered = set(metadata.id_token_signing_alg_values_supported)
        registry = JWSRegistry(algorithms=[one for one in _ALGORITHMS if one in offered], strict_check_header=False)
        try:
            try:
                assert self._keys is not None
                decoded = jwt.decode(token, self._keys, registry=registry)
            except InvalidKeyIdError:
                # The token came from the provider itself, so that nobody else can make us ask.
                self._keys = await self._fetch_keys(metadata)
                decoded = jwt.decode(token, self._keys, registry=registry)
            claims = CodeIDToken(
                decoded.claims,
                decoded.header,
                {
                    "iss": {"essential": True, "value": self.settings.issuer},
                    "aud": {"essential": True, "value": self.settings.client_id},
                    "sub": {"essential": True},
                },
                {
                    "nonce": nonce,
                    "client_id": self.settings.client_id,
                    "access_token": answer.get("access_token"),
                },
            )
            claims.validate(now=int(self._clock.now().timestamp()), leeway=_LEEWAY_S)
        except (JoseError, ValueError) as error:
            raise Refusal("oidc_invalid", f"its ID token is not good: {str(error)[:_MOST]}") from error
        return dict(claims)

    async def _userinfo(self, url: str, answer: Mapping[str, Any], subject: str) -> dict[str, Any]:
        claims = await self._get(url, {"Authorization": f"Bearer {answer.get('access_token', '')}"})
        if claims.get("sub") != subject:
            raise Refusal("oidc_invalid", "its userinfo endpoint tells of somebody else")
        return claims

    async def _get(self, url: str, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
        try:
            response = await self._http.get(url, headers={"Accept": "application/json", **(headers or {})})
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise _away(url, error) from error
        if response.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
            raise Refusal("oidc_away", f"{url} answers with {response.status_code}")
        if not response.is_success:
            raise Refusal("oidc_provider", f"{url} answers with {response.status_code}")
        return _object(response, url)


def _away(what: str, error: Exception) -> Refusal:
    return Refusal("oidc_away", f"no answer of {what}: {type(error).__name__} {error}".rstrip())


def _object(response: httpx.Response, what: str) -> dict[str, Any]:
    try:
        document = response.json()
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise Refusal("oidc_provider", f"{what} answers with {response.status_code} and no JSON object")
    return document


def _claim(claims: Mapping[str, Any], name: str) -> Any:
    """The claim of that name, or the one that its dots lead to; None where there is none."""
    if name in claims:
        return claims[name]
    found: Any = claims
    for part in name.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _secret(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        secret = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        hint = "correct api.oidc.client_secret_file"
        raise ConfigurationError(
            f"the client secret {path} cannot be read: {type(error).__name__}", hint=hint
        ) from error
    if not secret or not secret.isascii() or not secret.isprintable():
        raise ConfigurationError(f"{path} holds no client secret", hint="write the secret into it, and nothing else")
    return secret


def _trust(path: Path | None) -> ssl.SSLContext:
    if path is None:
        return httpx.create_ssl_context(trust_env=False)
    try:
        return ssl.create_default_context(cafile=path)
    except OSError as error:
        hint = "correct api.oidc.ca_file"
        raise ConfigurationError(f"the authorities in {path} cannot be used: {error}", hint=hint) from error
