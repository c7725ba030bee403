"""What a refresh token that was not simply rotated is: the verdicts, in their order.

A counter decides, never a clock alone: RFC 9700 §4.14.2. docs/explanation/refresh-tokens.md.
"""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from hmac import compare_digest
from uuid import UUID

from service.oauth.client import Client
from service.oauth.refresh_token import RefreshToken
from service.oauth.session import Session


class Verdict(StrEnum):
    """What becomes of a presentation."""

    ROTATED = "rotated"
    RETRIED = "retried"
    HEALED = "healed"
    REUSE = "reuse"
    IMPOSSIBLE = "impossible"
    WRONG_CLIENT = "wrong_client"
    MALFORMED = "malformed"
    DEAD = "dead"
    BEYOND = "beyond"
    AGAIN = "again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Presented:
    """A refresh token as it was presented: by whom, and what for.

    `scopes` and `audiences` are those asked for, () for all that the session has; `is_beyond`: the
    request asks for what no session can have.
    """

    token: RefreshToken
    client: Client
    scopes: tuple[str, ...] = ()
    audiences: tuple[str, ...] = ()
    is_beyond: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """The session's row as a second statement found it, with what that statement worked out.

    `age` is the time since the last rotation, `life` the database's incarnation and `incarnation`
    that of the row's last rotation. `is_ended`: revoked, expired, or of a client that was.
    """

    session: Session
    secret_digest: bytes
    incarnation: UUID
    life: UUID
    age: timedelta
    is_ended: bool
    is_bound: bool
    in_shadow: bool

    def has_secret(self, token: RefreshToken) -> bool:
        """Whether the token is of this session, and not of somebody who only has our key."""
        return compare_digest(self.secret_digest, token.secret_digest)


def judge(presented: Presented, stored: Stored | None) -> Verdict:
    """The verdict on a presentation that rotated nothing.

    HEALED and IMPOSSIBLE are about a token that the row does not know yet: the first where lost
    writes explain it. BEYOND: scope or audience that the session does not have, for a token that
    would else be good. AGAIN: nothing speaks against it, so another rotation slipped between.
    """
    if stored is None or not stored.has_secret(presented.token):
        return Verdict.DEAD
    if stored.session.client_id != presented.client.id:
        return Verdict.WRONG_CLIENT
    if stored.is_ended or stored.is_bound:
        return Verdict.DEAD
    verdict = _judge_generation(presented, stored)
    if verdict in _GOOD and _is_beyond(presented, stored.session):
        return Verdict.BEYOND
    return verdict


_GOOD = frozenset({Verdict.RETRIED, Verdict.HEALED, Verdict.AGAIN})


def _judge_generation(presented: Presented, stored: Stored) -> Verdict:
    behind = stored.session.generation - presented.token.generation
    if behind == 1 and stored.age < presented.client.grace:
        return Verdict.RETRIED
    if behind > 0:
        return Verdict.REUSE
    if behind == 0:
        return Verdict.AGAIN
    return Verdict.HEALED if stored.incarnation != stored.life else Verdict.IMPOSSIBLE


def _is_beyond(presented: Presented, session: Session) -> bool:
    return (
        presented.is_beyond
        or not set(presented.scopes) <= set(session.scopes)
        or not set(presented.audiences) <= set(session.audiences)
    )
