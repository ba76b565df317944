"""Documents of a site: uploaded once, told by their content, changed as read, withdrawn with a reason, downloaded."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
from collections import namedtuple
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from fastapi import FastAPI

from api.documents.content import UnsupportedType, form_of
from api.documents.receiving import file_name
from core.clock import SystemClock
from core.evidence import INCOMING
from core.settings import Settings
from smartsite.sweep import EvidenceSweep
from tests.api.conftest import CookieOf, LogIn
from tests.api.world import World
from tests.support import office
from tests.support.clock import FakeClock
from tests.support.wait import eventually

ROOT = "/api/v1/"
FACTS: dict[str, Any] = {
    "kind": "construction_permit",
    "title": "建筑工程施工许可证",
    "file_name": "施工许可证.pdf",
    "valid_until": "2030-06-30",
    "note": "正本",
}
EDIT = {"kind": "construction_permit", "title": "x", "valid_until": None, "note": ""}


def url(world: World, site: str = "north", *parts: Any) -> str:
    return "/".join([f"{ROOT}sites/{world.ids[site]}/documents", *map(str, parts)])


async def send(
    client: httpx.AsyncClient, address: str, data: bytes = office.PDF, *, key: str = "key-of-one", **facts: Any
) -> httpx.Response:
    asked = {name: value for name, value in (FACTS | facts).items() if value is not None}
    return await client.post(address, params=asked, content=data, headers={"Idempotency-Key": key})


async def audited(world: World) -> list[tuple[str, str, Any]]:
    cursor = await world.connection.execute(
        "SELECT action, actor, detail FROM audit WHERE action LIKE 'document.%' ORDER BY id"
    )
    return await cursor.fetchall()


def files(settings: Settings) -> list[Path]:
    """Every file below the store, those on their way too."""
    return sorted(path for path in settings.evidence_dir.rglob("*") if path.is_file())


def code_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


async def test_a_document_is_uploaded_listed_changed_downloaded_and_withdrawn(log_in: LogIn, world: World) -> None:
    officer, auditor = await log_in("officer"), await log_in("auditor")
    answer = await send(officer, url(world))
    assert answer.status_code == 201, answer.text
    document = answer.json()
    assert {name: document[name] for name in FACTS} == FACTS
    assert (document["media_type"], document["bytes"]) == ("application/pdf", len(office.PDF))
    assert document["sha256"] == hashlib.sha256(office.PDF).hexdigest()
    assert (document["uploaded_by"], document["uploaded_by_name"]) == ("code-officer", "人员 officer")
    assert (await auditor.get(url(world))).json()["items"] == [document]

    wanted = {"kind": "other", "kind_text": "消防验收", "title": "  消防 ", "valid_until": None, "note": ""}
    path = url(world, "north", document["id"])
    changed = await officer.put(path, json=wanted, headers={"If-Match": document["etag"]})
    assert changed.status_code == 200, changed.text
    assert {name: changed.json()[name] for name in wanted} == wanted | {"title": "消防"}
    assert (changed.json()["changed_by"], changed.json()["validity"]) == ("code-officer", "unlimited")
    assert changed.json()["sha256"] == document["sha256"]

    file = await auditor.get(path + "/file")
    assert file.content == office.PDF
    assert file.headers["content-type"] == "application/pdf"
    assert file.headers["content-disposition"].startswith("attachment; filename*=utf-8''%E6%96%BD")
    assert file.headers["x-content-type-options"] == "nosniff"
    assert file.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    assert file.headers["cache-control"] == "no-store"

    gone = await officer.post(path + "/withdraw", json={"reason": "已换发"})
    assert gone.status_code == 200, gone.text
    assert (gone.json()["withdrawn_by"], gone.json()["withdrawn_reason"]) == ("code-officer", "已换发")
    again = await (await log_in("leader")).post(path + "/withdraw", json={"reason": "other"})
    assert again.json() == gone.json()
    assert (await auditor.get(url(world))).json()["items"] == []
    assert (await auditor.get(url(world), params={"withdrawn": True})).json()["items"] == [gone.json()]
    late = await officer.put(path, json=wanted | {"title": "y"}, headers={"If-Match": gone.json()["etag"]})
    assert code_of(late) == (409, "conflict")
    # Its file is there as long as it is kept.
    assert (await auditor.get(path + "/file")).content == office.PDF

    site = {"site": world.ids["north"]}
    told = {"kind_text": "", "bytes": len(office.PDF), "sha256": document["sha256"]}
    facts = {name: value for name, value in FACTS.items() if name != "note"}
    assert await audited(world) == [
        ("document.upload", "code-officer", site | facts | told),
        ("document.change", "code-officer", site | wanted | {"title": "消防"}),
        ("document.download", "code-auditor", site | {"sha256": document["sha256"]}),
        ("document.withdraw", "code-officer", site | {"reason": "已换发"}),
        ("document.download", "code-auditor", site | {"sha256": document["sha256"]}),
    ]


async def test_the_same_upload_again_is_the_same_document(log_in: LogIn, world: World, settings: Settings) -> None:
    officer = await log_in("officer")
    answers = await asyncio.gather(*(send(officer, url(world)) for _ in range(5)))
    assert [one.status_code for one in answers] == [201] * 5
    assert len({one.text for one in answers}) == 1
    assert len(await audited(world)) == 1
    for other in (
        send(officer, url(world), title="another"),
        send(officer, url(world), office.PNG, file_name="x.png"),
    ):
        assert code_of(await other) == (409, "conflict")
    # Another person's key is another key; the same content is one file.
    leader = await log_in("leader")
    assert (await send(leader, url(world))).json()["id"] != answers[0].json()["id"]
    assert code_of(await send(leader, url(world, "south"))) == (409, "conflict")
    assert len((await leader.get(url(world))).json()["items"]) == 2
    assert [path.read_bytes() for path in files(settings)] == [office.PDF]


@pytest.mark.parametrize(
    ("data", "name", "media_type", "stored"),
    [
        (office.PDF, "a.PDF", "application/pdf", "a.PDF"),
        (office.PNG, "plan.png", "image/png", "plan.png"),
        (office.JPEG, "scan.jpeg", "image/jpeg", "scan.jpeg"),
        (office.PDF, "invoice.exe", "application/pdf", "invoice.exe.pdf"),
        (office.PDF, "C:\\files\\许可.pdf", "application/pdf", "许可.pdf"),
        (office.PDF, "../../etc/passwd", "application/pdf", "passwd.pdf"),
        (office.office("docx"), "合同.docx", office.MAINS["docx"][1], "合同.docx"),
        (office.office("xlsx"), "list.xlsx", office.MAINS["xlsx"][1], "list.xlsx"),
        (office.office("pptx"), "plan.pptx", office.MAINS["pptx"][1], "plan.pptx"),
        (office.open_document("text"), "plan.odt", "application/vnd.oasis.opendocument.text", "plan.odt"),
        (office.open_document("spreadsheet"), "x", "application/vnd.oasis.opendocument.spreadsheet", "x.ods"),
    ],
)
async def test_what_a_file_is_tells_its_content(
    log_in: LogIn, world: World, data: bytes, name: str, media_type: str, stored: str
) -> None:
    officer = await log_in("officer")
    answer = await send(officer, url(world), data, file_name=name)
    assert answer.status_code == 201, answer.text
    assert (answer.json()["media_type"], answer.json()["file_name"]) == (media_type, stored)
    file = await officer.get(url(world, "north", answer.json()["id"], "file"))
    assert (file.content, file.headers["content-type"]) == (data, media_type)


REFUSED = {
    "html": b"<!doctype html><script>alert(1)</script>",
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg"><script>1</script></svg>',
    "exe": b"MZ" + bytes(200),
    "gif": b"GIF89a" + bytes(200),
    "old office, or one with a password": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600),
    "text": "许可证".encode(),
    "one byte": b"%",
    "html before the PDF": b"<html>" + office.PDF,
    "zip": office.packed({"a.txt": "x"}),
    "jar": office.packed({"META-INF/MANIFEST.MF": "x", "A.class": b"\xca\xfe\xba\xbe"}),
    "docx that is cut off": office.office("docx")[:-30],
    "docx without its list of types": office.packed({"word/document.xml": "<x/>"}),
    "a book": office.packed({"mimetype": "application/epub+zip"}),
}


MACROS = {
    "macros under the name of a docx": office.macros(),
    "macros told by their type": office.packed(
        {"[Content_Types].xml": '<x ContentType="application/vnd.ms-word.document.macroEnabled.main+xml"/>'}
    ),
    "OpenDocument with macros": office.packed(
        {"mimetype": "application/vnd.oasis.opendocument.text", "Basic/Standard/Module1.xml": "x"}
    ),
}


@pytest.mark.parametrize(
    ("data", "code"),
    [*((one, "unsupported_type") for one in REFUSED.values()), *((one, "has_macros") for one in MACROS.values())],
    ids=[*REFUSED, *MACROS],
)
async def test_other_forms_are_refused(log_in: LogIn, world: World, settings: Settings, data: bytes, code: str) -> None:
    assert code_of(await send(await log_in("officer"), url(world), data)) == (415, code)
    assert (await (await log_in("officer")).get(url(world))).json()["items"] == []
    assert (files(settings), await audited(world)) == ([], [])


def test_a_package_with_an_endless_list_of_parts_is_not_opened(tmp_path: Path) -> None:
    whole = tmp_path / "many.docx"
    whole.write_bytes(office.office("docx", {f"word/{number:0200d}": b"" for number in range(9000)}))
    assert form_of(whole) is None


def test_no_bytes_break_the_look_at_them(tmp_path: Path) -> None:
    # Each byte of a small package's end and beginnings changed once, in two ways.
    good, path = office.office("docx"), tmp_path / "x"
    for place in range(len(good)):
        for value in (0x00, 0xFF):
            path.write_bytes(good[:place] + bytes([value]) + good[place + 1 :])
            with contextlib.suppress(UnsupportedType):
                assert form_of(path) in (None, "docx")


async def test_an_empty_file_is_refused(log_in: LogIn, world: World, settings: Settings) -> None:
    assert code_of(await send(await log_in("officer"), url(world), b"")) == (422, "empty_file")
    assert files(settings) == []


class TestWithLimits:
    """Where files may be no larger than 1 MiB, and a site has room for three of them."""

    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        documents = settings.documents.model_copy(update={"max_mb": 1, "site_most_gb": 0.003, "types": ["pdf"]})
        return settings.model_copy(update={"documents": documents})

    async def test_a_file_may_be_as_large_as_it_says_and_not_a_byte_more(
        self, log_in: LogIn, world: World, settings: Settings
    ) -> None:
        officer = await log_in("officer")
        most = (await officer.get(url(world))).json()["limits"]["max_bytes"]
        assert most == 1024 * 1024
        fits = office.PDF.ljust(most, b"\n")
        assert (await send(officer, url(world), fits)).status_code == 201
        assert code_of(await send(officer, url(world), fits + b"\n", key="key-of-two")) == (413, "too_large")

        async def parts() -> Any:
            for _ in range(40):
                yield fits[:65536]

        asked = {"params": FACTS, "headers": {"Idempotency-Key": "key-of-three"}}
        assert code_of(await officer.post(url(world), content=parts(), **asked)) == (413, "too_large")
        assert len(files(settings)) == 1

    async def test_a_site_has_only_so_much_room(self, log_in: LogIn, world: World, settings: Settings) -> None:
        officer = await log_in("officer")
        answers = await asyncio.gather(
            *(
                send(officer, url(world), office.PDF.ljust(1024 * 1024, b"%d" % number), key=f"key-of-{number}")
                for number in range(5)
            )
        )
        assert sorted(one.status_code for one in answers) == [201, 201, 507, 507, 507]
        assert {one.json()["error"]["code"] for one in answers if one.status_code == 507} == {"no_room"}
        # What is there already is answered although there is no room.
        again = answers.index(next(one for one in answers if one.status_code == 201))
        same = await send(officer, url(world), office.PDF.ljust(1024 * 1024, b"%d" % again), key=f"key-of-{again}")
        assert same.status_code == 201
        assert len(files(settings)) == 2
        leader = await log_in("leader")
        assert (await send(leader, url(world, "south"))).status_code == 201

    async def test_what_the_setting_leaves_out_is_refused(self, log_in: LogIn, world: World) -> None:
        officer = await log_in("officer")
        limits = (await officer.get(url(world))).json()["limits"]
        assert (limits["types"], limits["media_types"]) == (["pdf"], ["application/pdf"])
        assert code_of(await send(officer, url(world), office.PNG)) == (415, "unsupported_type")


async def test_a_full_disk_is_told(
    log_in: LogIn, world: World, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("core.evidence.shutil.disk_usage", lambda _folder: usage(1, 1, settings.evidence.reserve_bytes))
    assert code_of(await send(await log_in("officer"), url(world))) == (507, "no_room")
    assert files(settings) == []


async def test_a_foreign_site_gets_and_tells_nothing(log_in: LogIn, world: World, settings: Settings) -> None:
    leader, officer = await log_in("leader"), await log_in("officer")
    document = (await send(leader, url(world, "south"))).json()
    number, etag = document["id"], {"If-Match": document["etag"]}
    for site in ("south", "north"):
        answers = [
            await officer.put(url(world, site, number), json=EDIT, headers=etag),
            await officer.post(url(world, site, number, "withdraw"), json={"reason": "x"}),
            await officer.get(url(world, site, number, "file")),
        ]
        assert [code_of(one) for one in answers] == [(404, "not_found")] * 3
    assert code_of(await officer.get(url(world, "south"))) == (404, "not_found")
    # Not even the file is taken in, whatever else is wrong with the request.
    assert code_of(await send(officer, url(world, "south"))) == (404, "not_found")
    assert code_of(await officer.post(url(world, "south"), content=office.PDF)) == (404, "not_found")
    # By its digest nobody finds it as evidence.
    assert code_of(await leader.get(f"{ROOT}evidence/{document['sha256']}")) == (404, "not_found")
    assert (await leader.get(url(world, "south"))).json()["items"] == [document]
    assert len(files(settings)) == 1


async def test_who_lacks_the_right_reads_only(log_in: LogIn, world: World) -> None:
    document = (await send(await log_in("leader"), url(world))).json()
    for login in ("auditor", "integrator"):
        client = await log_in(login)
        assert code_of(await send(client, url(world))) == (403, "forbidden")
        path = url(world, "north", document["id"])
        assert code_of(await client.put(path, json=EDIT, headers={"If-Match": document["etag"]})) == (403, "forbidden")
        assert code_of(await client.post(path + "/withdraw", json={"reason": "x"})) == (403, "forbidden")
        assert (await client.get(url(world))).json()["items"] == [document]
        assert (await client.get(path + "/file")).status_code == 200


async def test_of_two_who_change_it_the_second_is_told(log_in: LogIn, world: World) -> None:
    officer, leader = await log_in("officer"), await log_in("leader")
    document = (await send(officer, url(world))).json()
    path, read = url(world, "north", document["id"]), {"If-Match": document["etag"]}
    answers = await asyncio.gather(
        officer.put(path, json=EDIT | {"title": "one"}, headers=read),
        leader.put(path, json=EDIT | {"title": "two"}, headers=read),
    )
    assert sorted(one.status_code for one in answers) == [200, 412]
    stored = (await officer.get(url(world))).json()["items"][0]
    assert stored == next(one.json() for one in answers if one.status_code == 200)
    # The same again changes nothing, whatever was read.
    same = await officer.put(path, json=EDIT | {"title": stored["title"]}, headers=read)
    assert same.json() == stored
    assert [one for one, *_ in await audited(world)] == ["document.upload", "document.change"]
    bare = await officer.put(path, json=EDIT)
    assert code_of(bare) == (422, "invalid_input")
    assert bare.json()["error"]["fields"][0]["field"] == "header.if-match"


@pytest.mark.parametrize(
    "facts",
    [
        {"kind": "unknown"},
        {"kind": "other"},
        {"kind": "contract", "kind_text": "words"},
        {"title": "   "},
        {"title": "x" * 151},
        {"title": "a\x00b"},
        {"file_name": ""},
        {"file_name": "x" * 256},
        {"valid_until": "30.6.2027"},
        {"valid_until": "1999-12-31"},
        {"note": "x" * 301},
        {"more": "x"},
    ],
)
async def test_facts_that_do_not_fit_are_refused(log_in: LogIn, world: World, facts: dict[str, str]) -> None:
    officer = await log_in("officer")
    assert code_of(await send(officer, url(world), **facts)) == (422, "invalid_input")
    assert code_of(await send(officer, url(world), key="short")) == (422, "invalid_input")
    assert (await officer.get(url(world))).json()["items"] == []


async def test_what_ends_soon_goes_by_the_sites_clock(log_in: LogIn, world: World, clock: FakeClock) -> None:
    # One site's day has begun where another's has not.
    await world.connection.execute("UPDATE site SET time_zone = 'Pacific/Kiritimati' WHERE code = 'north'")
    await world.connection.execute("UPDATE site SET time_zone = 'Pacific/Pago_Pago' WHERE code = 'south'")
    leader = await log_in("leader")
    for site, hours in (("north", 14), ("south", -11)):
        today = (clock.now() + timedelta(hours=hours)).date()
        wanted = {
            today - timedelta(days=1): ("expired", -1),
            today: ("due", 0),
            today + timedelta(days=30): ("due", 30),
            today + timedelta(days=31): ("valid", 31),
            None: ("unlimited", None),
        }
        for number, valid_until in enumerate(wanted):
            await world.document(f"{site}-{number}", site, valid_until=valid_until)
        answer = (await leader.get(url(world, site))).json()
        found = {
            one["valid_until"] and date.fromisoformat(one["valid_until"]): (one["validity"], one["days_left"])
            for one in answer["items"]
        }
        assert found == wanted
        assert answer["due"] == 3
        due = (await leader.get(url(world, site), params={"due": True})).json()["items"]
        assert {one["validity"] for one in due} == {"expired", "due"}
        assert len(due) == 3
    await world.document("a-contract", "north", kind="contract")
    (only,) = (await leader.get(url(world), params={"kind": "contract"})).json()["items"]
    assert only["title"] == "a-contract"


def test_names_are_fit_for_file_systems() -> None:
    assert file_name("gpj\u202efdp.exe", "pdf") == "gpjfdp.exe.pdf"
    assert file_name("a\r\nb: c.pdf", "pdf") == "ab: c.pdf"
    assert file_name("...", "png") == "document.png"
    assert file_name(".pdf", "pdf") == "pdf.pdf"
    long = file_name("长" * 300 + ".docx", "docx")
    assert (len(long), long[-5:]) == (255, ".docx")


async def test_the_sweep_leaves_documents_alone_and_lets_withdrawn_ones_go_in_the_end(
    log_in: LogIn, world: World, settings: Settings
) -> None:
    officer = await log_in("officer")
    stays = (await send(officer, url(world))).json()
    goes = (await send(officer, url(world), office.PNG, key="key-of-two", file_name="b.png")).json()
    withdrawn = await officer.post(url(world, "north", goes["id"], "withdraw"), json={"reason": "x"})
    assert withdrawn.status_code == 200
    await world.connection.execute("UPDATE evidence SET created_at = now() - interval '9 years'")
    tight = settings.evidence.model_copy(update={"most_gb": 1e-9})
    sweep = EvidenceSweep(settings.model_copy(update={"evidence": tight}), SystemClock())
    days = settings.documents.withdrawn_days

    async def withdrawn_ago(ago: float) -> None:
        at = datetime.now().astimezone() - timedelta(days=ago)
        await world.connection.execute(
            "UPDATE site_document SET withdrawn_at = %s WHERE withdrawn_at IS NOT NULL", [at]
        )

    await withdrawn_ago(days - 1)
    assert await sweep.run(world.connection) == {"age": 0, "space": 0}
    assert len(files(settings)) == 2
    await withdrawn_ago(days + 1)
    assert await sweep.run(world.connection) == {"age": 1, "space": 0}
    assert [path.read_bytes() for path in files(settings)] == [office.PDF]
    assert (await officer.get(url(world, "north", stays["id"], "file"))).content == office.PDF
    path = url(world, "north", goes["id"], "file")
    assert code_of(await officer.get(path)) == (404, "not_found")
    (left,) = (await officer.get(url(world), params={"withdrawn": True})).json()["items"]
    assert (left["id"], left["file_kept"]) == (goes["id"], False)
    # The same content anew is a document with its file again.
    assert (await send(officer, url(world), office.PNG, key="key-of-three", file_name="b.png")).status_code == 201
    assert (await officer.get(path)).content == office.PNG
    assert await sweep.run(world.connection) == {"age": 0, "space": 0}


async def test_who_goes_away_in_the_middle_leaves_nothing(
    server: str, cookie_of: CookieOf, current_world: World, settings: Settings
) -> None:
    headers = await cookie_of("officer")
    address = f"{url(current_world)}?{urlencode(FACTS)}"
    host, _, port = server.partition(":")
    _, writer = await asyncio.open_connection(host, int(port))
    head = [f"POST {address} HTTP/1.1", f"Host: {server}", "Content-Length: 9000000", "Idempotency-Key: key-of-one"]
    head += [f"{name}: {value}" for name, value in headers.items()]
    writer.write("\r\n".join([*head, "", ""]).encode() + office.PDF + bytes(3_000_000))
    await writer.drain()

    async def begun() -> bool:
        return any((settings.evidence_dir / INCOMING).glob("*"))

    async def tidy() -> bool:
        return not files(settings)

    await eventually(begun)
    writer.close()
    await eventually(tidy)
    async with httpx.AsyncClient(base_url=f"http://{server}", headers=headers, trust_env=False) as client:
        assert (await client.get(url(current_world))).json()["items"] == []
        whole = await send(client, url(current_world))
        assert whole.status_code == 201


async def test_what_a_dead_process_left_is_swept(log_in: LogIn, world: World, settings: Settings) -> None:
    officer = await log_in("officer")
    await send(officer, url(world))
    half = settings.evidence_dir / INCOMING / "half"
    fresh = half.with_name("fresh")
    for path in (half, fresh):
        path.write_bytes(b"%PDF-half")
    os.utime(half, (0, 0))
    await EvidenceSweep(settings, SystemClock()).run(world.connection)
    assert (half.exists(), fresh.exists()) == (False, True)
    assert (await officer.get(url(world, "north", 1, "file"))).content == office.PDF


async def test_a_lost_transaction_leaves_no_document_and_the_next_try_is_one(
    app: FastAPI, log_in: LogIn, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    officer = await log_in("officer")

    async def dies(*_: Any, **__: Any) -> None:
        raise RuntimeError("killed")

    with monkeypatch.context() as patched:
        patched.setattr("api.documents.routes._audit", dies)
        assert (await send(officer, url(world))).status_code == 500
    assert (await officer.get(url(world))).json()["items"] == []
    assert (await send(officer, url(world))).status_code == 201
    assert len((await officer.get(url(world))).json()["items"]) == 1
