"""A session: all that descends from one login of one user to one client on one device."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

# A user with more living sessions than this loses the one that was used least lately.
MAX_SESSIONS_PER_USER = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What the tokens of a session say, as one statement of PostgreSQL gave it at `now`.

    `client_epoch` is the client's epoch when the session began; `claims_version` counts changes
    of what the tokens say, such as roles.
    """

    id: UUID
    user_id: UUID
    client_id: str
    client_epoch: int
    generation: int
    scopes: tuple[str, ...]
    audiences: tuple[str, ...]
    roles: tuple[str, ...]
    claims_version: int
    auth_time: datetime
    acr: str | None
    amr: tuple[str, ...]
    idle_expires_at: datetime
    expires_at: datetime
    now: datetime

    @property
    def refresh_ttl(self) -> timedelta:
        """How long the newest refresh token can be used: to the nearer expiry."""
        return min(self.idle_expires_at, self.expires_at) - self.now
