"""Which claims make an access token good here: RS-3, RS-4 (RFC 9068 §4, RFC 8725 §3)."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from watchword_verifier._errors import (
    Expired,
    Malformed,
    NotYetValid,
    WrongAudience,
    WrongIssuer,
)
from watchword_verifier._jws import Header

_TYPES = frozenset({"at+jwt", "application/at+jwt"})
# The longest life that the server gives a token, seconds: no setting of it exceeds this.
MAX_LIFETIME = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What one resource server demands of a token. `leeway`: seconds that clocks may differ."""

    issuer: str
    audience: str
    algorithms: Collection[str]
    leeway: float
    multiple_audiences: bool

    def check_header(self, header: Header) -> None:
        """Raise Malformed unless this is an access token, by an algorithm that is allowed."""
        if header.typ.lower() not in _TYPES:
            raise Malformed("typ is not at+jwt")
        if header.alg not in self.algorithms:
            raise Malformed("alg is not allowed")

    def check_claims(self, claims: Mapping[str, Any], now: float) -> None:
        """Judge the claims of a token whose signature is proven, at a moment (seconds since 1970).

        Raises Malformed, WrongIssuer, WrongAudience, Expired, NotYetValid.
        """
        if claims.get("iss") != self.issuer:
            raise WrongIssuer("iss is another issuer")
        self._check_audience(claims.get("aud"))
        self._check_times(claims, now)
        _check_names(claims)
        if "sid" in claims:
            _check_session(claims)
        if "cnf" in claims:
            # Bound to a key (RFC 7800): as a bearer token it would be worth stealing.
            raise Malformed("the token is bound to a key, which can't be checked here")

    def _check_audience(self, audience: object) -> None:
        listed = [audience] if isinstance(audience, str) else audience
        if not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
            raise WrongAudience("aud is no name")
        if len(listed) > 1 and not self.multiple_audiences:
            raise WrongAudience("aud names several resource servers")
        if self.audience not in listed:
            raise WrongAudience("aud is another resource server")

    def _check_times(self, claims: Mapping[str, Any], now: float) -> None:
        issued_at, expires_at = claims.get("iat"), claims.get("exp")
        if type(issued_at) is not int or type(expires_at) is not int or issued_at < 0:
            raise Malformed("iat and exp must be integers")
        if not 0 < expires_at - issued_at <= MAX_LIFETIME:
            raise Malformed("the time from iat to exp is not that of an access token")
        if expires_at <= now - self.leeway:
            raise Expired("exp is over")
        not_before = claims.get("nbf", issued_at)
        if type(not_before) is not int:
            raise Malformed("nbf must be an integer")
        if max(issued_at, not_before) > now + self.leeway:
            raise NotYetValid("iat or nbf is in the future")


def _check_names(claims: Mapping[str, Any]) -> None:
    for name in ("sub", "client_id", "jti", "scope"):
        if not _is_name(claims.get(name)):
            raise Malformed(f"{name} is no name")
    if not _is_count(claims.get("cep", 0)):
        raise Malformed("cep is no count")
    if "sid" not in claims and claims["sub"] != claims["client_id"]:
        # Only a session's token speaks for somebody else than its client (RFC 9700 §4.15).
        raise Malformed("a token of no session, for another subject than its client")


def _check_session(claims: Mapping[str, Any]) -> None:
    session_id, roles = claims["sid"], claims.get("roles", [])
    if not _is_name(session_id):
        raise Malformed("sid is no name")
    if not _is_count(claims.get("cv", 0)):
        raise Malformed("cv is no count")
    if not isinstance(roles, list) or not all(isinstance(role, str) for role in roles):
        raise Malformed("roles is no list of names")


def _is_name(value: object) -> bool:
    """Whether it is visible ASCII: what a token of this issuer names is, and every log can hold."""
    return isinstance(value, str) and value != "" and value.isascii() and value.isprintable()


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < 1 << 53
