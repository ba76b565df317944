"""Reports over the API: listed by scope, read, fetched as files with a trace in the audit log."""

from __future__ import annotations

import base64
import hashlib
import re

from tests.api.conftest import LogIn
from tests.api.world import World

URL = "/api/v1/reports"


async def test_each_sees_the_reports_of_their_sites_and_who_sees_all_that_of_all(log_in: LogIn, world: World) -> None:
    north, south, every = await world.report("north"), await world.report("south"), await world.report(None)
    weekly = await world.report("north", "weekly")
    officer, operator = await log_in("officer"), await log_in("operator")

    async def listed(client: object, **asked: object) -> list[int]:
        answer = await client.get(URL, params=asked)  # type: ignore[attr-defined]
        assert answer.status_code == 200, answer.text
        return [one["id"] for one in answer.json()["items"]]

    assert await listed(operator) == [weekly, every, south, north]
    assert await listed(officer) == [weekly, north]
    assert await listed(officer, kind="daily") == [north]
    assert await listed(officer, site_id=world.ids["south"]) == []
    assert await listed(operator, site_id=world.ids["south"]) == [south]
    first = (await operator.get(URL, params={"limit": 3})).json()
    assert await listed(operator, before=first["next"]) == [north]
    for hidden in (south, every, 10**9):
        for path in (f"{URL}/{hidden}", f"{URL}/{hidden}/file"):
            assert (await officer.get(path)).status_code == 404, path
    found = (await officer.get(f"{URL}/{weekly}")).json()
    assert (found["first_day"], found["last_day"], found["alerts"]) == ("2026-07-31", "2026-08-06", 1)
    assert (found["critical"], found["delivered"], found["available"]) == (1, None, 0.75)
    assert found["figures"]["exceedances"][0]["minutes"] == 12.4


async def test_a_report_is_fetched_as_a_page_or_a_sheet(log_in: LogIn, world: World) -> None:
    report, officer = await world.report("north"), await log_in("officer")
    page = await officer.get(f"{URL}/{report}/file", params={"language": "en"})
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "Daily report" in page.text
    # The page's own style is all that its policy lets in.
    style = re.search(r"<style>(.*?)</style>", page.text, re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in page.headers["content-security-policy"]
    assert "default-src 'none'" in page.headers["content-security-policy"]
    sheet = await officer.get(f"{URL}/{report}/file", params={"format": "csv"})
    assert sheet.headers["content-type"] == "text/csv; charset=utf-8"
    assert sheet.headers["content-disposition"] == f'attachment; filename="report-{report}.csv"'
    assert "超标时长,PM10,µg/m³,12.4,1" in sheet.text
    assert "'=report north" in sheet.text
    rows = await (
        await world.connection.execute(
            "SELECT actor, action, object, detail FROM audit WHERE action LIKE 'report%' ORDER BY id"
        )
    ).fetchall()
    site = world.ids["north"]
    assert rows == [
        ("code-officer", "report.file", f"report:{report}", {"format": format, "site": site})
        for format in ("html", "csv")  # noqa: A001
    ]
    assert (await officer.get(f"{URL}/{report}/file", params={"format": "pdf"})).status_code == 422
