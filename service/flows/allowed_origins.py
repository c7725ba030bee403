"""Origins of first-party clients, for what names no client: a browser's preflight."""

from service.oauth.client import is_origin
from service.sql.clients import is_allowed_origin
from service.sql.connection import Database


async def is_some_origin(database: Database, origin: str) -> bool:
    """Whether some first-party client is served from that origin. Raises DatabaseUnavailable."""
    if not is_origin(origin):
        return False
    async with database.connection() as connection:
        return await is_allowed_origin(connection, origin)
