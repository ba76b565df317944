"""Moving a camera by ONVIF (Profile S): pan, tilt, zoom and presets. Media profiles of version 1, which all have.

A camera is asked where its services are, but answers are taken for the address it was reached at: behind a translated
address it tells another, and a camera must not send us elsewhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import unquote, urlsplit, urlunsplit

import httpx

from core.clock import Clock
from core.settings import CameraSettings
from vision.soap import Caller, Element, OnvifError, child, local, operation, simple, text

_DEVICE = "http://www.onvif.org/ver10/device/wsdl"
_MEDIA = "http://www.onvif.org/ver10/media/wsdl"
_PTZ = "http://www.onvif.org/ver20/ptz/wsdl"
_SCHEMA = "http://www.onvif.org/ver10/schema"
_STREAMS = ("rtsp", "rtsps", "rtmp", "http", "https")
_MOST_PRESETS = 300


@dataclass(frozen=True, slots=True)
class Address:
    """Where a camera is asked, as whom, and which of its profiles is meant."""

    url: str
    user: str
    password: str = field(repr=False)
    profile: str = ""


@dataclass(frozen=True, slots=True)
class Velocity:
    """-1 to 1 of the greatest speed: right, up, and nearer are positive."""

    pan: float = 0.0
    tilt: float = 0.0
    zoom: float = 0.0

    def __bool__(self) -> bool:
        return bool(self.pan or self.tilt or self.zoom)


@dataclass(frozen=True, slots=True)
class Preset:
    """A position that the camera keeps; names are the camera's and may be empty."""

    token: str
    name: str


@dataclass(frozen=True, slots=True)
class Ability:
    """What a camera can, and the profile by which it is told to."""

    profile: str
    ptz: str
    pan_tilt: bool
    zoom: bool


def address_of(url: str, options: CameraSettings) -> Address | None:
    """Where the camera with this stream is moved; None where it has no network address or is never to be moved."""
    try:
        stream = urlsplit(url)
    except ValueError:
        return None
    host = stream.hostname if stream.scheme in _STREAMS else None
    if options.onvif == "off" or not (host or options.onvif):
        return None
    shown = f"[{host}]" if host and ":" in host else host
    service = options.onvif or f"http://{shown}/onvif/device_service"
    # A password is of the host that it was entered for.
    known = urlsplit(service).hostname == host
    user, password = (unquote(part or "") if known else "" for part in (stream.username, stream.password))
    return Address(service, user, password, options.onvif_profile)


