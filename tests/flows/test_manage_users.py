"""What an operator does to a user: the sessions, the facts for verifiers, what is erased."""

import secrets
from uuid import UUID

import pytest

from service.app import App
from service.flows import manage_users
from service.flows.begin_session import begin_session
from service.flows.end_sessions import end_one_session
from service.flows.manage_users import UserRefused
from service.flows.origin import OPERATOR, Origin
from service.flows.session_tokens import SessionTokens
from service.oauth.session import MAX_SESSIONS_PER_USER
from service.oauth.user import KnownUser, Profile
from service.sql.users import find_user
from tests.conftest import RegisteredClient
from tests.sessions import (
    PASSWORD_HASH,
    begin,
    fetch,
    fetch_session,
    know_client,
    know_user,
    make_public,
    make_user,
)

PHONE = Origin(actor="client:x", address="192.0.2.7", request_id="r")


async def begin_some(app: App, user: KnownUser, count: int) -> list[UUID]:
    client = await make_public(app)
    return [(await begin(app, client, user)).id for _ in range(count)]


async def facts(app: App, kind: str, session_ids: list[UUID]) -> list[tuple[str, int, str, str]]:
    """Subject, version, reason and actor of the facts about these sessions."""
    async with app.services.database.connection() as connection:
        rows = await connection.fetch(
            """
            SELECT subject, version, reason, actor FROM revocations
            WHERE kind = $1 AND subject = ANY($2::text[])
            ORDER BY subject, version
            """,
            kind,
            [str(id_) for id_ in session_ids],
        )
    return [(row["subject"], row["version"], row["reason"], row["actor"]) for row in rows]


async def events(app: App, user_id: UUID) -> list[str]:
    query = "SELECT array_agg(event ORDER BY id) FROM audit_events WHERE user_id = $1"
    return await fetch(app, query, user_id)


async def reasons(app: App, session_ids: list[UUID]) -> set[str | None]:
    rows = [await fetch_session(app, id_) for id_ in session_ids]
    assert all((row["revoked_at"] is None) == (row["revoked_reason"] is None) for row in rows)
    return {row["revoked_reason"] for row in rows}


@pytest.mark.parametrize(
    ("deed", "reason"),
    [
        ("disable", "user_disabled"),
        ("delete", "user_deleted"),
        ("end_everywhere", "revoked_by_operator"),
        ("set_password", "password_changed"),
    ],
)
async def test_every_session_ends_and_every_verifier_hears_of_it(
    app: App, deed: str, reason: str
) -> None:
    """DIST-2, DIST-10: the end, its facts and the event are written together."""
    database = app.services.database
    user, other = await make_user(database), await make_user(database)
    mine, others = await begin_some(app, user, 3), await begin_some(app, other, 1)
    further = {"end_everywhere": (reason,), "set_password": ("x",)}.get(deed, ())
    ended = await getattr(manage_users, deed)(database, user.id, *further, OPERATOR)
    assert ended == 3
    assert await reasons(app, mine) == {reason}
    expected = sorted((str(id_), 0, reason, "operator") for id_ in mine)
    assert await facts(app, "sid", mine) == expected
    assert await reasons(app, others) == {None}
    assert await facts(app, "sid", others) == []
    after = await know_user(database, user.id)
    assert after.credential_version == user.credential_version + 1
    event = "sessions_ended" if deed == "end_everywhere" else reason
    assert (await events(app, user.id))[-1] == event
    again = await getattr(manage_users, deed)(database, other.id, *further, OPERATOR)
    assert again == 1


@pytest.mark.parametrize("deed", ["disable", "delete", "end_everywhere", "set_password"])
async def test_a_login_under_way_begins_no_session(app: App, deed: str) -> None:
    """It proved the password of before."""
    database = app.services.database
    user, client = await make_user(database), await make_public(app)
    further = {"end_everywhere": ("r",), "set_password": (PASSWORD_HASH,)}.get(deed, ())
    await getattr(manage_users, deed)(database, user.id, *further, OPERATOR)
    assert await log_in(app, user, client) is None


async def log_in(app: App, user: KnownUser, client: RegisteredClient) -> SessionTokens | None:
    services = app.services
    found = await know_client(services.database, client.id)
    return await begin_session(
        services.database, services.session_issuer, user, found, PHONE, device="Firefox on Linux"
    )


async def test_an_enabled_user_begins_anew(app: App) -> None:
    database = app.services.database
    user, client = await make_user(database), await make_public(app)
    session = await begin(app, client, user)
    await manage_users.disable(database, user.id, OPERATOR)
    disabled = await know_user(database, user.id)
    assert disabled.disabled
    assert await log_in(app, disabled, client) is None
    await manage_users.enable(database, user.id, OPERATOR)
    known = await know_user(database, user.id)
    assert not known.disabled
    assert await log_in(app, known, client) is not None
    assert await reasons(app, [session.id]) == {"user_disabled"}
    assert (await events(app, user.id))[-2:] == ["user_enabled", "session_begun"]


async def test_roles_make_tokens_stale_and_reach_the_sessions(app: App) -> None:
    """DIST-7: what a rotation signs stands in the session's own row."""
    database = app.services.database
    user = await make_user(database)
    mine = await begin_some(app, user, 2)
    (over,) = await begin_some(app, user, 1)
    await end_one_session(app.services.database, over, "x", OPERATOR)
    for version, roles in ((1, ("admin", "clerk")), (2, ())):
        assert await manage_users.set_roles(database, user.id, roles, OPERATOR) == 2
        for id_ in mine:
            row = await fetch_session(app, id_)
            assert (row["claims_version"], tuple(row["roles"])) == (version, roles)
            assert row["revoked_at"] is None
    assert await facts(app, "stale", [over]) == []
    expected = sorted((str(id_), v, "claims_changed", "operator") for id_ in mine for v in (1, 2))
    assert await facts(app, "stale", mine) == expected
    assert await facts(app, "sid", mine) == []
    after = await know_user(database, user.id)
    assert after.credential_version == user.credential_version
    assert (await events(app, user.id))[-2:] == ["roles_changed"] * 2


