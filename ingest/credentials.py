"""Who may connect: user name `{site}/{device}` and the device's secret, checked against its stored hash."""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
from pathlib import Path

from ingest.message import BAD_CREDENTIALS, DISABLED, UNKNOWN_DEVICE
from ingest.turns import Turns
from ingest.verified import Verified
from sensors import credentials
from sensors.codec_json import Reject
from sensors.registry import Device, Registry, RegistryWatch

_REMEMBERED = 20_000


class Refused(Exception):
    """The peer may not connect; `reject` says why."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reject = Reject(reason, detail)


class Credentials:
    """Checks passwords: at once where the hash is quick or the right password is known, else argon2 in its turn.

    `remembered` is where right passwords are noted beyond this process, None: nowhere.
    """

    def __init__(self, registry: RegistryWatch, *, remembered: Path | None = None) -> None:
        self._registry = registry
        self._verified = Verified(remembered)
        self._wrong: set[tuple[str, bytes]] = set()
        self._asked: dict[tuple[str, bytes], asyncio.Task[bool]] = {}
        self._turns = Turns(credentials.verify)

    def open(self) -> None:
        """Read what is remembered of the registry's devices."""
        self._verified.open(_hashes(self._registry.current))

    def renew(self, registry: Registry) -> None:
        """Forget what belongs to secrets that are no more."""
        self._verified.keep(_hashes(registry))

    def find(self, user: str) -> Device:
        """The device that a user name stands for. Raises Refused."""
        site, _, code = user.partition("/")
        registry = self._registry.current
        device = registry.by_topic.get((site, code))
        if device is None:
            raise Refused(UNKNOWN_DEVICE, f"no device {user[:140]!r}")
        if not device.enabled or not registry.sites[device.site_id].enabled:
            raise Refused(DISABLED, f"device {user} or its site is switched off")
        return device

    async def check(
        self, user: str | None, password: bytes | None, certified: str | None = None, *, peer: str = ""
    ) -> Device:
        """The device behind user name and password, or behind `certified`, the name in its certificate.

        Raises Refused, and turns.Busy where too many ask who were never here before.
        """
        if certified is not None:
            if user is not None and user != certified:
                raise Refused(BAD_CREDENTIALS, f"the certificate is of {certified[:140]!r}, not of {user[:140]!r}")
            return self.find(certified)
        if user is None:
            raise Refused(BAD_CREDENTIALS, "no user name; it is {site}/{device}")
        device = self.find(user)
        if password is None or device.secret_hash is None:
            raise Refused(BAD_CREDENTIALS, f"device {user} has no secret" if password else "no password")
        if not await self._is_right(device.secret_hash, password, lane_of(peer)):
            raise Refused(BAD_CREDENTIALS, f"wrong password for device {user}")
        # The registry may have changed while this one waited for its turn.
        now = self.find(user)
        if now.secret_hash != device.secret_hash:
            raise Refused(BAD_CREDENTIALS, f"the secret of device {user} was just changed")
        return now

    async def _is_right(self, hashed: str, password: bytes, lane: str) -> bool:
        secret = password.decode(errors="replace")
        if credentials.is_quick(hashed):
            return credentials.verify(hashed, secret)
        # A hash has one right password: once that is known, a wrong one is as quickly told as the right one.
        known = self._verified.knows(hashed, password)
        if known is not None:
            return known
        key = (hashed, hashlib.sha256(password).digest())
        if key in self._wrong:
            return False
        asked = self._asked.get(key)
        if asked is None:
            asked = self._asked[key] = asyncio.get_running_loop().create_task(self._ask(key, lane, password, secret))
            asked.add_done_callback(lambda done: self._answered(key, done))
        # A connection that goes away must not take the answer of the others with it, nor its own for the next time.
        return await asyncio.shield(asked)

    async def _ask(self, key: tuple[str, bytes], lane: str, password: bytes, secret: str) -> bool:
        right = await self._turns.ask(lane, key[0], secret)
        if right:
            self._verified.add(key[0], password)
        else:
            if len(self._wrong) >= _REMEMBERED:
                self._wrong.clear()
            self._wrong.add(key)
        return right

    def _answered(self, key: tuple[str, bytes], done: asyncio.Task[bool]) -> None:
        del self._asked[key]
        if not done.cancelled():
            done.exception()  # whoever still waits has it; where nobody does, nobody need hear of it

    def close(self) -> None:
        """Let the threads and the file go."""
        for asked in self._asked.values():
            asked.cancel()
        self._turns.close()
        self._verified.close()


def lane_of(peer: str) -> str:
    """The address that stands for a peer where addresses are counted: of IPv6 the /64, which one party holds whole."""
    if ":" not in peer:
        return peer
    try:
        address = ipaddress.IPv6Address(peer.partition("%")[0])
    except ValueError:
        return peer
    return str(address.ipv4_mapped or ipaddress.IPv6Network((int(address) >> 64 << 64, 64)))


def _hashes(registry: Registry) -> list[str]:
    return [device.secret_hash for device in registry.devices.values() if device.secret_hash is not None]
