"""Pages of clients, users and sessions for /admin: by id, a filter that is None lets all through.

`after` is the last id of the page before, None on the first: whatever is written meanwhile, no row
comes twice, and none is left out that was there from the beginning.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from service.oauth.client import Client
from service.oauth.user import User
from service.sql.clients import as_client
from service.sql.connection import Connection
from service.sql.users import as_user


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientFilter:
    """Which clients are wanted."""

    enabled: bool | None = None
    type: str | None = None
    first_party: bool | None = None
    administrator: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UserFilter:
    """Which users are wanted; names whatever their case."""

    username: str | None = None
    email: str | None = None
    role: str | None = None
    disabled: bool | None = None
    administrator: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionFilter:
    """Which sessions are wanted."""

    id: UUID | None = None
    user_id: UUID | None = None
    client_id: str | None = None
    living: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownSession:
    """A session as an administrator sees it. It lives unless `ended_because` says why not."""

    id: UUID
    user_id: UUID
    client_id: str
    device: str | None
    scopes: list[str]
    audiences: list[str]
    roles: list[str]
    amr: list[str]
    generation: int
    auth_time: datetime
    created_at: datetime
    last_used_at: datetime
    idle_expires_at: datetime
    expires_at: datetime
    ended_at: datetime | None
    ended_because: str | None


async def plan_anew(connection: Connection) -> None:
    """Have this transaction's statements planned for the filters that they have.

    One plan for all filters would walk a whole table for what an index finds.
    """
    await connection.execute("SET LOCAL plan_cache_mode = 'force_custom_plan'")


async def page_of_clients(
    connection: Connection, wanted: ClientFilter, after: str | None, limit: int
) -> list[Client]:
    """Clients by id."""
    rows = await connection.fetch(
        """
        SELECT id, name, type, token_endpoint_auth_method, grant_types, audiences, scopes,
               default_scopes, serves, access_token_ttl, session_idle_ttl, session_absolute_ttl,
               grace, shadow_until, first_party, refresh_delivery, allowed_origins, signing_alg,
               administrator, redirect_uris, post_logout_redirect_uris, require_pkce, consent,
               epoch, enabled,
               ARRAY(
                   SELECT digest FROM client_secrets
                   WHERE client_id = clients.id
                     AND (expires_at IS NULL OR expires_at > clock_timestamp())
               ) AS secret_digests
        FROM clients
        WHERE ($1::text IS NULL OR id > $1)
          AND ($2::boolean IS NULL OR enabled = $2)
          AND ($3::text IS NULL OR type = $3)
          AND ($4::boolean IS NULL OR first_party = $4)
          AND ($5::boolean IS NULL OR administrator = $5)
        ORDER BY id
        LIMIT $6
        """,
        after,
        wanted.enabled,
        wanted.type,
        wanted.first_party,
        wanted.administrator,
        limit,
    )
    return [as_client(row) for row in rows]


async def page_of_users(
    connection: Connection, wanted: UserFilter, after: UUID | None, limit: int
) -> list[User]:
    """Users but the deleted, the oldest first."""
    rows = await connection.fetch(
        """
        SELECT id, username, email, full_name, avatar_url, roles, administrator, created_at,
               disabled_at
        FROM users
        WHERE deleted_at IS NULL
          AND ($1::uuid IS NULL OR id > $1)
          AND ($2::text IS NULL OR lower(username) = lower($2))
          AND ($3::text IS NULL OR lower(email) = lower($3))
          AND ($4::text IS NULL OR roles @> ARRAY[$4])
          AND ($5::boolean IS NULL OR (disabled_at IS NOT NULL) = $5)
          AND ($6::boolean IS NULL OR administrator = $6)
        ORDER BY id
        LIMIT $7
        """,
        after,
        wanted.username,
        wanted.email,
        wanted.role,
        wanted.disabled,
        wanted.administrator,
        limit,
    )
    return [as_user(row) for row in rows]


async def page_of_sessions(
    connection: Connection, wanted: SessionFilter, after: UUID | None, limit: int
) -> list[KnownSession]:
    """Sessions, the newest first. None of their secrets is read."""
    rows = await connection.fetch(
        """
        SELECT sessions.id, user_id, client_id, device, sessions.scopes, sessions.audiences, roles,
               amr, generation, auth_time, sessions.created_at, rotated_at AS last_used_at,
               idle_expires_at, expires_at,
               CASE
                   WHEN revoked_at IS NOT NULL THEN revoked_at
                   WHEN idle_expires_at <= clock_timestamp() THEN idle_expires_at
               END AS ended_at,
               CASE
                   WHEN revoked_at IS NOT NULL THEN revoked_reason
                   WHEN idle_expires_at <= clock_timestamp()
                       THEN CASE idle_expires_at WHEN expires_at THEN 'expired' ELSE 'not_used' END
                   WHEN client_epoch <> epoch OR NOT enabled THEN 'client_revoked'
               END AS ended_because
        FROM sessions
        JOIN clients ON clients.id = client_id
        WHERE ($1::uuid IS NULL OR sessions.id < $1)
          AND ($2::uuid IS NULL OR sessions.id = $2)
          AND ($3::uuid IS NULL OR user_id = $3)
          AND ($4::text IS NULL OR client_id = $4)
          AND (
              $5::boolean IS NULL
              OR (
                  revoked_at IS NULL
                  AND idle_expires_at > clock_timestamp()
                  AND client_epoch = epoch
                  AND enabled
              ) = $5
          )
        ORDER BY sessions.id DESC
        LIMIT $6
        """,
        after,
        wanted.id,
        wanted.user_id,
        wanted.client_id,
        wanted.living,
        limit,
    )
    return [KnownSession(**row) for row in rows]
