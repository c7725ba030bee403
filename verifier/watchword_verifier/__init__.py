"""Verify Watchword's access tokens where they are used: no call, revoked within milliseconds.

async with Verifier(issuer="https://auth.example", audience="https://orders.example") as verifier:
    claims = await verifier.verify(token)
"""

from watchword_verifier._bearer import (
    bearer_token,
    metadata_path,
    metadata_url,
    protected_resource_metadata,
)
from watchword_verifier._claims import Claims
from watchword_verifier._errors import (
    BadSignature,
    Expired,
    Forbidden,
    InsufficientRole,
    InsufficientScope,
    InvalidRequest,
    InvalidToken,
    KeysUnavailable,
    Malformed,
    MissingToken,
    NotYetValid,
    RefreshRequired,
    RevocationsStale,
    Revoked,
    TokenError,
    Unavailable,
    UnknownKey,
    VerifierError,
    WrongAudience,
    WrongIssuer,
)
from watchword_verifier._options import Options
from watchword_verifier._status import Status
from watchword_verifier._sync import SyncVerifier
from watchword_verifier._verifier import Verifier

__all__ = [
    "BadSignature",
    "Claims",
    "Expired",
    "Forbidden",
    "InsufficientRole",
    "InsufficientScope",
    "InvalidRequest",
    "InvalidToken",
    "KeysUnavailable",
    "Malformed",
    "MissingToken",
    "NotYetValid",
    "Options",
    "RefreshRequired",
    "RevocationsStale",
    "Revoked",
    "Status",
    "SyncVerifier",
    "TokenError",
    "Unavailable",
    "UnknownKey",
    "Verifier",
    "VerifierError",
    "WrongAudience",
    "WrongIssuer",
    "bearer_token",
    "metadata_path",
    "metadata_url",
    "protected_resource_metadata",
]
