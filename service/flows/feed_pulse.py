"""The heartbeat over HTTP: signed for who asks, also while Redis or PostgreSQL is away."""

import time
from dataclasses import dataclass, replace

from service.keys.keyring import Keyring
from service.keys.sign import sign
from service.oauth.feed import HEARTBEAT_TYP, Heartbeat, heartbeat_claims
from service.oauth.signing_key import FEED

_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class _Beat:
    jws: str
    at: float


class FeedPulse:
    """Signs heartbeats: for each head one a second, however many ask."""

    def __init__(self, keyring: Keyring, issuer: str) -> None:
        self._keyring = keyring
        self._issuer = issuer
        self._beats: dict[tuple[str, str, int], _Beat] = {}
        self.newest: Heartbeat | None = None

    def see(self, heartbeat: Heartbeat) -> None:
        """A heartbeat that stands in Redis, or was signed here: none of ours may be older."""
        if self.newest is None or heartbeat.order > self.newest.order:
            self.newest = heartbeat

    def sign(self, heartbeat: Heartbeat) -> str:
        """The heartbeat, signed; or one over the same head that was signed within this second.

        Raises KeyringError when the signing key was killed and the next is not known yet.
        """
        signer, now = self._keyring.key_set(FEED).signer, time.monotonic()
        key = (signer.kid, heartbeat.epoch, heartbeat.head)
        beat = self._beats.get(key)
        if beat is None or now - beat.at >= _SECONDS:
            heartbeat = self._after_newest(heartbeat)
            self.see(heartbeat)
            jws = sign(signer, HEARTBEAT_TYP, heartbeat_claims(self._issuer, heartbeat))
            self._beats = {k: it for k, it in self._beats.items() if now - it.at < _SECONDS}
            beat = self._beats[key] = _Beat(jws, now)
        return beat.jws

    def _after_newest(self, heartbeat: Heartbeat) -> Heartbeat:
        """By a fail-over the clock may fall back by a minute; heartbeats must not go with it."""
        newest = self.newest
        if newest and newest.order[:2] == heartbeat.order[:2] and newest.time >= heartbeat.time:
            return replace(heartbeat, time=newest.time + 1)
        return heartbeat
