"""Table clients, and client_secrets with it."""

from datetime import datetime, timedelta
from typing import Any

from service.oauth.client import Client
from service.oauth.registration import Registration
from service.sql.connection import Connection
from service.sql.rows import members_of


async def find_client(connection: Connection, client_id: str) -> Client | None:
    """The client with the digests of its live secrets."""
    row = await connection.fetchrow(
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
        WHERE id = $1
        """,
        client_id,
    )
    return None if row is None else as_client(row)


async def list_clients(connection: Connection) -> list[Client]:
    """All clients by id."""
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
        ORDER BY id
        """
    )
    return [as_client(row) for row in rows]


def as_client(row: Any) -> Client:
    """A row with the columns of a Client as one."""
    return Client(**members_of(row))


async def insert_client(connection: Connection, new: Registration) -> bool:
    """Whether the client was inserted; False when the id is taken. One winner per id."""
    row = await connection.fetchrow(
        """
        INSERT INTO clients (id, name, type, token_endpoint_auth_method, grant_types, audiences,
                             scopes, default_scopes, serves, access_token_ttl, session_idle_ttl,
                             session_absolute_ttl, grace, first_party, refresh_delivery,
                             allowed_origins, signing_alg, administrator, redirect_uris,
                             post_logout_redirect_uris, require_pkce, consent)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18,
                $19, $20, $21, $22)
        ON CONFLICT (id) DO NOTHING
        RETURNING id
        """,
        new.id,
        new.name,
        new.type,
        new.token_endpoint_auth_method,
        new.grant_types,
        new.audiences,
        new.scopes,
        new.default_scopes,
        new.serves,
        new.access_token_ttl,
        new.session_idle_ttl,
        new.session_absolute_ttl,
        new.grace,
        new.first_party,
        new.refresh_delivery,
        new.allowed_origins,
        new.signing_alg,
        new.administrator,
        new.redirect_uris,
        new.post_logout_redirect_uris,
        new.require_pkce,
        new.consent,
    )
    return row is not None


async def update_client(connection: Connection, new: Registration) -> bool:
    """Whether there is such a client, registered from here on as said; its type stays."""
    row = await connection.fetchrow(
        """
        UPDATE clients
        SET name = $2,
            grant_types = $3,
            audiences = $4,
            scopes = $5,
            default_scopes = $6,
            serves = $7,
            access_token_ttl = $8,
            session_idle_ttl = $9,
            session_absolute_ttl = $10,
            grace = $11,
            first_party = $12,
            refresh_delivery = $13,
            allowed_origins = $14,
            signing_alg = $15,
            administrator = $16,
            redirect_uris = $17,
            post_logout_redirect_uris = $18,
            require_pkce = $19,
            consent = $20
        WHERE id = $1 AND type = $21
        RETURNING id
        """,
        new.id,
        new.name,
        new.grant_types,
        new.audiences,
        new.scopes,
        new.default_scopes,
        new.serves,
        new.access_token_ttl,
        new.session_idle_ttl,
        new.session_absolute_ttl,
        new.grace,
        new.first_party,
        new.refresh_delivery,
        new.allowed_origins,
        new.signing_alg,
        new.administrator,
        new.redirect_uris,
        new.post_logout_redirect_uris,
        new.require_pkce,
        new.consent,
        new.type,
    )
    return row is not None


async def set_shadow(connection: Connection, client_id: str, ttl: timedelta | None) -> bool:
    """Whether there is such a client, in shadow mode for `ttl` from here on, or in none."""
    row = await connection.fetchrow(
        """
        UPDATE clients
        SET shadow_until = clock_timestamp() + $2::interval
        WHERE id = $1
        RETURNING id
        """,
        client_id,
        ttl,
    )
    return row is not None


async def list_allowed_origins(connection: Connection) -> list[str]:
    """The origins that first-party clients are served from."""
    rows = await connection.fetch(
        """
        SELECT DISTINCT unnest(allowed_origins) AS origin
        FROM clients
        WHERE first_party AND enabled
        """
    )
    return [row["origin"] for row in rows]


async def list_redirect_uris(connection: Connection) -> list[str]:
    """The redirect URIs of all clients that are not disabled."""
    rows = await connection.fetch(
        "SELECT DISTINCT unnest(redirect_uris) AS uri FROM clients WHERE enabled"
    )
    return [row["uri"] for row in rows]


async def list_signing_algorithms(connection: Connection) -> list[str]:
    """What the clients' tokens are signed with."""
    rows = await connection.fetch("SELECT DISTINCT signing_alg FROM clients")
    return [row["signing_alg"] for row in rows]


async def lock_client(connection: Connection, client_id: str) -> str | None:
    """The client's type, its row locked until the transaction ends; None if there is none."""
    return await connection.fetchval("SELECT type FROM clients WHERE id = $1 FOR UPDATE", client_id)


async def insert_secret(connection: Connection, client_id: str, digest: bytes) -> None:
    """A further live secret."""
    await connection.execute(
        "INSERT INTO client_secrets (client_id, digest) VALUES ($1, $2)", client_id, digest
    )


async def keep_newest_secret(connection: Connection, client_id: str, overlap: timedelta) -> None:
    """Delete all but the newest secret, which goes on for `overlap` and no longer."""
    await connection.execute(
        """
        DELETE FROM client_secrets
        WHERE client_id = $1
          AND digest <> (
              SELECT digest FROM client_secrets
              WHERE client_id = $1
              ORDER BY created_at DESC, digest
              LIMIT 1
          )
        """,
        client_id,
    )
    await connection.execute(
        """
        UPDATE client_secrets
        SET expires_at = least(expires_at, clock_timestamp() + $2)
        WHERE client_id = $1
        """,
        client_id,
        overlap,
    )


async def raise_epoch(connection: Connection, client_id: str, *, enabled: bool) -> int | None:
    """The client's epoch after raising it, by which all its tokens so far are void."""
    return await connection.fetchval(
        """
        UPDATE clients
        SET epoch = epoch + 1,
            enabled = enabled AND $2
        WHERE id = $1
        RETURNING epoch
        """,
        client_id,
        enabled,
    )


async def enable_client(connection: Connection, client_id: str) -> bool:
    """Whether there is such a client, enabled from here on."""
    row = await connection.fetchrow(
        "UPDATE clients SET enabled = true WHERE id = $1 RETURNING id", client_id
    )
    return row is not None


async def restore_epoch(
    connection: Connection, client_id: str, epoch: int, since: datetime
) -> int | None:
    """The client's epoch, at least the one that the database lost; None if there is no client.

    A revocation written after `since` was numbered without knowing of the lost one, so that it may
    have the same number and void nothing: then the epoch rises once more.
    """
    return await connection.fetchval(
        """
        UPDATE clients
        SET epoch = greatest($2, epoch) + CASE
                WHEN epoch >= $2 AND EXISTS (
                    SELECT FROM revocations
                    WHERE kind = 'client' AND subject = $1 AND version >= $2 AND created_at > $3
                )
                THEN 1
                ELSE 0
            END
        WHERE id = $1
        RETURNING epoch
        """,
        client_id,
        epoch,
        since,
    )
