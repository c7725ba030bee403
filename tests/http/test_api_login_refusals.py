"""POST /api/login: one refusal for all (LOGIN-10), and how often one may guess (RATE-1, 3, 4)."""

import asyncio
import threading
from collections.abc import AsyncIterator

import httpx
import pytest

from service.app import App
from service.flows.manage_users import delete, disable
from service.flows.origin import OPERATOR
from service.oauth.user import User
from tests.conftest import until
from tests.http.accounts import (
    PASSWORD,
    Accounts,
    CountedHasher,
    assert_refused,
    open_accounts,
)
from tests.sessions import execute, know_user

PAIR, ADDRESS = 10, 14


@pytest.fixture(scope="module")
async def accounts(app: App) -> AsyncIterator[Accounts]:
    limits = {"per_account_and_address": PAIR, "per_address": ADDRESS}
    async with open_accounts(app, limits=limits) as opened:
        yield opened


@pytest.fixture
async def anna(accounts: Accounts) -> User:
    return await accounts.user()


def laid_bare(answer: httpx.Response) -> tuple[object, ...]:
    """All of an answer that a stranger sees, but for the request's own id."""
    headers = [(k, v) for k, v in answer.headers.multi_items() if k != "x-request-id"]
    return answer.status_code, headers, answer.content


async def test_whoever_can_not_log_in_gets_one_answer(accounts: Accounts, anna: User) -> None:
    """LOGIN-10, ATK-78: byte for byte; and its cause: one verification in each case."""
    database, hasher = accounts.app.services.database, accounts.hasher
    gone, off, empty = await accounts.user(), await accounts.user(), await accounts.user()
    await disable(database, off.id, OPERATOR)
    await delete(database, gone.id, OPERATOR)
    no_hash = "UPDATE users SET password_hash = NULL WHERE id = $1"
    await execute(accounts.app, no_hash, empty.id)
    own = {user: (await know_user(database, user.id)).password_hash for user in (anna, off)}
    nobody = hasher._of_nobody  # against which one argument, None, stands for it
    cases = {
        "unknown name": ("nobody-here", PASSWORD, None),
        "unknown address": ("nobody@example.com", PASSWORD, None),
        "what is no name": ("' OR 1=1--", PASSWORD, None),
        "empty name": ("", PASSWORD, None),
        "wrong": (anna.username, PASSWORD + "x", own[anna]),
        "empty password": (anna.username, "", own[anna]),
        "short password": (anna.username, "x", own[anna]),
        "disabled, right": (off.username, PASSWORD, own[off]),
        "disabled, wrong": (off.email, "x", own[off]),
        "deleted": (gone.username, PASSWORD, None),
        "without a password": (empty.username, PASSWORD, None),
    }
    seen: dict[str, tuple[object, ...]] = {}
    for device in (accounts.browser, accounts.phone):
        for case, (name, password, against) in cases.items():
            hasher.verified.clear()
            answer = await device().login(name, password)
            assert_refused(answer, "invalid_credentials", 401)
            assert hasher.verified == [against], case
            kind = answer.headers.get("access-control-allow-origin", "no page")
            assert seen.setdefault(kind, laid_bare(answer)) == laid_bare(answer), case
    assert len(seen) == 2
    assert hasher._argon2id.check_needs_rehash(nobody) is False


async def test_the_limit_tells_nobody_who_has_an_account(accounts: Accounts, anna: User) -> None:
    """RATE-3, LOGIN-10, ATK-78: refused alike after as many failures, known or unknown."""
    refusals: list[tuple[object, ...]] = []
    for name in (anna.username, "nobody-here-either"):
        device, hasher = accounts.browser(), accounts.hasher
        for _ in range(PAIR):
            assert_refused(await device.login(name, "wrong"), "invalid_credentials", 401)
        hasher.verified.clear()
        for password in ("wrong", PASSWORD):
            answer = await device.login(name, password)
            assert_refused(answer, "temporarily_unavailable", 429)
            status, headers, body = laid_bare(answer)
            refusals.append((status, [name for name, _ in headers], body))
        assert hasher.verified == []
    assert len(set(map(str, refusals))) == 1


async def test_a_limit_is_of_one_account_from_one_address(accounts: Accounts, anna: User) -> None:
    """RATE-1, RATE-3: however the name is spelled; the owner elsewhere never notices."""
    device, other = accounts.browser(), await accounts.user()
    assert anna.username
    for number in range(PAIR):
        spelling = anna.username.upper() if number % 2 else anna.username
        assert_refused(await device.login(spelling, "wrong"), "invalid_credentials", 401)
    assert (await device.login(anna.username.title())).status_code == 429
    assert (await accounts.browser().login(anna.username)).status_code == 200
    assert (await device.login(other.username)).status_code == 200
    assert (await device.login(anna.username)).status_code == 429


