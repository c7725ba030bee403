"""Tables database_life and database_history: which incarnation of the database this is."""

from dataclasses import dataclass
from uuid import UUID

from service.sql.connection import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What an incarnation stands on: the cluster, its timeline, and the table itself."""

    system_identifier: int
    timeline: str
    table_oid: int


async def read_ground(connection: Connection) -> Ground:
    """What this incarnation stands on."""
    row = await connection.fetchrow(
        """
        SELECT system_identifier,
               left(pg_walfile_name(pg_current_wal_lsn()), 8) AS timeline,
               'database_life'::regclass::oid AS table_oid
        FROM pg_control_system()
        """
    )
    if row is None:
        raise AssertionError("pg_control_system: no row")
    return Ground(**row)


async def read_history(connection: Connection) -> Ground | None:
    """What the last incarnation stood on; None in a new database."""
    row = await connection.fetchrow(
        "SELECT system_identifier, timeline, table_oid FROM database_history"
    )
    return None if row is None else Ground(**row)


async def find_life(connection: Connection) -> UUID | None:
    """The incarnation's id; None when a new one has to begin."""
    return await connection.fetchval(
        """
        SELECT id FROM database_life
        WHERE system_identifier = (SELECT system_identifier FROM pg_control_system())
          AND table_oid = 'database_life'::regclass::oid
        """
    )


async def end_life(connection: Connection, life: UUID) -> None:
    """End an incarnation that still lives; one is due to begin."""
    await connection.execute("DELETE FROM database_life WHERE id = $1", life)


async def replace_life(connection: Connection, life: UUID, ground: Ground) -> None:
    """Begin an incarnation, under the lock of the feed's row."""
    await connection.execute("DELETE FROM database_life")
    await connection.execute(
        "INSERT INTO database_life (id, system_identifier, table_oid) VALUES ($1, $2, $3)",
        life,
        ground.system_identifier,
        ground.table_oid,
    )
    await connection.execute(
        """
        INSERT INTO database_history (system_identifier, timeline, table_oid)
        VALUES ($1, $2, $3)
        ON CONFLICT (only_row) DO UPDATE
        SET system_identifier = excluded.system_identifier,
            timeline = excluded.timeline,
            table_oid = excluded.table_oid
        """,
        ground.system_identifier,
        ground.timeline,
        ground.table_oid,
    )
