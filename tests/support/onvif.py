"""A camera that is moved by ONVIF: a real HTTP server, written from the specification without any part of our client.

It holds itself to what is asked of it: passwords are checked, a movement ends by a stop or by its own time-out, and
every order is kept with its time. It can be made slow, deaf, garbled, faulty or dead.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import re
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal

from tests.support.ports import free_port

NAMESPACES = 'xmlns:s="http://www.w3.org/2003/05/soap-envelope" xmlns:tt="http://www.onvif.org/ver10/schema"'
Mood = Literal["well", "garbage", "bomb", "huge", "fault", "hang", "html", "empty"]
USER, PASSWORD = "admin", "p@ss<w&rd"


@dataclass
class Order:
    """What it was told to do, when (monotonic seconds), and for how long."""

    name: str
    at: float
    velocity: tuple[float, float, float] = (0, 0, 0)
    timeout_s: float = 0
    preset: str = ""


@dataclass
class FakeCamera:
    """`moods` are by operation, or for all by `*`; `orders` are those that move it."""

    moods: dict[str, Mood] = field(default_factory=dict)
    ahead: timedelta = timedelta()
    """How far its clock is ahead."""
    old: bool = False
    """It knows GetCapabilities, not GetServices."""
    movable: bool = True
    delay_s: float = 0.0
    presets: dict[str, str] = field(default_factory=lambda: {"1": "Gate", "2": "塔吊"})
    orders: list[Order] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    port: int = field(default_factory=free_port)
    _server: asyncio.Server | None = None
    _nonces: set[str] = field(default_factory=set)
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    @property
    def stream(self) -> str:
        """Its address as a row of the registry has it; the stream itself is not served."""
        return "rtsp://admin:p%40ss%3Cw%26rd@127.0.0.1:554/s1"

    @property
    def service(self) -> str:
        return f"http://127.0.0.1:{self.port}/onvif/device_service"

    @property
    def moving(self) -> bool:
        """Whether it moves now, by its own lights."""
        if not self.orders or self.orders[-1].name != "ContinuousMove":
            return False
        last = self.orders[-1]
        return any(last.velocity) and time.monotonic() < last.at + last.timeout_s

    @property
    def names(self) -> list[str]:
        return [order.name for order in self.orders]

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def die(self) -> None:
        """All connections end, and nothing listens any more; `start` brings it back on its port."""
        assert self._server is not None
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        await self._server.wait_closed()
        self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                await self._answer(reader, writer)
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = int(re.search(r"content-length: (\d+)", head, re.IGNORECASE)[1])  # type: ignore[index]
        request = (await reader.readexactly(length)).decode()
        path = head.split()[1]
        name = re.search(r"<s:Body><(\w+)", request)[1]  # type: ignore[index]
        self.asked.append(name)
        await asyncio.sleep(self.delay_s)
        mood = self.moods.get(name, self.moods.get("*", "well"))
        if mood == "hang":
            await reader.read()  # until the client gives up
            return
        status, body = 200, self._content(name, path, request, mood)
        if body is None:
            status, body = 400, fault("ter:NotAuthorized", "The action requested requires authorization")
        elif mood == "fault":
            status, body = 500, fault("ter:InvalidArgVal", "Velocity is out of range")
        elif body == "?":
            status, body = 500, fault("ter:ActionNotSupported", "optional action is not implemented")
        data = GARBAGE.get(mood, f"<s:Envelope {NAMESPACES}><s:Body>{body}</s:Body></s:Envelope>")
        content = data.encode()
        writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: {len(content)}\r\nConnection: close\r\n\r\n".encode())
        writer.write(content)
        await writer.drain()

    def _content(self, name: str, path: str, request: str, mood: Mood) -> str | None:
        """The answer's content; None: not authorized, `?`: no such operation there."""
        if name == "GetSystemDateAndTime":
            now = datetime.now(UTC) + self.ahead
            return (
                "<x:GetSystemDateAndTimeResponse xmlns:x='d'><x:SystemDateAndTime><tt:UTCDateTime>"
                f"<tt:Time><tt:Hour>{now.hour}</tt:Hour><tt:Minute>{now.minute}</tt:Minute><tt:Second>{now.second}"
                f"</tt:Second></tt:Time><tt:Date><tt:Year>{now.year}</tt:Year><tt:Month>{now.month}</tt:Month>"
                f"<tt:Day>{now.day}</tt:Day></tt:Date></tt:UTCDateTime></x:SystemDateAndTime>"
                "</x:GetSystemDateAndTimeResponse>"
            )
        if not self._admits(request):
            return None
        # Behind a translated address a camera tells one that nobody outside can reach.
        inside = "http://10.255.255.1:8000"
        match path, name:
            case "/onvif/device_service", "GetServices" if not self.old:
                told = {"http://www.onvif.org/ver10/media/wsdl": "/onvif/media"}
                told |= {"http://www.onvif.org/ver20/ptz/wsdl": "/onvif/ptz?x=1"} if self.movable else {}
                services = "".join(
                    f"<Service><Namespace>{one}</Namespace><XAddr>{inside}{where}</XAddr></Service>"
                    for one, where in told.items()
                )
                return f"<GetServicesResponse>{services}</GetServicesResponse>"
            case "/onvif/device_service", "GetCapabilities":
                ptz = f"<tt:PTZ><tt:XAddr>{inside}/onvif/ptz</tt:XAddr></tt:PTZ>" if self.movable else ""
                media = f"<tt:Media><tt:XAddr>{inside}/onvif/media</tt:XAddr></tt:Media>"
                inner = f"<Capabilities>{media}{ptz}</Capabilities>"
                return f"<GetCapabilitiesResponse>{inner}</GetCapabilitiesResponse>"
            case "/onvif/media", "GetProfiles":
                space = "<tt:DefaultContinuousPanTiltVelocitySpace/><tt:DefaultContinuousZoomVelocitySpace/>"
                return (
                    "<GetProfilesResponse><Profiles token='fixed'><tt:Name>fixed</tt:Name></Profiles>"
                    f"<Profiles token='main'><tt:PTZConfiguration token='p'>{space}</tt:PTZConfiguration></Profiles>"
                    "<Profiles token='zoom'><tt:PTZConfiguration token='z'><tt:DefaultContinuousZoomVelocitySpace/>"
                    "</tt:PTZConfiguration></Profiles></GetProfilesResponse>"
                )
            case (("/onvif/ptz" | "/onvif/ptz?x=1"), _):
                return self._moved(name, request, carry_out=mood == "well")
        return "?"

    def _moved(self, name: str, request: str, *, carry_out: bool) -> str:
        order = Order(name, time.monotonic())
        found = re.search(r"<PresetToken>(.*?)</PresetToken>", request)
        order.preset = found[1] if found else ""
        match name:
            case "ContinuousMove":
                numbers = [re.search(rf'{axis}="(-?[\d.]+)"', request) for axis in ("PanTilt x", "y", "Zoom x")]
                order.velocity = tuple(float(one[1]) if one else 0 for one in numbers)  # type: ignore[assignment]
                order.timeout_s = float(re.search(r"<Timeout>PT([\d.]+)S</Timeout>", request)[1])  # type: ignore[index]
            case "Stop" | "GotoPreset":
                pass
            case "GetPresets":
                told = "".join(
                    f"<Preset token='{token}'><tt:Name>{one}</tt:Name></Preset>" for token, one in self.presets.items()
                )
                return f"<GetPresetsResponse>{told}</GetPresetsResponse>"
            case "SetPreset":
                token = order.preset or str(len(self.presets) + 1)
                self.presets[token] = re.search(r"<PresetName>(.*?)</PresetName>", request)[1]  # type: ignore[index]
                return f"<SetPresetResponse><PresetToken>{token}</PresetToken></SetPresetResponse>"
            case _:
                return "?"
        if carry_out:
            self.orders.append(order)
        return f"<{name}Response/>"

    def _admits(self, request: str) -> bool:
        """WS-Security: the digest of nonce, time and password, of this minute by its own clock, each nonce once."""
        parts = [
            re.search(rf"<{tag}(?: [^>]*)?>(.*?)</{tag}>", request)
            for tag in ("Username", "Nonce", "Created", "Password")
        ]
        if any(one is None for one in parts):
            return False
        user, nonce, created, digest = (one[1] for one in parts if one)
        raw = base64.b64decode(nonce) + created.encode() + PASSWORD.encode()
        when = datetime.strptime(created, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        late = abs(when - datetime.now(UTC) - self.ahead) > timedelta(minutes=1)
        fresh = nonce not in self._nonces
        self._nonces.add(nonce)
        right = base64.b64encode(hashlib.sha1(raw).digest()).decode() == digest
        return user == USER and right and fresh and not late


BOMB = "<!DOCTYPE a [<!ENTITY b 'bb'><!ENTITY c '&b;&b;&b;'>]><s:Envelope><s:Body><a>&c;</a></s:Body></s:Envelope>"
GARBAGE = {
    "garbage": "<s:Envelope><s:Body",
    "bomb": BOMB,
    "huge": "<a>" + "x" * (1 << 20) + "</a>",
    "html": "<html><body>log in, please</body></html>",
    "empty": "",
}


def fault(code: str, reason: str) -> str:
    """A SOAP 1.2 fault."""
    return (
        f"<s:Fault><s:Code><s:Value>s:Sender</s:Value><s:Subcode><s:Value>{code}</s:Value></s:Subcode></s:Code>"
        f"<s:Reason><s:Text xml:lang='en'>{reason}</s:Text></s:Reason></s:Fault>"
    )


@contextlib.asynccontextmanager
async def fake_camera() -> AsyncIterator[FakeCamera]:
    """A camera on a free port, which stays its own while it is dead."""
    camera = FakeCamera(port=free_port())
    await camera.start()
    try:
        yield camera
    finally:
        if camera._server is not None:
            await camera.die()
