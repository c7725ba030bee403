"""The account page while somebody else changes the account. ATK-76."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from service.app import App
from service.flows.manage_users import set_password
from service.flows.origin import OPERATOR
from service.oauth.sign_on import SignOn
from tests.http.account_pages import Visitor, allow, faults_of, value_of, visit
from tests.http.accounts import OTHER_PASSWORD, PASSWORD, Accounts, open_accounts
from tests.http.browsing import Pkce, request_of, response_of
from tests.sessions import execute, fetch

NAMES = {"email": "new@example.com", "current_password": PASSWORD}
WRONG = {"names-current_password"}


@pytest.fixture
async def accounts(app: App) -> AsyncIterator[Accounts]:
    async with open_accounts(app) as opened:
        yield opened


@pytest.fixture
async def anna(accounts: Accounts) -> Visitor:
    return await visit(accounts)


def around_the_proof(
    accounts: Accounts,
    patch: pytest.MonkeyPatch,
    *,
    before: Callable[[], Awaitable[Any]] | None = None,
    after: Callable[[], Awaitable[Any]] | None = None,
) -> None:
    """Let something happen just before or after the password is proven."""
    proof = accounts.app.services.proof
    prove = proof.prove

    async def slowly(*arguments: Any, **more: Any) -> Any:
        if before:
            await before()
        user = await prove(*arguments, **more)
        if after:
            await after()
        return user

    patch.setattr(proof, "prove", slowly)


async def test_a_name_that_passed_to_somebody_else_proves_nothing(
    accounts: Accounts, anna: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The password is right, and that of another: nothing of either is changed."""
    other = await accounts.user()
    email = f"{anna.username}@example.com"
    user_id = await fetch(accounts.app, "SELECT id FROM users WHERE username = $1", anna.username)

    async def swap() -> None:
        query = "UPDATE users SET username = $2 WHERE id = $1"
        await execute(accounts.app, query, user_id, f"was-{anna.username}")
        await execute(accounts.app, query, other.id, anna.username)

    around_the_proof(accounts, monkeypatch, before=swap)
    page = await anna.send("names", username=anna.username, **NAMES)
    assert (page.status_code, faults_of(page)) == (400, WRONG)
    query = "SELECT email FROM users WHERE id = $1"
    assert await fetch(accounts.app, query, user_id) == email
    assert await fetch(accounts.app, query, other.id) == other.email


async def test_a_password_that_changed_meanwhile_proves_nothing(
    accounts: Accounts, anna: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever changes the password locks out who only had the old one: at once, and for good."""
    user_id = await fetch(accounts.app, "SELECT id FROM users WHERE username = $1", anna.username)
    password_hash = await accounts.hasher.hash(OTHER_PASSWORD)

    async def change() -> None:
        await set_password(accounts.app.services.database, user_id, password_hash, OPERATOR)

    around_the_proof(accounts, monkeypatch, after=change)
    page = await anna.send("names", username=anna.username, **NAMES)
    assert (page.status_code, faults_of(page)) == (400, WRONG)
    assert value_of(page, "names-email") == "new@example.com"
    query = "SELECT email FROM users WHERE id = $1"
    assert await fetch(accounts.app, query, user_id) == f"{anna.username}@example.com"
    assert not await anna.is_signed_on()


async def test_two_changes_of_the_password_at_once_are_one(
    accounts: Accounts, anna: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LOGIN-2: the browser that came second is out; its cookie is not brought back to life."""
    user_id = await fetch(accounts.app, "SELECT id FROM users WHERE username = $1", anna.username)
    password_hash = await accounts.hasher.hash("nine kites over the harbour")

    async def change() -> None:
        await set_password(accounts.app.services.database, user_id, password_hash, OPERATOR)

    around_the_proof(accounts, monkeypatch, after=change)
    fields = {"current_password": PASSWORD, "new_password": OTHER_PASSWORD}
    page = await anna.send("password", **fields)
    assert (page.status_code, faults_of(page)) == (400, {"password-current_password"})
    assert not await anna.is_signed_on()
    stored = await fetch(accounts.app, "SELECT password_hash FROM users WHERE id = $1", user_id)
    assert stored == password_hash


async def test_a_consent_that_is_taken_back_meanwhile_gives_no_code(
    accounts: Accounts, anna: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RT-17: between reading what was allowed and answering by it."""
    client = (await allow(anna)).client
    sign_ons = accounts.app.services.sign_ons
    find = sign_ons.find

    async def slowly(cookie: str | None, client_id: str | None = None) -> SignOn | None:
        found = await find(cookie, client_id)
        query = "DELETE FROM consents WHERE client_id = $1"
        await execute(accounts.app, query, client.id)
        return found

    monkeypatch.setattr(sign_ons, "find", slowly)
    answer = await anna.browser.get("/authorize", **request_of(client, Pkce()))
    assert response_of(answer)["error"] == "consent_required"
    query = "SELECT count(*) FROM authorization_codes WHERE client_id = $1 AND spent_at IS NULL"
    assert await fetch(accounts.app, query, client.id) == 0
