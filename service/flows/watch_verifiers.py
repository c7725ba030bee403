"""How the verifiers do: for metrics, the command line, and a log line when one goes missing."""

from dataclasses import dataclass
from uuid import UUID

from service.metrics import Metrics
from service.oauth.receipt import BEHIND_AFTER, MISSING_AFTER, RECEIPT_TTL, KnownVerifier
from service.sql.connection import Database
from service.sql.feed import read_state
from service.sql.feed_receipts import find_due_number, list_verifiers
from service.telemetry import log

STATES = ("current", "behind", "missing")


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedVerifier:
    """A verifier, how many entries it is behind, and what that comes to."""

    verifier: KnownVerifier
    behind_by: int
    state: str


async def watch_verifiers(database: Database) -> list[WatchedVerifier]:
    """Every verifier that has not lapsed. Raises DatabaseUnavailable."""
    async with database.connection() as connection:
        state = await read_state(connection)
        due = await find_due_number(connection, BEHIND_AFTER)
        verifiers = await list_verifiers(connection, RECEIPT_TTL)
    if state is None:
        return []
    epoch, head = UUID(state.head.epoch), state.head.number
    return [
        WatchedVerifier(
            verifier=it,
            # In another epoch, nothing of this one was seen.
            behind_by=head - it.number if it.epoch == epoch else head,
            state=_state(it, epoch, due),
        )
        for it in verifiers
    ]


def _state(verifier: KnownVerifier, epoch: UUID, due: int) -> str:
    if verifier.age > MISSING_AFTER:
        return "missing"
    return "current" if verifier.has_seen(epoch, due) else "behind"


class VerifierWatch:
    """One pod's eye on the verifiers: gauges, and a line for each that goes missing or returns."""

    def __init__(self, database: Database, metrics: Metrics) -> None:
        self._database = database
        self._metrics = metrics
        self._missing: set[tuple[str, str]] = set()

    async def look(self) -> None:
        """Look once. Raises DatabaseUnavailable."""
        watched = await watch_verifiers(self._database)
        for state in STATES:
            count = sum(it.state == state for it in watched)
            self._metrics.verifiers.labels(state).set(count)
        known = {(it.verifier.client_id, it.verifier.name): it for it in watched}
        missing = {key for key, it in known.items() if it.state == "missing"}
        for client_id, name in missing - self._missing:
            seconds = round(known[client_id, name].verifier.age.total_seconds())
            log.warning("verifier_missing", client_id=client_id, name=name, silent_seconds=seconds)
        for client_id, name in self._missing - missing:
            event = "verifier_back" if (client_id, name) in known else "verifier_forgotten"
            log.info(event, client_id=client_id, name=name)
        self._missing = missing
