"""Taking facts back that the database lost, with what they stand for."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from service.oauth.feed import Entry
from service.oauth.revocation import CLIENT_FACT_TTL, Fact, Revocation
from service.sql.clients import restore_epoch
from service.sql.connection import Connection
from service.sql.lost_sessions import restore_claims_versions, restore_ends
from service.sql.revocations import insert_revocation, restore_revocations
from service.sql.signing_keys import activate_pending_key, restore_death


@dataclass(frozen=True, slots=True)
class Concerned:
    """Clients and users whose facts were taken back: more about them may be lost."""

    clients: list[str]
    users: list[UUID]


async def restore_entries(
    connection: Connection, entries: Sequence[Entry], database_read_at: int
) -> Concerned:
    """Take back what the entries say; whom they are about.

    `database_read_at`, in milliseconds, is a moment before which nothing was lost.
    """
    since = datetime.fromtimestamp(database_read_at / 1000, UTC)
    clients: set[str] = set()
    users: set[UUID] = set()
    for entry in entries:
        facts = entry.facts
        # First what they stand for: a revocation, too, locks the client before it writes the fact.
        users |= await _restore_sessions(connection, facts)
        for fact in facts:
            await _restore(connection, fact, since)
        await restore_revocations(connection, facts)
        clients |= {fact.subject for fact in facts if fact.kind == "client"}
    return Concerned(sorted(clients), sorted(users))


async def restore_kids(connection: Connection, kids: Sequence[str]) -> None:
    """Take back the deaths of signing keys; the pending ones take their place at once."""
    for kid in kids:
        await _restore_death(connection, kid)
    await restore_revocations(connection, [Fact("kid", kid, 0, None) for kid in kids])


async def _restore_death(connection: Connection, kid: str) -> None:
    if kind := await restore_death(connection, kid):
        await activate_pending_key(connection, *kind)


async def _restore(connection: Connection, fact: Fact, since: datetime) -> None:
    match fact.kind:
        case "client":
            await _restore_client(connection, fact, since)
        case "kid":
            await _restore_death(connection, fact.subject)
        case _:  # `jti`: access tokens are not stored; `sid` and `stale` were taken back together
            pass


async def _restore_sessions(connection: Connection, facts: Sequence[Fact]) -> set[UUID]:
    """In a statement for each kind: there may be tens of thousands. Whose sessions they are."""
    users: set[UUID] = set()
    if ended := [UUID(fact.subject) for fact in facts if fact.kind == "sid"]:
        users |= await restore_ends(connection, ended)
    if stale := [fact for fact in facts if fact.kind == "stale"]:
        users |= await restore_claims_versions(
            connection,
            [UUID(fact.subject) for fact in stale],
            [fact.version for fact in stale],
        )
    return users


async def _restore_client(connection: Connection, fact: Fact, since: datetime) -> None:
    epoch = await restore_epoch(connection, fact.subject, fact.version, since)
    if epoch is not None and epoch > fact.version:
        raised = Revocation(
            kind="client",
            subject=fact.subject,
            version=epoch,
            client_id=fact.subject,
            ttl=CLIENT_FACT_TTL,
            reason="taken back from the feed",
            actor="recovery",
        )
        await insert_revocation(connection, raised)
