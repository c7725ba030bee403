"""Table users."""

from uuid import UUID

from service.sql.connection import Connection


async def upsert_demo_user(
    connection: Connection, user_id: UUID, *, username: str, email: str, password_hash: str
) -> None:
    """The user of a development database: made once, given the newest password."""
    await connection.execute(
        """
        INSERT INTO users (id, username, email, full_name, password_hash)
        VALUES ($1, $2, $3, 'Demo User', $4)
        ON CONFLICT (lower(username)) DO UPDATE SET password_hash = excluded.password_hash
        """,
        user_id,
        username,
        email,
        password_hash,
    )