class OnvifCamera:
    """One camera. Every method raises OnvifError; none takes longer than some calls of `call_s` seconds."""

    def __init__(self, address: Address, http: httpx.AsyncClient, *, clock: Clock, call_s: float = 2.0) -> None:
        self._address = address
        self._clock = clock
        self._caller = Caller(http, user=address.user, password=address.password, call_s=call_s)
        self._opening = asyncio.Lock()
        self._ability: Ability | None = None

    async def ability(self) -> Ability:
        """What it can: asked once, so that a stop is one call."""
        async with self._opening:
            if self._ability is None:
                self._ability = await self._found()
            return self._ability

    async def move(self, velocity: Velocity, *, timeout_s: float) -> None:
        """Move on until another order, or until `timeout_s` is over, which the camera itself sees to."""
        able = await self.ability()
        wanted = ""
        if able.pan_tilt:
            wanted += f'<PanTilt x="{velocity.pan:.3f}" y="{velocity.tilt:.3f}" xmlns="{_SCHEMA}"/>'
        if able.zoom:
            wanted += f'<Zoom x="{velocity.zoom:.3f}" xmlns="{_SCHEMA}"/>'
        inside = simple({"ProfileToken": able.profile}) + f"<Velocity>{wanted}</Velocity>"
        await self._do("ContinuousMove", inside + f"<Timeout>PT{timeout_s:g}S</Timeout>")

    async def stop(self) -> None:
        """Stand still."""
        able = await self.ability()
        await self._do("Stop", simple({"ProfileToken": able.profile, "PanTilt": "true", "Zoom": "true"}))

    async def presets(self) -> list[Preset]:
        """Positions that the camera keeps, in its own order."""
        able = await self.ability()
        answer = await self._do("GetPresets", simple({"ProfileToken": able.profile}))
        found = [Preset(one.get("token", ""), text(one, "Name")[:100]) for one in answer if local(one) == "Preset"]
        return [one for one in found if one.token][:_MOST_PRESETS]

    async def go(self, preset: str) -> None:
        """Go to a position."""
        able = await self.ability()
        await self._do("GotoPreset", simple({"ProfileToken": able.profile, "PresetToken": preset}))

    async def save(self, name: str) -> Preset:
        """Keep the present position under a name, in place of the one that has it already."""
        able = await self.ability()
        values = {"ProfileToken": able.profile, "PresetName": name}
        same = next((one.token for one in await self.presets() if one.name == name), "")
        answer = await self._do("SetPreset", simple(values | ({"PresetToken": same} if same else {})))
        token = text(answer, "PresetToken") or same
        if not token:
            raise OnvifError("not_understood", "the camera did not tell the position it keeps")
        return Preset(token, name)

    async def _do(self, name: str, inside: str) -> Element:
        able = await self.ability()
        try:
            return await self._caller.call(able.ptz, operation(name, _PTZ, inside), now=self._clock.now())
        except OnvifError as error:
            if error.reason == "wrong_password":
                self._ability = None  # its clock may have been set since: a token of another time is refused like that
            raise

    async def _found(self) -> Ability:
        device = self._address.url
        await self._read_clock(device)
        services = await self._services(device)
        if "ptz" not in services:
            raise OnvifError("no_ptz", "the camera offers no service for moving it")
        profiles = await self._caller.call(
            services.get("media", device), operation("GetProfiles", _MEDIA), now=self._clock.now()
        )
        for one in profiles:
            configuration = child(one, "PTZConfiguration")
            token = one.get("token", "")
            if configuration is None or not token or self._address.profile not in ("", token):
                continue
            axes = {local(part) for part in configuration}
            pans, zooms = (f"DefaultContinuous{axis}VelocitySpace" in axes for axis in ("PanTilt", "Zoom"))
            neither = not (pans or zooms)  # says nothing: then it gets both
            return Ability(token, services["ptz"], pans or neither, zooms or neither)
        which = f"has no profile {self._address.profile!r} that" if self._address.profile else "has no profile that"
        raise OnvifError("no_ptz", f"the camera {which} can be moved")

    async def _read_clock(self, device: str) -> None:
        """How far the camera's clock is ahead of ours. It tells without a password; if not, it goes by ours."""
        try:
            answer = await self._caller.call(device, operation("GetSystemDateAndTime", _DEVICE), now=None)
        except OnvifError as error:
            if error.reason in ("fault", "wrong_password"):
                return
            raise
        told = child(answer, "SystemDateAndTime", "UTCDateTime")
        date = [text(told, "Date", part) for part in ("Year", "Month", "Day")]
        time = [text(told, "Time", part) for part in ("Hour", "Minute", "Second")]
        try:
            theirs = datetime(*(int(part) for part in (*date, *time)), tzinfo=UTC)  # type: ignore[arg-type, misc]
        except ValueError:
            return
        self._caller.skew = theirs - self._clock.now()

    async def _services(self, device: str) -> Mapping[str, str]:
        """Addresses of the services `media` and `ptz`, as far as there are such."""
        now = self._clock.now
        found: dict[str, str] = {}
        try:
            inside = simple({"IncludeCapability": "false"})
            answer = await self._caller.call(device, operation("GetServices", _DEVICE, inside), now=now())
            names = {_MEDIA: "media", _PTZ: "ptz"}
            for one in answer:
                if (name := names.get(text(one, "Namespace"))) is not None:
                    found[name] = self._here(text(one, "XAddr"))
        except OnvifError as error:
            if error.reason != "fault":  # an older camera knows the older question
                raise
        if "ptz" not in found:
            inside = simple({"Category": "All"})
            answer = await self._caller.call(device, operation("GetCapabilities", _DEVICE, inside), now=now())
            for name, element in (("media", "Media"), ("ptz", "PTZ")):
                if told := text(answer, "Capabilities", element, "XAddr"):
                    found[name] = self._here(told)
        return found

    def _here(self, told: str) -> str:
        """The path that was told, at the address that the camera was reached at."""
        try:
            theirs = urlsplit(told)
        except ValueError:
            raise OnvifError("not_understood", "the camera tells an address that is none") from None
        ours = urlsplit(self._address.url)
        return urlunsplit((ours.scheme, ours.netloc, theirs.path or "/", theirs.query, ""))
