"""Sessions and consents on the account page: what ends, ends at once. LOGIN-3, RT-17."""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from service.app import App
from tests.http.account_pages import Visitor, allow, hint_of, lines_of, log_out, visit
from tests.http.accounts import Accounts, open_accounts
from tests.http.browsing import (
    CALLBACK,
    Pkce,
    make_web_client,
    obtain_code,
    redeem,
    request_of,
    response_of,
)
from tests.sessions import claims_of, execute, fetch


@pytest.fixture(scope="module")
async def accounts(app: App) -> AsyncIterator[Accounts]:
    async with open_accounts(app) as opened:
        yield opened


@pytest.fixture
async def anna(accounts: Accounts) -> Visitor:
    return await visit(accounts)


async def current(visitor: Visitor) -> str:
    """What ends the visitor's own sign-on."""
    lines = lines_of(await visitor.page()).items()
    (found,) = [value for value, line in lines if "This one" in line]
    return found


async def reasons(visitor: Visitor) -> set[str]:
    """Why the user's sessions and sign-ons ended, where they did."""
    query = """
        SELECT array_agg(DISTINCT reason) FROM (
            SELECT user_id, revoked_reason AS reason FROM sessions
            UNION ALL SELECT user_id, ended_reason FROM sign_ons
        ) AS ends JOIN users ON users.id = user_id
        WHERE username = $1 AND reason IS NOT NULL
    """
    return set(await fetch(visitor.app, query, visitor.username) or ())


async def test_browsers_and_applications_are_listed(accounts: Accounts, anna: Visitor) -> None:
    """LOGIN-3."""
    await visit(accounts, anna)
    application = await allow(anna)
    lines = lines_of(await anna.page())
    assert len(lines) == 3
    assert 'name="session" value="all"' in (await anna.page()).text
    assert application.client.id not in str(lines)
    assert sum("Notebook" in line for line in lines.values()) == 1
    assert sum("This one" in line for line in lines.values()) == 1


async def test_another_browser_is_signed_out(accounts: Accounts, anna: Visitor) -> None:
    """LOGIN-3: with what was begun there, and not what was begun here."""
    other = await visit(accounts, anna)
    here, there = await allow(anna), await allow(other)
    offline = await allow(other, scope="openid offline_access", prompt="consent")
    answer = await anna.send("sessions", session=await current(other))
    assert answer.headers["location"] == "/account?done=session_ended"
    assert "The session has ended." in (await anna.browser.follow(answer)).text
    assert not await other.is_signed_on()
    assert await anna.is_signed_on()
    assert await here.lives()
    assert not await there.lives()
    assert await there.is_void_everywhere()
    assert await offline.lives()
    assert await reasons(anna) == {"ended_by_user"}


async def test_one_application_is_ended(anna: Visitor) -> None:
    ended, kept = await allow(anna), await allow(anna)
    session = claims_of(ended.tokens["access_token"])["sid"]
    answer = await anna.send("sessions", session=session)
    assert answer.status_code == 303
    assert (await ended.lives(), await kept.lives()) == (False, True)
    assert session not in lines_of(await anna.page())
    # Twice is as good as once.
    assert (await anna.send("sessions", session=session)).status_code == 303


async def test_to_end_the_current_one_is_to_sign_out(anna: Visitor) -> None:
    """LOGIN-2: the cookie is cleared, and a copy of it is dead."""
    application, session = await allow(anna), await current(anna)
    copy = dict(anna.browser.cookies)
    answer = await anna.send("sessions", session=session)
    assert answer.status_code == 200
    assert "You are signed out" in answer.text
    assert "__Host-watchword_session" not in anna.browser.cookies
    anna.browser.cookies = copy
    assert not await anna.is_signed_on()
    assert not await application.lives()


async def test_all_is_ended_everywhere(accounts: Accounts, anna: Visitor) -> None:
    """RT-17, DIST-2: tokens are inactive, refreshes refused, other browsers' cookies dead."""
    other, stranger = await visit(accounts, anna), await visit(accounts)
    applications = [
        await allow(anna),
        await allow(other),
        await allow(anna, scope="openid offline_access", prompt="consent"),
    ]
    theirs, copy = await allow(stranger), dict(anna.browser.cookies)
    assert [await each.lives() for each in applications] == [True] * 3
    answer = await anna.send("sessions", session="all")
    assert "All your sessions have ended, on every device." in answer.text
    assert "__Host-watchword_session" not in anna.browser.cookies
    anna.browser.cookies = copy
    assert (await anna.is_signed_on(), await other.is_signed_on()) == (False, False)
    assert [await each.lives() for each in applications] == [False] * 3
    assert await theirs.lives()
    assert await stranger.is_signed_on()
    assert [await each.is_void_everywhere() for each in applications] == [True] * 3


async def test_a_code_from_before_the_end_of_everything_is_dead(anna: Visitor) -> None:
    """RT-17: what is on its way when everything ends must not begin anew."""
    client, pkce = await make_web_client(anna.app), Pkce()
    code = await obtain_code(anna.browser, client, pkce)
    await anna.send("sessions", session="all")
    answer = await redeem(anna.app, client, code, pkce)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")


