"""HJ 212 stations in the registry: MN and options by TOML and CSV, each error with its row, no secret in it."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from core.database import connect
from core.settings import Settings
from sensors.hj212.policy import policy_of
from sensors.provision import Report, apply
from sensors.registry import load_registry

SITE = '[[sites]]\ncode = "a"\nname = "一号工地"\n'
MN = "010000A8900016F000169DC0"


def station(code: str, *lines: str) -> str:
    return "\n".join(["[[devices]]", 'site = "a"', f'code = "{code}"', 'kind = "dust"', 'name = "站"', *lines, ""])


@pytest.fixture
async def connection(settings: Settings):
    async with await connect(settings.database, application="test") as connection:
        yield connection


async def provision(connection: psycopg.AsyncConnection, folder: Path, text: str, name: str = "r.toml") -> Report:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return await apply(connection, path)


async def test_options_arrive_and_a_second_run_changes_nothing(
    connection: psycopg.AsyncConnection, tmp_path: Path
) -> None:
    options = 'hj212 = { crc = "either", units = { a34002 = "mg/m3" }, st = ["39", "22"], key = "1234567890abcdef" }'
    text = SITE + station("s1", f'mn = "{MN}"', options)
    report = await provision(connection, tmp_path, text)
    assert not report.errors
    device = (await load_registry(connection)).by_mn[MN]
    policy = policy_of(device.protocol_options["hj212"])
    assert (policy.crc, policy.st, policy.units) == ("either", ("39", "22"), {"a34002": "mg/m3"})
    assert policy.cipher_key == b"1234567890abcdef"
    assert "1234567890abcdef" not in repr(device)
    assert not (await provision(connection, tmp_path, text)).changed

    # Options that are not named stay; those that are named replace all of them.
    await provision(connection, tmp_path, station("s1", "interval_s = 30"))
    assert (await load_registry(connection)).by_mn[MN].protocol_options == device.protocol_options
    await provision(connection, tmp_path, station("s1", 'hj212 = { length = "strict" }'))
    assert (await load_registry(connection)).by_mn[MN].protocol_options == {"hj212": {"length": "strict"}}


async def test_a_sheet(connection: psycopg.AsyncConnection, tmp_path: Path) -> None:
    await provision(connection, tmp_path, SITE)
    sheet = (
        "site,code,kind,name,mn,hj212\n"
        'a,s1,dust,站,MN1,"{""crc"": ""modbus-lohi""}"\n'
        "a,s2,dust,站,MN2,\n"
        "a,s3,dust,站,MN3,either\n"
    )
    report = await provision(connection, tmp_path, sheet, "d.csv")
    (error,) = report.errors
    assert (error.row, error.field) == ("line 4 (s3)", "hj212")
    assert "as JSON" in error.message
    registry = await load_registry(connection)
    assert sorted(registry.by_mn) == ["MN1", "MN2"]
    assert registry.by_mn["MN1"].protocol_options == {"hj212": {"crc": "modbus-lohi"}}


async def test_wrong_rows_are_named_and_the_others_applied(connection: psycopg.AsyncConnection, tmp_path: Path) -> None:
    text = SITE + "".join(
        [
            station("s1", 'mn = "MN1"'),
            station("s2", 'mn = "MN1"'),
            station("s3", 'mn = "M N"'),
            station("s4", 'hj212 = { crc = "none" }'),
            station("s5", 'hj212 = { key = "a-secret-too-short" }'),
            station("s6", 'hj212 = { keey = "x" }'),
            station("s7"),
        ]
    )
    report = await provision(connection, tmp_path, text)
    assert [(error.row.split("(")[1], error.field) for error in report.errors] == [
        ("s3)", "mn"),
        ("s4)", "hj212"),
        ("s5)", "hj212"),
        ("s6)", "hj212"),
        ("s2)", "mn"),
    ]
    said = "\n".join(map(str, report.errors))
    assert "MN1 is the MN of a/s1" in said
    assert "$.crc" in said
    assert "too-short" not in said
    assert {device.code for device in (await load_registry(connection)).devices.values()} == {"s1", "s7"}
