"""SOAP 1.2 as ONVIF cameras speak it: one call, its answer or one error with a stable reason.

The few operations that move a camera need no WSDL, and libraries that read them bring some ten packages, lxml and a
second HTTP client among them: this is what is left. What a camera answers is not trusted: it is limited in size and
time, a document type is refused (SOAP has none, and entities hide in it), redirects are not followed.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Literal
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

import httpx

Reason = Literal["unreachable", "time_out", "wrong_password", "not_understood", "fault", "no_ptz"]
Element = ET.Element

_MOST_BYTES = 1 << 20
_SOAP = "http://www.w3.org/2003/05/soap-envelope"
_WSS = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-"
_DIGEST = f"{_WSS}username-token-profile-1.0#PasswordDigest"
_BASE64 = f"{_WSS}soap-message-security-1.0#Base64Binary"
_REFUSED = ("notauthorized", "failedauthentication", "not authorized")


class OnvifError(Exception):
    """A camera did not do what it was asked; `reason` is stable, the text is for people and holds no password."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class Caller:
    """Calls one camera's services. `skew` is how far its clock is ahead: a token of another time is refused."""

    def __init__(self, http: httpx.AsyncClient, *, user: str, password: str, call_s: float) -> None:
        """`call_s`: seconds that a call may take from its first byte to its last."""
        self._http = http
        self._user = user
        self._password = password
        self._call_s = call_s
        # Some cameras ask for this instead of the token in the message.
        self._auth = httpx.DigestAuth(user, password) if user else None
        self.skew = timedelta()

    async def call(self, address: str, body: str, *, now: datetime | None) -> Element:
        """The element inside the answer's body. `now` is the wall time for the token; None: ask without one."""
        token = "" if now is None or not self._user else self._token(now + self.skew)
        envelope = f'<s:Envelope xmlns:s="{_SOAP}"><s:Header>{token}</s:Header><s:Body>{body}</s:Body></s:Envelope>'
        try:
            async with asyncio.timeout(self._call_s):
                status, answer = await self._post(address, envelope.encode())
        except (TimeoutError, httpx.TimeoutException):
            raise OnvifError("time_out", f"the camera did not answer within {self._call_s:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise OnvifError("unreachable", f"the camera cannot be reached: {type(error).__name__}") from error
        return _content(status, answer)

    async def _post(self, address: str, envelope: bytes) -> tuple[int, bytes]:
        headers = {"Content-Type": "application/soap+xml; charset=utf-8"}
        # The limit of time is that of the whole call.
        async with self._http.stream(
            "POST", address, content=envelope, headers=headers, auth=self._auth, timeout=None, follow_redirects=False
        ) as response:
            answer = bytearray()
            async for part in response.aiter_bytes():
                answer += part
                if len(answer) > _MOST_BYTES:
                    raise OnvifError("not_understood", "the camera's answer is larger than 1 MiB")
        return response.status_code, bytes(answer)

    def _token(self, moment: datetime) -> str:
        """WS-Security UsernameToken Profile 1.0: Base64(SHA-1(nonce + created + password))."""
        nonce, created = secrets.token_bytes(16), moment.strftime("%Y-%m-%dT%H:%M:%SZ")
        digest = hashlib.sha1(nonce + created.encode() + self._password.encode(), usedforsecurity=False).digest()
        return (
            f'<Security s:mustUnderstand="1" xmlns="{_WSS}wssecurity-secext-1.0.xsd"><UsernameToken>'
            f"<Username>{escape(self._user)}</Username>"
            f'<Password Type="{_DIGEST}">{base64.b64encode(digest).decode()}</Password>'
            f'<Nonce EncodingType="{_BASE64}">{base64.b64encode(nonce).decode()}</Nonce>'
            f'<Created xmlns="{_WSS}wssecurity-utility-1.0.xsd">{created}</Created>'
            "</UsernameToken></Security>"
        )


def _content(status: int, answer: bytes) -> Element:
    if status == HTTPStatus.UNAUTHORIZED:
        raise OnvifError("wrong_password", "the camera refuses this user and password")
    try:
        envelope = parsed(answer)
    except (ET.ParseError, ValueError, LookupError):
        raise OnvifError("not_understood", f"the camera's answer is no SOAP message (HTTP {status})") from None
    body = child(envelope, "Body")
    if body is None or len(body) == 0:
        raise OnvifError("not_understood", f"the camera's answer has no content (HTTP {status})")
    content = body[0]
    if local(content) == "Fault":
        said = " ".join(" ".join(part.split()) for part in content.itertext() if part.strip())[:300]
        if any(word in said.lower() for word in _REFUSED):
            raise OnvifError("wrong_password", "the camera refuses this user and password")
        raise OnvifError("fault", f"the camera refuses: {said}")
    return content


class _NoDoctype(ET.TreeBuilder):
    def doctype(self, *_: str | None) -> None:
        raise ValueError("a document type in a SOAP message")


def parsed(text: bytes) -> Element:
    """The root element; ParseError or ValueError where it is none, or has a document type."""
    parser = ET.XMLParser(target=_NoDoctype())  # noqa: S314  (what is dangerous in XML needs a document type)
    parser.feed(text)
    root: Element = parser.close()
    return root


def local(element: Element) -> str:
    """The element's name without its namespace: cameras differ in versions of them."""
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""


def child(element: Element | None, *path: str) -> Element | None:
    """The first child by local name, then its first, and so on."""
    for name in path:
        if element is None:
            return None
        element = next((one for one in element if local(one) == name), None)
    return element


def text(element: Element | None, *path: str) -> str:
    """Text of `child`, empty where there is none."""
    found = child(element, *path)
    return "" if found is None or found.text is None else found.text.strip()


def operation(name: str, namespace: str, inside: str = "") -> str:
    """An operation's element around what is inside, which is XML."""
    return f'<{name} xmlns="{namespace}">{inside}</{name}>'


def simple(values: Mapping[str, str]) -> str:
    """Elements that hold nothing but text, which is escaped."""
    return "".join(f"<{name}>{escape(value)}</{name}>" for name, value in values.items())
