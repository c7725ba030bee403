"""When a person is asked, and when nobody may be: prompt, max_age, hints. Core §3.1.2.1."""

from datetime import timedelta
from typing import Any

import httpx
import jwt
import pytest

from service.app import App
from tests.conftest import RegisteredClient
from tests.http.at_pages import (
    Visitor,
    assert_page,
    make_person,
    sign_in,
    sign_on,
    signed_on,
    tokens_of,
    visitor,
)
from tests.http.browsing import (
    PASSWORD,
    Pkce,
    hidden,
    make_web_client,
    obtain_code,
    request_of,
    response_of,
)
from tests.sessions import claims_of, execute

PKCE = Pkce()


@pytest.fixture(scope="module")
async def client(app: App) -> RegisteredClient:
    return await make_web_client(app)


@pytest.fixture
async def someone(app: App, client: RegisteredClient) -> Visitor:
    """Signed on, having allowed what PKCE's request asks for."""
    found = await signed_on(app)
    await obtain_code(found.browser, client, PKCE)
    return found


async def age(someone: Visitor, seconds: int) -> None:
    """Let the sign-in be so long ago."""
    query = "UPDATE sign_ons SET auth_time = auth_time - $2::interval WHERE user_id = $1"
    await execute(someone.app, query, someone.user.id, timedelta(seconds=seconds))


async def hint_of(someone: Visitor, client: RegisteredClient) -> str:
    code = await obtain_code(someone.browser, client, PKCE)
    return (await tokens_of(someone.app, client, code, PKCE))["id_token"]


def error_of(answer: httpx.Response) -> str:
    return response_of(answer)["error"]


def leads_to(answer: httpx.Response) -> str:
    assert answer.status_code == 303, answer.text
    return answer.headers["location"].partition("?")[0]


async def test_none_never_asks(app: App, client: RegisteredClient, someone: Visitor) -> None:
    """AUTHZ-10: a code, or the reason why there is none."""
    answer = await visitor(app).get("/authorize", **request_of(client, PKCE, prompt="none"))
    assert error_of(answer) == "login_required"
    new = await signed_on(app)
    assert error_of(await new.ask(client, PKCE, prompt="none")) == "consent_required"
    response = response_of(await someone.ask(client, PKCE, prompt="none"))
    assert response.keys() == {"code", "state", "iss"}


async def test_none_by_post_asks_nobody_either(app: App, client: RegisteredClient) -> None:
    """AUTHZ-1, AUTHZ-10: kept though it is, neither the sign-in page nor consent answers it."""
    new = await signed_on(app)
    await new.browser.get("/logout")  # which gives it the cookie that forms are bound to
    answer = await visitor(app).http.post(
        "/authorize", data=request_of(client, PKCE, prompt="none")
    )
    handle = answer.headers["location"].partition("request=")[2]
    assert error_of(await new.browser.follow(answer)) == "consent_required"
    answer = await new.browser.get("/consent", request=handle)
    assert error_of(answer) == "consent_required"


async def test_who_is_known_and_has_allowed_it_is_not_asked(
    client: RegisteredClient, someone: Visitor
) -> None:
    """AUTHZ-17: the same or less than was allowed; more is asked for."""
    assert "code" in response_of(await someone.ask(client, PKCE))
    assert "code" in response_of(await someone.ask(client, PKCE, scope="openid"))
    answer = await someone.ask(client, PKCE, scope="openid offline_access")
    assert leads_to(answer) == "/consent"


async def test_login_asks_for_the_password_again(
    app: App, client: RegisteredClient, someone: Visitor
) -> None:
    """AUTHZ-10, LOGIN-2: of the same person; auth_time is newer, and the cookie another."""
    await age(someone, 500)
    before, cookies = await hint_of(someone, client), dict(someone.browser.cookies)
    page = await someone.browser.follow(await someone.ask(client, PKCE, prompt="login"))
    assert_page(page, 200)
    assert f'value="{someone.user.username}"' in page.text
    answer = await sign_in(someone.browser, page, someone.user)
    assert leads_to(answer) == "/authorize/continue"
    assert someone.browser.cookies != cookies
    code = response_of(await someone.browser.follow(answer))["code"]
    after = claims_of((await tokens_of(app, client, code, PKCE))["id_token"])
    assert after["auth_time"] - claims_of(before)["auth_time"] >= 499


