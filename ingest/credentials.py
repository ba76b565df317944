"""Who may connect: user name `{site}/{device}` and the device's secret, checked against its argon2 hash."""

from __future__ import annotations

import asyncio
import hashlib
from concurrent.futures import ThreadPoolExecutor

from ingest.message import BAD_CREDENTIALS, DISABLED, UNKNOWN_DEVICE
from sensors import credentials
from sensors.codec_json import Reject
from sensors.registry import Device, RegistryWatch

_REMEMBERED = 20_000
_THREADS = 2


class Refused(Exception):
    """The peer may not connect; `reject` says why."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reject = Reject(reason, detail)


class Credentials:
    """Checks passwords, and remembers outcomes: argon2 is slow by design, and devices reconnect in crowds.

    What is remembered is keyed by (stored hash, SHA-256 of the password), so a changed secret is a new question.
    """

    def __init__(self, registry: RegistryWatch) -> None:
        self._registry = registry
        self._known: dict[tuple[str, bytes], bool] = {}
        self._asked: dict[tuple[str, bytes], asyncio.Future[bool]] = {}
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="argon2")

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

    async def check(self, user: str | None, password: bytes | None, certified: str | None = None) -> Device:
        """The device behind user name and password, or behind `certified`, the name in its certificate.

        Raises Refused.
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
        key = (device.secret_hash, hashlib.sha256(password).digest())
        right = self._known.get(key)
        if right is None:
            right = await self._verify(key, password)
        if not right:
            raise Refused(BAD_CREDENTIALS, f"wrong password for device {user}")
        return device

    async def _verify(self, key: tuple[str, bytes], password: bytes) -> bool:
        """Ask argon2 once, however many connections wait for the same answer."""
        asked = self._asked.get(key)
        if asked is None:
            asked = self._asked[key] = asyncio.get_running_loop().run_in_executor(
                self._pool, credentials.verify, key[0], password.decode(errors="replace")
            )
            asked.add_done_callback(lambda _: self._asked.pop(key, None))
        # A connection that goes away must not take the answer of the others with it.
        right = await asyncio.shield(asked)
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        self._known[key] = right
        return right

    def close(self) -> None:
        """Let the threads go."""
        self._pool.shutdown(wait=False, cancel_futures=True)
