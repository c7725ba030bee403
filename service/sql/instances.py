"""Table instances: the pods that are alive."""

from dataclasses import dataclass
from uuid import UUID

from service.sql.connection import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """A pod, as it reports itself: what it runs, and the ids of the master keys it holds."""

    id: UUID
    name: str
    release: str
    schema_number: int
    wrap_key_ids: list[str]
    refresh_key_ids: list[int]


async def upsert_instance(connection: Connection, pod: Instance) -> None:
    """Report a pod as alive."""
    await connection.execute(
        """
        INSERT INTO instances (id, name, release, schema_number, wrap_key_ids, refresh_key_ids)
        VALUES ($1, $2, $3, $4, $5, $6)
        ON CONFLICT (id) DO UPDATE SET last_seen_at = clock_timestamp()
        """,
        pod.id,
        pod.name,
        pod.release,
        pod.schema_number,
        pod.wrap_key_ids,
        pod.refresh_key_ids,
    )


async def delete_instance(connection: Connection, instance_id: UUID) -> None:
    """Report a pod as gone."""
    await connection.execute("DELETE FROM instances WHERE id = $1", instance_id)


async def list_living_instances(connection: Connection) -> list[Instance]:
    """Pods seen in the last minute."""
    rows = await connection.fetch(
        """
        SELECT id, name, release, schema_number, wrap_key_ids, refresh_key_ids
        FROM instances
        WHERE last_seen_at > clock_timestamp() - interval '60 seconds'
        ORDER BY name, id
        """
    )
    return [Instance(**row) for row in rows]


async def delete_dead_instances(connection: Connection) -> int:
    """Forget pods that were not seen for an hour; how many there were."""
    rows = await connection.fetch(
        """
        DELETE FROM instances
        WHERE last_seen_at < clock_timestamp() - interval '1 hour'
        RETURNING id
        """
    )
    return len(rows)
