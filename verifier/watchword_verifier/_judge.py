"""Judging a token, without any I/O: the order of RS-3 and RS-4, then what the feed says."""

from hashlib import sha256

from watchword_verifier._cache import TokenCache, Verified
from watchword_verifier._claims import Claims
from watchword_verifier._clock import Clock
from watchword_verifier._errors import (
    BadSignature,
    Expired,
    KeysUnavailable,
    Malformed,
    Revoked,
    UnknownKey,
)
from watchword_verifier._facts import Facts, subject_of
from watchword_verifier._jws import MAX_TOKEN_LENGTH, parse_compact, parse_payload
from watchword_verifier._key_set import KeySet
from watchword_verifier._rules import Rules


class Judge:
    """Says what a token claims, if it is good. May be asked from any thread."""

    def __init__(
        self, rules: Rules, keys: KeySet, facts: Facts, clock: Clock, cache: TokenCache
    ) -> None:
        self._rules = rules
        self._keys = keys
        self._facts = facts
        self._wall = clock.wall
        self._monotonic = clock.monotonic
        self.cache = cache

    def judge(self, token: str) -> Claims:
        """The claims of a token that is good, but for what nobody has said of it yet.

        Raises InvalidToken (UnknownKey where fetching the keys again might help) and
        KeysUnavailable.
        """
        if len(token) > MAX_TOKEN_LENGTH or not token.isascii():  # before it is hashed
            raise Malformed("too long, or not ASCII")
        if not self._keys.is_usable(self._monotonic()):
            raise KeysUnavailable("the issuer's keys were not to be had, or are too old")
        digest = sha256(token.encode()).digest()
        verified = self.cache.find(digest)
        # A key that was dropped since takes its tokens along, cached or not.
        if verified is None or self._keys.keys.get(verified.key.kid) is not verified.key:
            verified = self._verify(token)
            self.cache.add(digest, verified)
        elif verified.expires_at <= self._wall() - self._rules.leeway:
            raise Expired("exp is over")
        verdict = self._facts.judge(verified.subject)
        if verdict is not None:
            raise verdict("the feed says so")
        return verified.claims

    def _verify(self, token: str) -> Verified:
        jws = parse_compact(token)
        self._rules.check_header(jws.header)
        kid = jws.header.kid
        key = self._keys.keys.get(kid)
        if key is None:
            if kid in self._keys.killed:
                raise Revoked("the key that signed it was killed")
            raise UnknownKey("the issuer does not publish the key that it names")
        if not key.verifies(jws):
            raise BadSignature("the signature is not the key's")
        claims = parse_payload(jws.payload)
        self._rules.check_claims(claims, self._wall())
        return Verified(Claims(claims), key, claims["exp"], subject_of(claims))
