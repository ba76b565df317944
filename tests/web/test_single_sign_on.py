"""Log-in through a provider in the browser: there and back, and what is said where it does not end well."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
import pytest_asyncio
from playwright.async_api import expect

from core.clock import SystemClock
from core.settings import AlertsSettings, ApiSettings, OidcSettings, Settings
from tests.api.world import World
from tests.support.oidc import CLIENT, SECRET, Idp
from tests.web.conftest import Visit, told
from tests.web.test_accessibility import serious

pytestmark = [pytest.mark.needs("browser"), pytest.mark.asyncio(loop_scope="module")]


@pytest.fixture
def idp() -> Idp:
    """Of another site than the page's 127.0.0.1, as it is in the field."""
    return Idp(SystemClock(), host="localhost", page=True)


@pytest_asyncio.fixture(loop_scope="module")
async def up(idp: Idp) -> AsyncIterator[None]:
    async with idp.running():
        yield


@pytest.fixture
def settings(settings: Settings, idp: Idp, tmp_path: Path) -> Settings:
    secret = tmp_path / "client-secret"
    secret.write_text(SECRET)
    oidc = OidcSettings(issuer=idp.url, client_id=CLIENT, client_secret_file=secret)
    return settings.model_copy(update={"api": ApiSettings(port=0, oidc=oidc), "alerts": AlertsSettings()})


def at_home_but_for(visit: Visit, idp: Idp) -> None:
    """The provider is elsewhere, on purpose."""
    visit.faults[:] = [one for one in visit.faults if not one.startswith(f"request elsewhere: {idp.url}/authorize?")]


@pytest.mark.usefixtures("up")
async def test_the_button_leads_through_the_provider_to_where_one_wanted(
    visit: Visit, idp: Idp, city: World, connection: psycopg.AsyncConnection
) -> None:
    # Somebody without a password, who prefers English.
    await connection.execute("UPDATE person SET password_hash = NULL, language = 'en' WHERE login = 'operator'")
    idp.claims = {"sub": "s-1", "preferred_username": "operator"}
    page, path = visit.page, f"/sites/{city.ids['riverside']}"
    await page.goto(visit.origin + path)
    await expect(page.locator("[data-test=login-oidc]")).to_have_text("统一身份认证登录")
    await visit.shot("single-sign-on")
    assert await serious(page) == []
    await page.click("[data-test=login-oidc]")
    await page.wait_for_url(visit.origin + path)
    await expect(page.locator("html")).to_have_attribute("lang", "en")
    # The session is kept as any: a reload asks for it, writes carry its token.
    await page.reload()
    await page.wait_for_selector("[data-test=log-out]")
    await page.goto(f"{visit.origin}/account")
    await expect(page.locator("[data-test=own-none]")).to_be_visible()
    await visit.shot("single-sign-on-account")
    await page.click("[data-test=log-out]")
    await page.wait_for_selector("[data-test=login-oidc]")
    assert await told(connection, "SELECT count(*) FROM session") == [(0,)]
    at_home_but_for(visit, idp)


@pytest.mark.usefixtures("up")
async def test_who_is_not_let_in_is_told_why_in_their_language(visit: Visit, idp: Idp, city: World) -> None:
    idp.claims = {"sub": "s-9", "preferred_username": "ghost"}
    page = visit.page
    await page.goto(f"{visit.origin}/alerts")
    await page.click("[data-test=login-oidc]")
    fault = page.locator("[data-test=login-fault]")
    await expect(fault).to_have_text("您在本平台没有账户，请联系平台管理员开通")
    await visit.shot("single-sign-on-unknown")
    await page.click("[data-test=language]")
    await expect(fault).to_have_text("You have no account here: ask who runs this platform for one")
    await expect(page.locator("[data-test=login-oidc]")).to_have_text("Single sign-on")
    # What a link puts there is never shown itself.
    await page.goto(f"{visit.origin}/login?fault=Call%20555-0100")
    await expect(fault).to_have_text("Single sign-on is not set up properly: tell who runs this platform")
    # The password goes on beside it, and to where one wanted to go at first.
    idp.denies = "access_denied"
    await page.goto(f"{visit.origin}/alerts")
    await page.click("[data-test=login-oidc]")
    await expect(fault).to_have_text("The provider did not let you in, or you cancelled")
    await visit.log_in_here()
    assert urlsplit(page.url).path == "/alerts"
    at_home_but_for(visit, idp)


async def test_while_the_provider_is_away_the_password_is_named(visit: Visit, idp: Idp, city: World) -> None:
    page = visit.page
    await page.goto(visit.origin)
    await page.click("[data-test=login-oidc]")
    await expect(page.locator("[data-test=login-fault]")).to_have_text(
        "统一身份认证服务暂时无法访问，请稍后再试或使用密码登录"
    )
    await visit.log_in_here()


@pytest.mark.usefixtures("up")
async def test_a_link_is_undone_in_the_administration(
    visit: Visit, idp: Idp, city: World, connection: psycopg.AsyncConnection
) -> None:
    await city.person("leader", "leader", sites=None)
    idp.claims = {"sub": "s-1", "preferred_username": "leader"}
    page = visit.page
    await page.goto(f"{visit.origin}/login")
    await page.click("[data-test=login-oidc]")
    await page.wait_for_selector("[data-test=log-out]")
    await connection.execute("INSERT INTO person_link VALUES (%s, 's-2', %s, now())", [idp.url, city.ids["operator"]])
    await page.goto(f"{visit.origin}/administration/people")
    await expect(page.locator("[data-test^=unlink-]")).to_have_count(2)
    await visit.shot("single-sign-on-links")
    await page.click("[data-test=unlink-code-operator]")
    await expect(page.locator("[data-test^=unlink-]")).to_have_count(1)
    assert await told(connection, "SELECT subject FROM person_link") == [("s-1",)]
    at_home_but_for(visit, idp)