async def test_a_new_user_s_roles_are_in_the_first_token(app: App) -> None:
    database = app.services.database
    # Nobody is without these: what other tests read of all users says so, too.
    name = f"user-{secrets.token_hex(6)}"
    profile = Profile(username=name, email=f"{name}@example.com")
    made = await manage_users.create_user(database, profile, "x", OPERATOR, roles=("admin",))
    assert made.roles == ("admin",)
    session = await begin(app, None, await know_user(database, made.id))
    assert (await fetch_session(app, session.id))["roles"] == ["admin"]


async def test_what_can_be_no_role_changes_nothing(app: App) -> None:
    database = app.services.database
    user = await make_user(database)
    for roles in (("a b",), ("",), ("é",), ("x" * 65,), tuple(map(str, range(33)))):
        with pytest.raises(UserRefused, match="at most 32 roles"):
            await manage_users.set_roles(database, user.id, roles, OPERATOR)
    assert await fetch(app, "SELECT roles FROM users WHERE id = $1", user.id) == []


async def test_a_deleted_user_keeps_an_id_alone(app: App) -> None:
    """Personal are also the device of a session, and from where somebody acted."""
    database = app.services.database
    user, other, client = (
        await make_user(database),
        await make_user(database),
        await make_public(app),
    )
    for person in (user, user, other):
        assert await log_in(app, person, client) is not None
    assert await manage_users.delete(database, user.id, OPERATOR) == 2
    async with database.connection() as connection:
        shown = await find_user(connection, user.id)
    assert shown is not None
    assert {shown.username, shown.email, shown.full_name, shown.avatar_url} == {None}
    assert shown.roles == ()
    query = """
        SELECT count(*) FROM sessions JOIN audit_events ON session_id = sessions.id
        WHERE sessions.user_id = $1 AND device IS NOT NULL AND address IS NOT NULL
          AND detail ? 'device'
    """
    assert await fetch(app, query, user.id) == 0
    assert await fetch(app, query, other.id) == 1
    left = "SELECT count(*) FROM audit_events WHERE user_id = $1 AND (%s)"
    assert await fetch(app, left % "address IS NOT NULL OR detail ? 'device'", user.id) == 0
    assert await events(app, user.id) == ["user_created", *["session_begun"] * 2, "user_deleted"]
    assert (await know_user(database, user.id)).password_hash is None
    for deed in (manage_users.disable, manage_users.enable, manage_users.delete):
        with pytest.raises(UserRefused, match=f"there is no user {user.id}"):
            await deed(database, user.id, OPERATOR)


async def test_a_proven_password_spares_the_session_that_changes_it(app: App) -> None:
    database = app.services.database
    user = await make_user(database)
    spared, *others = await begin_some(app, user, 3)
    ended = await manage_users.change_password(
        database, user.id, "new", OPERATOR, version=user.credential_version, spared=spared
    )
    assert ended == 2
    assert await reasons(app, others) == {"password_changed"}
    assert await reasons(app, [spared]) == {None}
    assert (await know_user(database, user.id)).password_hash == "new"


async def test_a_password_that_was_changed_meanwhile_is_not_changed_again(app: App) -> None:
    """Who proved the password of before has proven nothing."""
    database = app.services.database
    user = await make_user(database)
    await manage_users.set_password(database, user.id, "another", OPERATOR)
    sessions = await begin_some(app, await know_user(database, user.id), 2)
    before = await events(app, user.id)
    ended = await manage_users.change_password(
        database, user.id, "mine", OPERATOR, version=user.credential_version, spared=sessions[0]
    )
    assert ended is None
    assert (await know_user(database, user.id)).password_hash == "another"
    assert await reasons(app, sessions) == {None}
    assert await events(app, user.id) == before


async def test_too_many_sessions_end_the_one_used_least_lately(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert MAX_SESSIONS_PER_USER == 100
    monkeypatch.setattr("service.flows.begin_session.MAX_SESSIONS_PER_USER", 3)
    user = await make_user(app.services.database)
    first, second, third = await begin_some(app, user, 3)
    rotate = "UPDATE sessions SET rotated_at = clock_timestamp() WHERE id = $1 RETURNING id"
    await fetch(app, rotate, first)
    (fourth,) = await begin_some(app, user, 1)
    assert await reasons(app, [second]) == {"too_many_sessions"}
    assert await reasons(app, [first, third, fourth]) == {None}
    (fact,) = await facts(app, "sid", [first, second, third, fourth])
    assert fact[0] == str(second)


async def test_a_session_that_ran_out_takes_no_place_of_one_that_lives(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However late it was used: a client's sessions may run out sooner than another's."""
    monkeypatch.setattr("service.flows.begin_session.MAX_SESSIONS_PER_USER", 3)
    user = await make_user(app.services.database)
    living, *over = await begin_some(app, user, 3)
    query = "UPDATE sessions SET idle_expires_at = clock_timestamp() WHERE id = $1 RETURNING id"
    for session_id in over:
        await fetch(app, query, session_id)
    first, second = await begin_some(app, user, 2)
    assert await reasons(app, over) == {"too_many_sessions"}
    assert await reasons(app, [living, first, second]) == {None}