@pytest.mark.parametrize(
    "changes", [{"prompt": "login"}, {"prompt": "select_account"}, {"max_age": "0"}]
)
async def test_no_way_leads_around_the_sign_in(
    client: RegisteredClient, someone: Visitor, changes: dict[str, str]
) -> None:
    """AUTHZ-10, AUTHZ-11, ATK-71: not the address after it, nor consent with a good token."""
    answer = await someone.ask(client, PKCE, **changes)
    assert leads_to(answer) == "/login"
    handle = answer.headers["location"].partition("request=")[2]
    page = await someone.browser.follow(answer)
    for path in ("/authorize/continue", "/consent"):
        assert leads_to(await someone.browser.get(path, request=handle)) == "/login"
    fields = hidden(page) | {"decision": "allow", "scope": "openid profile email orders:read"}
    assert leads_to(await someone.browser.post("/consent", **fields)) == "/login"


async def test_consent_is_asked_for_though_it_was_given(
    client: RegisteredClient, someone: Visitor
) -> None:
    """AUTHZ-10, AUTHZ-17."""
    page = await someone.browser.follow(await someone.ask(client, PKCE, prompt="consent"))
    assert_page(page, 200)
    answer = await someone.browser.submit(page, decision="allow")
    assert "code" in response_of(answer)


async def test_select_account_asks_who_it_is_to_be(
    client: RegisteredClient, someone: Visitor
) -> None:
    """AUTHZ-10: the page is for anybody."""
    page = await someone.browser.follow(await someone.ask(client, PKCE, prompt="select_account"))
    assert str(someone.user.username) not in page.text
    other = await make_person(someone.app)
    answer = await someone.browser.follow(await sign_in(someone.browser, page, other))
    assert "Notebook" in answer.text


async def test_max_age_is_the_age_of_the_sign_in(
    app: App, client: RegisteredClient, someone: Visitor
) -> None:
    """AUTHZ-11: an older one is done again, and nobody is asked twice."""
    await age(someone, 300)
    assert "code" in response_of(await someone.ask(client, PKCE, max_age="330"))
    silent = await someone.ask(client, PKCE, max_age="300", prompt="none")
    assert error_of(silent) == "login_required"
    page = await someone.browser.follow(await someone.ask(client, PKCE, max_age="300"))
    answer = await someone.browser.follow(await sign_in(someone.browser, page, someone.user))
    tokens = await tokens_of(app, client, response_of(answer)["code"], PKCE)
    claims = claims_of(tokens["id_token"])
    assert claims["iat"] - claims["auth_time"] < 30


async def test_max_age_0_is_a_sign_in_and_no_loop(
    client: RegisteredClient, someone: Visitor
) -> None:
    """AUTHZ-11."""
    page = await someone.browser.follow(await someone.ask(client, PKCE, max_age="0"))
    answer = await someone.browser.follow(await sign_in(someone.browser, page, someone.user))
    assert "code" in response_of(answer)


async def test_a_hint_names_who_it_has_to_be(
    app: App, client: RegisteredClient, someone: Visitor
) -> None:
    """AUTHZ-13: silently or not at all; another's answer is never given."""
    hint, other = await hint_of(someone, client), await signed_on(app)
    await obtain_code(other.browser, client, PKCE)
    assert "code" in response_of(await someone.ask(client, PKCE, id_token_hint=hint))
    answer = await other.ask(client, PKCE, id_token_hint=hint, prompt="none")
    assert error_of(answer) == "login_required"
    answer = await other.ask(client, PKCE, id_token_hint=hint)
    page = await other.browser.follow(answer)
    assert page.request.url.path == "/login"
    # Nor by the way of the consent page, with a good token.
    fields = hidden(page) | {"decision": "allow", "scope": "openid profile email orders:read"}
    assert leads_to(await other.browser.post("/consent", **fields)) == "/login"
    answer = await other.browser.follow(await sign_in(other.browser, page, other.user))
    assert error_of(answer) == "login_required"