@pytest.mark.parametrize("of_browser", [True, False])
async def test_another_users_session_is_not_there(
    accounts: Accounts, anna: Visitor, *, of_browser: bool
) -> None:
    """LOGIN-3: and is told from none by nothing."""
    stranger = await visit(accounts)
    application = await allow(stranger)
    sid = claims_of(application.tokens["access_token"])["sid"]
    theirs = await current(stranger) if of_browser else sid
    unknown = theirs.replace(theirs[-36:], str(uuid4()))
    answers = [await anna.send("sessions", session=each) for each in (theirs, unknown)]
    assert [answer.status_code for answer in answers] == [404, 404]
    told = [text.text.partition('class="request"')[0] for text in answers]
    assert told[0].split("Request")[0] == told[1].split("Request")[0]
    assert await application.lives()
    assert await stranger.is_signed_on()


@pytest.mark.parametrize(
    "spelled",
    ["", "nonsense", "{id}x", "urn:uuid:{id}", "{{{id}}}", "sign-on-", "sign-on-x", "sign-on-{ID}"],
)
async def test_a_session_has_one_spelling(anna: Visitor, spelled: str) -> None:
    own = (await current(anna)).removeprefix("sign-on-")
    text = spelled.replace("{ID}", own.upper()).replace("{id}", own)
    answer = await anna.send("sessions", session=text)
    assert answer.status_code == 404
    assert await anna.is_signed_on()


async def test_a_withdrawn_consent_ends_what_the_client_has(
    accounts: Accounts, anna: Visitor
) -> None:
    """RT-17, AUTHZ-17: at this client, of this user, wherever it began; and it asks again."""
    other, stranger = await visit(accounts, anna), await visit(accounts)
    here = await allow(anna)
    there = await allow(other, here.client)
    offline = await allow(anna, here.client, scope="openid offline_access", prompt="consent")
    kept, theirs = await allow(anna), await allow(stranger, here.client)
    assert here.client.id in (await anna.page()).text
    answer = await anna.send("consents", client=here.client.id)
    assert answer.headers["location"] == "/account?done=consent_withdrawn"
    page = await anna.browser.follow(answer)
    assert "The access is withdrawn." in page.text
    assert here.client.id not in page.text
    assert kept.client.id in page.text
    assert [await each.lives() for each in (here, there, offline)] == [False] * 3
    assert [await each.is_void_everywhere() for each in (here, there, offline)] == [True] * 3
    assert [await each.lives() for each in (kept, theirs)] == [True, True]
    assert (await anna.is_signed_on(), await other.is_signed_on()) == (True, True)
    asked = await anna.browser.get("/authorize", **request_of(here.client, Pkce(), prompt="none"))
    assert response_of(asked)["error"] == "consent_required"


async def test_a_code_from_before_a_withdrawal_is_dead(anna: Visitor) -> None:
    """RT-17: the client must not have by a code what was just taken from it."""
    application, pkce = await allow(anna), Pkce()
    code = await obtain_code(anna.browser, application.client, pkce)
    answer = await anna.send("consents", client=application.client.id)
    assert answer.status_code == 303
    answer = await redeem(anna.app, application.client, code, pkce)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
    assert not await application.lives()


async def test_a_consent_that_was_never_given_is_not_there(
    accounts: Accounts, anna: Visitor
) -> None:
    stranger = await visit(accounts)
    application = await allow(stranger)
    for client in (application.client.id, "unknown", ""):
        assert (await anna.send("consents", client=client)).status_code == 404
    assert await application.lives()


async def test_a_client_with_hostile_names_does_no_harm(anna: Visitor) -> None:
    """ATK-74."""
    client = await make_web_client(anna.app, name='<script>"x"</script>', redirect_uris=(CALLBACK,))
    await allow(anna, client)
    page = await anna.page()
    assert "<script" not in page.text
    assert page.text.count("&lt;script&gt;") >= 2


_OVER = {
    "not used": """UPDATE sessions SET idle_expires_at = clock_timestamp() - interval '1 day'
                   WHERE id = $1::uuid""",
    "client revoked": """UPDATE clients SET epoch = epoch + 1 FROM sessions
                         WHERE sessions.id = $1::uuid AND clients.id = client_id""",
}


async def test_what_ended_long_ago_is_told_with_its_reason(anna: Visitor) -> None:
    application = await allow(anna)
    sid = claims_of(application.tokens["access_token"])["sid"]
    await execute(anna.app, _OVER["not used"], sid)
    page = await anna.page()
    assert "Ended sessions (1)" in page.text
    assert "not used for too long" in page.text
    assert sid not in lines_of(page)


@pytest.mark.parametrize("end", ["browser", "client", "consent"])
@pytest.mark.parametrize("over", _OVER.values(), ids=_OVER)
async def test_what_is_over_already_is_not_ended_once_more(
    anna: Visitor, over: str, end: str
) -> None:
    """LOGIN-3, RT-17: it keeps its reason, and no verifier has to hear of it."""
    application = await allow(anna)
    sid = claims_of(application.tokens["access_token"])["sid"]
    await execute(anna.app, over, sid)
    if end == "browser":
        await anna.send("sessions", session=await current(anna))
    elif end == "client":
        await log_out(anna, id_token_hint=hint_of(application))
    else:
        answer = await anna.send("consents", client=application.client.id)
        assert answer.headers["location"] == "/account?done=consent_withdrawn"
    assert await anna.is_signed_on() == (end == "consent")
    assert await fetch(anna.app, "SELECT revoked_reason FROM sessions WHERE id = $1", sid) is None
    assert not await application.is_void_everywhere()