async def test_a_right_password_forgives_this_account_and_not_the_address(
    accounts: Accounts, anna: User
) -> None:
    """RATE-3: else an account of one's own would buy guesses at all others."""
    device, others = accounts.browser(), [await accounts.user() for _ in range(2)]
    for _ in range(PAIR - 1):
        await device.login(anna.username, "wrong")
    assert (await device.login(anna.username)).status_code == 200
    for _ in range(ADDRESS - PAIR + 1):
        assert (await device.login(others[0].username, "wrong")).status_code == 401
        assert (await device.login(anna.username)).status_code in (200, 429)
    assert_refused(await device.login(others[1].username), "temporarily_unavailable", 429)
    assert (await accounts.browser().login(anna.username)).status_code == 200


async def test_as_many_guesses_at_once_as_you_like_are_the_limit(
    accounts: Accounts, anna: User
) -> None:
    """RATE-3: of thirty at once, ten at most are judged, and no more than an address's share."""
    device = accounts.browser()
    accounts.hasher.verified.clear()
    answers = await asyncio.gather(*(device.login(anna.username, "wrong") for _ in range(30)))
    judged = len(accounts.hasher.verified)
    assert 0 < judged <= PAIR
    assert sorted(it.status_code for it in answers) == [401] * judged + [429] * (30 - judged)


async def test_what_no_password_can_be_is_refused_before_it_counts(
    accounts: Accounts, anna: User
) -> None:
    """PW-1, PW-2, ATK-77: 400 before hashing, known or unknown."""
    accounts.hasher.verified.clear()
    device = accounts.browser()
    for name in (anna.username, "nobody-here"):
        for password in ("x" * 257, "x" * 60_000, "a\0b", "tab\there", "line\nbreak"):
            answer = await device.login(name, password)
            assert_refused(answer, "invalid_request", fields={"password"})
        raw = f'{{"username":"{name}","password":"\\udead"}}'.encode()
        answer = await device.post("login", content=raw)
        assert_refused(answer, "invalid_request", fields={"password"})
        answer = await device.post("login", content=b"{" + b" " * 65536 + b"}")
        assert_refused(answer, "invalid_request", 413)
    assert accounts.hasher.verified == []
    assert (await device.login(anna.username)).status_code == 200


async def test_a_full_queue_is_503_and_takes_no_guess_away(accounts: Accounts, anna: User) -> None:
    """PW-6, LOGIN-10: known or unknown; what was not looked at is no failure."""
    app, gate = accounts.app, threading.Event()
    hasher = CountedHasher(parallel=1, waiting=0)
    async with open_accounts(app, hasher=hasher, limits={"per_account_and_address": 2}) as busy:
        device = busy.browser()
        held = asyncio.create_task(hasher._run(gate.wait))
        await until(lambda: hasher.running_now)
        try:
            for name in [anna.username, "nobody-here"] * 4:
                answer = await device.login(name)
                assert_refused(answer, "temporarily_unavailable", 503)
                assert answer.headers["retry-after"] == "1"
            sent = {"username": "never-made", "email": "n@example.com", "full_name": "N"}
            answer = await device.post("register", {**sent, "password": PASSWORD})
            assert_refused(answer, "temporarily_unavailable", 503)
        finally:
            gate.set()
            await held
        await until(lambda: hasher.running_now + hasher.waiting_now == 0)
        statuses = [(await device.login(anna.username, "wrong")).status_code for _ in range(3)]
        assert statuses == [401, 401, 429]
        assert len(hasher.verified) == 2


async def test_an_alarm_is_written_down_and_nobody_is_locked_out(
    accounts: Accounts, anna: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RATE-2: the account's own line, whatever the addresses."""
    lines = {"account": 3, "client": 10**6, "all": 10**6}
    monkeypatch.setattr("service.redis.login_limits._ALARM_LINES", lines)
    alarms = accounts.app.services.metrics.login_alarms.labels("account")
    before = alarms._value.get()
    for _ in range(6):
        assert (await accounts.browser().login(anna.username, "wrong")).status_code == 401
    assert alarms._value.get() == before + 1
    assert (await accounts.browser().login(anna.username)).status_code == 200