async def test_who_the_hint_names_may_sign_in(
    app: App, client: RegisteredClient, someone: Visitor
) -> None:
    """AUTHZ-13."""
    hint, other = await hint_of(someone, client), await signed_on(app)
    page = await other.browser.follow(await other.ask(client, PKCE, id_token_hint=hint))
    # The page is not for who is signed on, whom the client would be told about in vain.
    assert str(other.user.username) not in page.text
    page = await other.browser.submit(page, username="nobody", password=PASSWORD)
    assert_page(page, 401)
    assert str(other.user.username) not in page.text
    answer = await other.browser.follow(await sign_in(other.browser, page, someone.user))
    assert "code" in response_of(answer)


async def test_a_hint_that_proves_nothing_is_none(
    app: App, client: RegisteredClient, someone: Visitor
) -> None:
    """AUTHZ-13: alg none, another's key, an access token, garbage; never an error."""
    good = await hint_of(someone, client)
    claims = claims_of(good)
    other = claims | {"sub": str((await make_person(app)).id)}
    forged = jwt.encode(other, "x" * 64, algorithm="HS256", headers={"typ": "JWT"})
    head, body, tail = good.split(".")
    other_body = jwt.encode(other, "x" * 64, algorithm="HS256").split(".")[1]
    for hint in (
        jwt.encode(other, "", algorithm="none", headers={"typ": "JWT"}),
        forged,
        f"{head}.{other_body}.{tail}",
        "garbage",
        "é.\U0001f600.x",
        "a.b.c",
        f"{head}.{body}.",
    ):
        response = response_of(await someone.ask(client, PKCE, id_token_hint=hint))
        assert "code" in response


HINT = '"><script>alert(1)</script>'


async def test_a_login_hint_fills_the_field_in_and_no_more(
    app: App, client: RegisteredClient, someone: Visitor
) -> None:
    """AUTHZ-13, ATK-74, LOGIN-10: escaped; the page is the same whether the name is known."""
    pages: list[str] = []
    for hint in (HINT, str(someone.user.username), "n" * 14):
        browser = visitor(app)
        request = request_of(client, PKCE, login_hint=hint)
        page = await browser.follow(await browser.get("/authorize", **request))
        assert "<script" not in page.text
        text = page.text.replace(hint, "HINT")
        for secret in hidden(page).values():
            text = text.replace(secret, "")
        pages.append(text)
    assert "&lt;script&gt;" in pages[0]
    assert pages[1] == pages[2]
    assert 'value="HINT"' in pages[1]


@pytest.mark.parametrize("name", ["ui_locales", "claims_locales", "acr_values", "display"])
@pytest.mark.parametrize("value", ["xx", "<script>", "a " * 50, "é"])
async def test_preferences_are_no_fault(
    client: RegisteredClient, someone: Visitor, name: str, value: str
) -> None:
    """AUTHZ-13."""
    changes: dict[str, Any] = {name: value}
    assert "code" in response_of(await someone.ask(client, PKCE, **changes))


async def test_who_has_no_full_name_is_asked_as_well(app: App, client: RegisteredClient) -> None:
    """An operator need not give one."""
    user = await make_person(app)
    await execute(app, "UPDATE users SET full_name = NULL WHERE id = $1", user.id)
    someone = await sign_on(visitor(app), user)
    for prompt in ("consent", "login"):
        page = await someone.browser.follow(await someone.ask(client, PKCE, prompt=prompt))
        assert_page(page, 200)
        assert str(user.username) in page.text
