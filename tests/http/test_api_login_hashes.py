"""POST /api/login: passwords in any composition, and hashes of older parameters. PW-2, PW-5."""

from collections.abc import AsyncIterator

import argon2
import pytest

from service.app import App
from service.flows.manage_users import change_password
from service.flows.origin import OPERATOR
from tests.http.accounts import (
    OTHER_PASSWORD,
    PASSWORD,
    Accounts,
    assert_refused,
    open_accounts,
)
from tests.sessions import execute, fetch, know_user


@pytest.fixture(scope="module")
async def accounts(app: App) -> AsyncIterator[Accounts]:
    async with open_accounts(app) as opened:
        yield opened


@pytest.mark.parametrize(
    ("stored", "typed"),
    [
        ("Ångströms are small units", "A\u030angstro\u0308ms are small units"),
        ("A\u030angstro\u0308ms are small units", "Ångströms are small units"),
        ("ｆｕｌｌ　ｗｉｄｔｈ　ｗｏｒｄｓ", "full width words"),  # noqa: RUF001 (as an input method writes)
        ("ﬁnding ﬂowers in oﬃces", "finding flowers in offices"),
    ],
    ids=["NFC", "NFD", "full width", "ligatures"],
)
async def test_however_a_keyboard_composes_a_password_it_is_the_same(
    accounts: Accounts, stored: str, typed: str
) -> None:
    """PW-2: NFKC on set and on verify."""
    name = f"nfkc-{len(stored)}-{len(typed)}"
    sent = {"username": name, "email": f"{name}@example.com", "full_name": "N", "password": stored}
    assert (await accounts.browser().post("register", sent)).status_code == 201
    for password in (stored, typed):
        assert (await accounts.browser().login(name, password)).status_code == 200
    answer = await accounts.browser().login(name, typed.upper())
    assert_refused(answer, "invalid_credentials", 401)


async def test_a_hash_of_older_parameters_is_made_anew(accounts: Accounts) -> None:
    """PW-5: at the first login that proves the password, and at no other."""
    older = argon2.PasswordHasher(time_cost=1, memory_cost=16, parallelism=1)
    user = await accounts.user()
    query = "UPDATE users SET password_hash = $2 WHERE id = $1"
    await execute(accounts.app, query, user.id, older.hash(PASSWORD))
    before = await know_user(accounts.app.services.database, user.id)
    assert_refused(
        await accounts.browser().login(user.username, "wrong"), "invalid_credentials", 401
    )
    assert await know_user(accounts.app.services.database, user.id) == before
    first, second = accounts.browser(), accounts.browser()
    assert (await first.login(user.username)).status_code == 200
    after = await know_user(accounts.app.services.database, user.id)
    assert "m=8,t=1,p=1" in (after.password_hash or "")
    assert after.credential_version == before.credential_version
    hashed = accounts.hasher.hashed
    assert (await second.login(user.username)).status_code == 200
    assert accounts.hasher.hashed == hashed
    assert (await first.me()).status_code == 200


async def test_a_change_of_the_password_wins_over_the_new_hash_of_the_old_one(
    accounts: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PW-5: also over the login, which began under the password of before."""
    older = argon2.PasswordHasher(time_cost=1, memory_cost=16, parallelism=1)
    database, user = accounts.app.services.database, await accounts.user()
    query = "UPDATE users SET password_hash = $2 WHERE id = $1"
    await execute(accounts.app, query, user.id, older.hash(PASSWORD))
    known, rehash = await know_user(database, user.id), accounts.hasher.hash
    new_hash = await rehash(OTHER_PASSWORD)

    async def change_meanwhile(password: str) -> str:
        version, nobody = known.credential_version, known.id
        await change_password(database, user.id, new_hash, OPERATOR, version=version, spared=nobody)
        return await rehash(password)

    monkeypatch.setattr(accounts.hasher, "hash", change_meanwhile)
    answer = await accounts.browser().login(user.username)
    monkeypatch.undo()
    assert_refused(answer, "invalid_credentials", 401)
    assert (await know_user(database, user.id)).password_hash == new_hash
    query = "SELECT count(*) FROM sessions WHERE user_id = $1"
    assert await fetch(accounts.app, query, user.id) == 0
    assert (await accounts.browser().login(user.username, OTHER_PASSWORD)).status_code == 200
