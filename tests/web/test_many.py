"""Many alerts at once on the desk: all that the list shows and nobody has taken note of."""

from __future__ import annotations

import psycopg
import pytest
from playwright.async_api import expect

from tests.api.world import World
from tests.web.conftest import Visit, told
from tests.web.test_accessibility import serious

pytestmark = [pytest.mark.needs("browser"), pytest.mark.asyncio(loop_scope="module")]


async def test_what_the_list_shows_is_acknowledged_at_once(
    visit: Visit, city: World, connection: psycopg.AsyncConnection
) -> None:
    page = visit.page
    for number in range(4):
        await city.alert(f"many-{number}", device="dust-metro", severity="info", ago_s=60 + number)
    await visit.log_in("operator", at="/alerts?severity=info")
    button = page.locator("[data-test=acknowledge-many]")
    await expect(button).to_contain_text("4 条")
    before = await told(connection, "SELECT count(*) FROM alert WHERE acknowledged_at IS NOT NULL")
    await button.click()
    await page.fill("[data-test=many-comment]", "现场已处置")
    await visit.shot("many")
    assert await serious(page) == []
    await page.dblclick("[data-test=form-send]")
    await expect(page.locator(".el-message")).to_contain_text("已确认 4 条")
    await expect(button).to_have_count(0)
    after = await told(connection, "SELECT count(*) FROM alert WHERE acknowledged_at IS NOT NULL")
    # What the filter hides is left as it was.
    assert after[0][0] == before[0][0] + 4
    by = await told(connection, "SELECT DISTINCT acknowledged_by FROM alert WHERE rule LIKE %s", "rule-many-%")
    assert by == [("code-operator",)]
