"""Table sessions: their beginning and their rotations. session_ends.py has how they end."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from service.oauth.rotation import Presented, Stored
from service.oauth.session import Session
from service.sql.connection import Connection, DatabaseUnavailable


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSession:
    """A session to be. `credential_version` is the user's as read with the password's hash.

    `auth_time`: when that was, if not just now. `sign_on_id`: the browser's, where it has one.
    """

    id: UUID
    user_id: UUID
    credential_version: int
    client_id: str
    secret_digest: bytes
    scopes: tuple[str, ...]
    audiences: tuple[str, ...]
    amr: tuple[str, ...]
    device: str | None
    idle_ttl: timedelta
    absolute_ttl: timedelta
    auth_time: datetime | None = None
    sign_on_id: UUID | None = None


async def insert_session(connection: Connection, new: NewSession) -> Session | None:
    """The session; None unless the user still has that credential version, and the client is good.

    Its lock on the user's row makes a change of the password wait, or be seen here. No lock that
    logins share: they would overtake a change that waits, for as long as they keep coming.
    """
    row = await connection.fetchrow(
        """
        INSERT INTO sessions (id, user_id, client_id, client_epoch, secret_digest, incarnation,
                              scopes, audiences, roles, auth_time, amr, device, idle_expires_at,
                              expires_at, sign_on_id)
        SELECT $1, users.id, clients.id, clients.epoch, $5, database_life.id,
               $6, $7, users.roles, coalesce($12::timestamptz, clock_timestamp()), $8, $9,
               clock_timestamp() + least($10::interval, $11::interval),
               clock_timestamp() + $11::interval, $13
        FROM users, clients, database_life
        WHERE users.id = $2
          AND users.credential_version = $3
          AND users.disabled_at IS NULL
          AND clients.id = $4
          AND clients.enabled
          AND database_life.system_identifier = (SELECT system_identifier FROM pg_control_system())
          AND database_life.table_oid = 'database_life'::regclass::oid
        FOR NO KEY UPDATE OF users
        RETURNING id, user_id, client_id, client_epoch, generation, scopes, audiences, roles,
                  claims_version, auth_time, acr, amr, idle_expires_at, expires_at,
                  clock_timestamp() AS now
        """,
        new.id,
        new.user_id,
        new.credential_version,
        new.client_id,
        new.secret_digest,
        new.scopes,
        new.audiences,
        new.amr,
        new.device,
        new.idle_ttl,
        new.absolute_ttl,
        new.auth_time,
        new.sign_on_id,
    )
    return None if row is None else _session(row)


async def is_unchanged(connection: Connection, new: NewSession) -> bool:
    """Whether user and client are as they were read, so that the session could begin."""
    return await connection.fetchval(
        """
        SELECT EXISTS (
            SELECT FROM users, clients
            WHERE users.id = $1
              AND users.credential_version = $2
              AND users.disabled_at IS NULL
              AND clients.id = $3
              AND clients.enabled
        )
        """,
        new.user_id,
        new.credential_version,
        new.client_id,
    )


async def rotate_session(
    connection: Connection, presented: Presented, commit: str, deadline: datetime | None
) -> Session | None:
    """The session with its generation raised; None unless every condition of a rotation holds.

    One winner per generation. Nothing is spent when it answers None. `commit` is the rotation's
    own synchronous_commit: 'off' does not wait for the disk. `deadline`, by PostgreSQL's clock:
    a server that was frozen must not spend, when it thaws, what was refused meanwhile.
    """
    token, client = presented.token, presented.client
    row = await connection.fetchrow(
        """
        UPDATE sessions
        SET generation = generation + 1,
            rotated_at = clock_timestamp(),
            incarnation = database_life.id,
            idle_expires_at = least(clock_timestamp() + $5::interval, expires_at)
        FROM database_life
        WHERE sessions.id = $1
          AND generation = $2
          AND generation < 4294967295
          AND secret_digest = $3
          AND client_id = $4
          AND client_epoch = (SELECT epoch FROM clients WHERE clients.id = $4 AND enabled)
          AND revoked_at IS NULL
          AND idle_expires_at > clock_timestamp()
          AND scopes @> $6
          AND audiences @> $7
          AND dpop_jkt IS NULL
          AND database_life.system_identifier = (SELECT system_identifier FROM pg_control_system())
          AND database_life.table_oid = 'database_life'::regclass::oid
          AND clock_timestamp() < coalesce($9::timestamptz, 'infinity')
          AND set_config('synchronous_commit', $8, true) IS NOT NULL
        RETURNING sessions.id, user_id, client_id, client_epoch, generation, scopes, audiences,
                  roles, claims_version, auth_time, acr, amr, idle_expires_at, expires_at,
                  clock_timestamp() AS now
        """,
        token.session_id,
        token.generation,
        token.secret_digest,
        client.id,
        client.session_idle_ttl,
        presented.scopes,
        presented.audiences,
        commit,
        deadline,
    )
    return None if row is None else _session(row)


async def heal_session(
    connection: Connection, presented: Presented, stored: Stored
) -> Session | None:
    """The session, set to what the token proves: rotations that a former life of the database lost.

    One winner per session and life; None when the row is no longer as it was read.
    """
    row = await connection.fetchrow(
        """
        UPDATE sessions
        SET generation = $2 + 1,
            rotated_at = clock_timestamp(),
            incarnation = database_life.id,
            idle_expires_at = least(clock_timestamp() + $5::interval, expires_at)
        FROM database_life
        WHERE sessions.id = $1
          AND generation = $6
          AND incarnation <> database_life.id
          AND $2::bigint < 4294967295
          AND secret_digest = $3
          AND client_id = $4
          AND client_epoch = (SELECT epoch FROM clients WHERE clients.id = $4 AND enabled)
          AND revoked_at IS NULL
          AND idle_expires_at > clock_timestamp()
          AND dpop_jkt IS NULL
          AND database_life.id = $7
        RETURNING sessions.id, user_id, client_id, client_epoch, generation, scopes, audiences,
                  roles, claims_version, auth_time, acr, amr, idle_expires_at, expires_at,
                  clock_timestamp() AS now
        """,
        presented.token.session_id,
        presented.token.generation,
        presented.token.secret_digest,
        presented.client.id,
        presented.client.session_idle_ttl,
        stored.session.generation,
        stored.life,
    )
    return None if row is None else _session(row)


async def find_stored(connection: Connection, session_id: UUID) -> Stored | None:
    """The session's row for judging; None if there is none.

    Raises DatabaseUnavailable while the database begins a new life: seen by the same look as the
    row, or a life that begins between two looks would make a session seem unknown.
    """
    row = await connection.fetchrow(
        """
        SELECT sessions.id, user_id, client_id, client_epoch, generation, sessions.scopes,
               sessions.audiences, roles, claims_version, auth_time, acr, amr, idle_expires_at,
               sessions.expires_at, clock_timestamp() AS now,
               secret_digest, incarnation, database_life.id AS life,
               -- Another server's clock, after a fail-over, must not make it negative.
               greatest(interval '0', clock_timestamp() - rotated_at) AS age,
               revoked_at IS NOT NULL
                   OR idle_expires_at <= clock_timestamp()
                   OR client_epoch <> clients.epoch
                   OR NOT clients.enabled
                   OR generation >= 4294967295 AS is_ended,
               dpop_jkt IS NOT NULL AS is_bound,
               coalesce(shadow_until > clock_timestamp(), false) AS in_shadow
        FROM database_life
        LEFT JOIN (sessions JOIN clients ON clients.id = client_id) ON sessions.id = $1
        WHERE system_identifier = (SELECT system_identifier FROM pg_control_system())
          AND table_oid = 'database_life'::regclass::oid
        """,
        session_id,
    )
    if row is None:
        raise DatabaseUnavailable("the database begins a new life")
    if row["id"] is None:
        return None
    members = dict(row)
    beside = {name: members[name] for name in _BESIDE}
    return Stored(session=_session(members), **beside)


_BESIDE = (
    "secret_digest",
    "incarnation",
    "life",
    "age",
    "is_ended",
    "is_bound",
    "in_shadow",
)


def _session(row: Any) -> Session:
    return Session(
        id=row["id"],
        user_id=row["user_id"],
        client_id=row["client_id"],
        client_epoch=row["client_epoch"],
        generation=row["generation"],
        scopes=tuple(row["scopes"]),
        audiences=tuple(row["audiences"]),
        roles=tuple(row["roles"]),
        claims_version=row["claims_version"],
        auth_time=row["auth_time"],
        acr=row["acr"],
        amr=tuple(row["amr"]),
        idle_expires_at=row["idle_expires_at"],
        expires_at=row["expires_at"],
        now=row["now"],
    )
