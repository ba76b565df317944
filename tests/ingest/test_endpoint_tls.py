"""MQTT over TLS: the password as ever, or a client certificate that names the device."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiomqtt
import pytest
from pydantic import ValidationError

from core.errors import ConfigurationError
from core.settings import IngestSettings, Settings
from ingest.mqtt.tls import identity, server_context
from tests.ingest.authority import Authority
from tests.ingest.plant import SECRET, Plant, furnish, running, with_ingest
from tests.support.wait import eventually

TOPIC = "smartsite/v1/A/d1/telemetry"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
async def plant(settings: Settings, database_url: str, authority: Authority) -> AsyncIterator[Plant]:
    await furnish(database_url)
    certificate, key = authority.issue("server")
    fields = {
        "tls_host": "127.0.0.1",
        "tls_port": 0,
        "tls_certificate": certificate,
        "tls_key": key,
        "tls_client_ca": authority.file,
    }
    async with running(with_ingest(settings, **fields)) as plant:
        yield plant


async def tls_port(plant: Plant) -> int:
    return int(await plant.value("SELECT (detail->>'tls_port')::int FROM worker WHERE room = 'ingest'"))


def client_context(authority: Authority, *certificate: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(authority.file))
    # A certificate authority of three lines has no key identifiers.
    context.verify_flags &= ~getattr(ssl, "VERIFY_X509_STRICT", 0)
    if certificate:
        context.load_cert_chain(*certificate)
    return context


def reading(number: int = 0) -> str:
    return json.dumps({"ts": time.time_ns() // 1_000_000 + number, "values": {"pm10": 20.0}})


async def test_a_password_over_tls(plant: Plant, authority: Authority) -> None:
    async with aiomqtt.Client(
        "127.0.0.1", await tls_port(plant), username="A/d1", password=SECRET, tls_context=client_context(authority)
    ) as client:
        await client.publish(TOPIC, reading(), qos=1)
    assert await plant.value("SELECT count(*) FROM reading_dust") == 1


@pytest.mark.parametrize("uri", ["", "smartsite:A/d1"])
async def test_a_client_certificate_stands_for_its_device(plant: Plant, authority: Authority, uri: str) -> None:
    own = client_context(authority, *authority.issue("A/d1" if not uri else "gateway 7", uri=uri))
    async with aiomqtt.Client("127.0.0.1", await tls_port(plant), tls_context=own) as client:
        await client.publish(TOPIC, reading(), qos=1)
    assert await plant.value("SELECT count(*) FROM reading_dust") == 1


async def test_a_certificate_opens_no_other_device(plant: Plant, authority: Authority) -> None:
    port = await tls_port(plant)
    own = client_context(authority, *authority.issue("A/d1"))
    with pytest.raises(aiomqtt.MqttError):
        async with aiomqtt.Client("127.0.0.1", port, username="A/d2", password=SECRET, tls_context=own):
            pass
    nobody = client_context(authority, *authority.issue("nobody"))
    with pytest.raises(aiomqtt.MqttError):
        async with aiomqtt.Client("127.0.0.1", port, tls_context=nobody):
            pass
    # One switched off stays out, whatever its certificate says.
    await plant.connection.execute("UPDATE device SET enabled = false WHERE code = 'd2'")
    off = client_context(authority, *authority.issue("A/d2"))

    async def refused() -> bool:
        try:
            async with aiomqtt.Client("127.0.0.1", port, tls_context=off):
                return False
        except aiomqtt.MqttError:
            return True

    await eventually(refused)


async def test_a_certificate_of_another_authority_is_no_certificate(
    plant: Plant, authority: Authority, tmp_path: Path
) -> None:
    stranger = client_context(authority, *Authority(tmp_path, "stranger").issue("A/d1"))
    with pytest.raises((aiomqtt.MqttError, ssl.SSLError)):
        async with aiomqtt.Client("127.0.0.1", await tls_port(plant), tls_context=stranger):
            pass
    assert await plant.value("SELECT count(*) FROM device_seen WHERE connected") == 0


def test_files_that_cannot_be_used_are_named(authority: Authority, tmp_path: Path) -> None:
    certificate, key = authority.issue("server")
    with pytest.raises(ConfigurationError, match=r"absent\.pem"):
        server_context(certificate=tmp_path / "absent.pem", key=key, client_ca=None, require=False)
    with pytest.raises(ConfigurationError, match="authority"):
        server_context(certificate=certificate, key=key, client_ca=key, require=False)


def test_settings_that_are_not_whole() -> None:
    with pytest.raises(ValidationError, match="tls_port needs"):
        IngestSettings(tls_port=8883)
    with pytest.raises(ValidationError, match="needs tls_client_ca"):
        IngestSettings(tls_require_certificate=True)


def test_whom_a_certificate_names() -> None:
    assert identity(None) is None
    assert identity({}) is None
    assert identity({"subject": ((("commonName", "A/d1"),),)}) == "A/d1"
    named = {"subject": ((("commonName", "A/d1"),),), "subjectAltName": (("DNS", "x"), ("URI", "smartsite:A/d2"))}
    assert identity(named) == "A/d2"
    assert identity({"subject": ((("organizationName", "x"),),)}) == ""
