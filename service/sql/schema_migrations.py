"""Table schema_migrations, which the migration runner writes."""

from service.sql.connection import Connection


async def has_migrations_table(connection: Connection) -> bool:
    """Whether anything was ever migrated here."""
    return await connection.fetchval("SELECT to_regclass('schema_migrations') IS NOT NULL")


async def list_applied(connection: Connection) -> list[tuple[int, str, str]]:
    """Number, phase and checksum of every applied migration."""
    rows = await connection.fetch(
        "SELECT number, phase, checksum FROM schema_migrations ORDER BY number"
    )
    return [(row["number"], row["phase"], row["checksum"]) for row in rows]
