"""The claims of a verified access token (RFC 9068 §2.2)."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from watchword_verifier._errors import InsufficientRole, InsufficientScope


class Claims(Mapping[str, Any]):
    """A verified token's claims: a frozen mapping, with the common ones as typed properties.

    Two are equal when their claims are. Lists and objects inside are as JSON gave them: don't
    change them, they may be handed to the next request too.
    """

    __slots__ = ("_members", "_scopes")

    def __init__(self, members: Mapping[str, Any]) -> None:
        self._members = dict(members)
        self._scopes = frozenset(str(members.get("scope", "")).split())

    def __getitem__(self, name: str) -> Any:
        return self._members[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)

    def __hash__(self) -> int:
        return hash(self.jti)

    def __repr__(self) -> str:
        return f"Claims(subject={self.subject!r}, client_id={self.client_id!r}, jti={self.jti!r})"

    @property
    def issuer(self) -> str:
        """`iss`."""
        return str(self._members["iss"])

    @property
    def subject(self) -> str:
        """`sub`: the user's id, or the client's where it acts for itself."""
        return str(self._members["sub"])

    @property
    def client_id(self) -> str:
        """`client_id`: who asked for the token."""
        return str(self._members["client_id"])

    @property
    def jti(self) -> str:
        """`jti`: the token's own id, fit for logs."""
        return str(self._members["jti"])

    @property
    def session_id(self) -> str | None:
        """`sid`: the session of a user's token; None for a client's own."""
        sid = self._members.get("sid")
        return None if sid is None else str(sid)

    @property
    def is_user(self) -> bool:
        """Whether a user stands behind the token, not the client alone (RS-8)."""
        return "sid" in self._members

    @property
    def scopes(self) -> frozenset[str]:
        """`scope`, split."""
        return self._scopes

    @property
    def roles(self) -> tuple[str, ...]:
        """`roles` of the user (RFC 9068 §2.2.3.1); none for a client's own token."""
        return tuple(self._members.get("roles", ())) if self.is_user else ()

    @property
    def issued_at(self) -> datetime:
        """`iat`, in UTC."""
        return datetime.fromtimestamp(self._members["iat"], UTC)

    @property
    def expires_at(self) -> datetime:
        """`exp`, in UTC."""
        return datetime.fromtimestamp(self._members["exp"], UTC)

    def has_scope(self, *names: str) -> bool:
        """Whether the token has every one of these scopes."""
        return self._scopes.issuperset(names)

    def require_scope(self, *names: str) -> None:
        """Raise InsufficientScope unless the token has every one of these scopes."""
        if not self._scopes.issuperset(names):
            raise InsufficientScope(*names)

    def has_role(self, *names: str) -> bool:
        """Whether the user has every one of these roles."""
        return set(self.roles).issuperset(names)

    def require_role(self, *names: str) -> None:
        """Raise InsufficientRole unless the user has every one of these roles."""
        if not self.has_role(*names):
            raise InsufficientRole(*names)
