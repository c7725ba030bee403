"""Table authorization_requests: what clients asked for while a person signs in or decides."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from service.sql.connection import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRequest:
    """A request that was not answered yet. `parameters`: the query as it came."""

    client_id: str
    parameters: str
    browser_digest: bytes | None
    created_at: datetime


async def insert_request(
    connection: Connection,
    handle_digest: bytes,
    client_id: str,
    parameters: str,
    browser_digest: bytes | None,
    ttl: timedelta,
) -> None:
    """Keep a request. Without a browser it belongs to the one that first comes with its handle."""
    await connection.execute(
        """
        INSERT INTO authorization_requests (handle_digest, client_id, parameters, browser_digest,
                                            expires_at)
        VALUES ($1, $2, $3, $4, clock_timestamp() + $5::interval)
        """,
        handle_digest,
        client_id,
        parameters,
        browser_digest,
        ttl,
    )


async def find_request(connection: Connection, handle_digest: bytes) -> StoredRequest | None:
    """The request, if it is neither over nor answered."""
    row = await connection.fetchrow(
        """
        SELECT client_id, parameters, browser_digest, created_at
        FROM authorization_requests
        WHERE handle_digest = $1 AND answered_at IS NULL AND expires_at > clock_timestamp()
        """,
        handle_digest,
    )
    return None if row is None else StoredRequest(**row)


async def bind_request(
    connection: Connection, handle_digest: bytes, browser_digest: bytes
) -> bytes | None:
    """Give a request to a browser, unless one has it; whose it is. One winner."""
    return await connection.fetchval(
        """
        UPDATE authorization_requests
        SET browser_digest = coalesce(browser_digest, $2)
        WHERE handle_digest = $1
        RETURNING browser_digest
        """,
        handle_digest,
        browser_digest,
    )


async def answer_request(connection: Connection, handle_digest: bytes) -> bool:
    """Whether the request is answered by this: it is once (AUTHZ-18)."""
    row = await connection.fetchrow(
        """
        UPDATE authorization_requests
        SET answered_at = clock_timestamp()
        WHERE handle_digest = $1 AND answered_at IS NULL AND expires_at > clock_timestamp()
        RETURNING handle_digest
        """,
        handle_digest,
    )
    return row is not None


async def delete_old_requests(connection: Connection, limit: int) -> int:
    """Delete up to `limit` requests that are over; how many there were."""
    rows = await connection.fetch(
        """
        DELETE FROM authorization_requests
        WHERE handle_digest IN (
            SELECT handle_digest FROM authorization_requests
            WHERE expires_at < clock_timestamp()
            LIMIT $1
            FOR UPDATE SKIP LOCKED
        )
        RETURNING handle_digest
        """,
        limit,
    )
    return len(rows)
