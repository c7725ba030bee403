"""Sessions in a database of their own, and rotations of them by the service's own statement."""

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID

import asyncpg

from migrations.runner import migrate
from service.embedded.postgres import EmbeddedPostgres
from service.oauth.client import Client
from service.oauth.refresh_token import RefreshToken
from service.oauth.rotation import Presented
from service.sql.clients import find_client
from service.sql.connection import Database
from service.sql.sessions import rotate_session

WORKERS = 4

_PREPARE = """
    INSERT INTO clients (id, name, type, token_endpoint_auth_method, grant_types, audiences, scopes)
    VALUES ('app', 'App', 'public', 'none', '{refresh_token}', '{https://orders.example}', '{a}');
    INSERT INTO database_life (id, system_identifier)
    SELECT gen_random_uuid(), system_identifier FROM pg_control_system();
"""
_USERS = """
    INSERT INTO users (id)
    SELECT ('00000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid
    FROM generate_series(0, $1::bigint - 1) AS n
"""
# The sessions of a user lie apart, as people come, and ids grow, as those of the service do.
_SESSIONS = """
    INSERT INTO sessions (id, user_id, client_id, client_epoch, secret_digest, incarnation, scopes,
                          audiences, auth_time, idle_expires_at, expires_at)
    SELECT ('00000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid,
           ('00000000-0000-7000-8000-' || lpad(to_hex(n % $2::bigint), 12, '0'))::uuid,
           'app', 0, $3, life.id, '{a}', '{https://orders.example}', now(),
           now() + interval '7 days', now() + interval '30 days'
    FROM generate_series($4::bigint, $1::bigint - 1) AS n, database_life AS life
"""
_SESSIONS_OF_A_USER = 5
_AT_ONCE = 500_000
_SECRET = b"s" * 32

# The number of a session, and the generation of its token.
Turn = tuple[int, int]


@contextmanager
def embedded_postgres(**settings: str) -> Iterator[EmbeddedPostgres]:
    """PostgreSQL on a folder that is gone afterwards."""
    with (
        TemporaryDirectory(prefix="watchword-bench-") as folder,
        EmbeddedPostgres(Path(folder) / "postgres", settings=settings) as postgres,
    ):
        yield postgres


async def fill(url: str, sessions: int) -> None:
    """The schema, and so many sessions of a fifth as many users."""
    await migrate(url, report=lambda _: None)
    connection = await asyncpg.connect(url)
    await connection.execute(_PREPARE)
    users = max(1, sessions // _SESSIONS_OF_A_USER)
    await connection.execute(_USERS, users)
    digest = sha256(_SECRET).digest()
    for first in range(0, sessions, _AT_ONCE):
        last = min(first + _AT_ONCE, sessions)
        await connection.execute(_SESSIONS, last, users, digest, first)
    await connection.execute("VACUUM ANALYZE")
    await connection.execute("CHECKPOINT")
    await connection.close()


async def open_for_rotations(url: str) -> tuple[Database, Client]:
    """Connections as a pod has them, and the client of the sessions."""
    database = Database(url, connections=WORKERS, statement_cache=100)
    async with database.connection() as connection:
        client = await find_client(connection, "app")
    assert client is not None
    return database, client


async def rotate(database: Database, client: Client, shares: list[Iterable[Turn]]) -> None:
    """Rotate what each share says, a share for each connection."""
    await asyncio.gather(*(_rotate(database, client, share) for share in shares))


async def _rotate(database: Database, client: Client, turns: Iterable[Turn]) -> None:
    async with database.connection() as connection:
        for number, generation in turns:
            token = RefreshToken(
                key_id=1, session_id=_id(number), generation=generation, secret=_SECRET
            )
            presented = Presented(token=token, client=client)
            assert await rotate_session(connection, presented, "off", None) is not None


def _id(number: int) -> UUID:
    return UUID(f"00000000-0000-7000-8000-{number:012x}")
