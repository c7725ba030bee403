"""A follower by the contract's rules, over the service's own reading of heartbeats and entries."""

from types import SimpleNamespace
from typing import Any

from service.flows.feed_reader import _follows, prove_entry, prove_heartbeat
from service.keys.key_store import KeyStore
from service.keys.keyring import Keyring
from service.keys.master_keys import MasterKeys
from service.oauth.feed import Entry, Head, Heartbeat, genesis, next_head
from service.oauth.jws import decode_base64url, encode_base64url
from service.oauth.revocation import Fact
from service.oauth.signing_key import FEED

Page = dict[str, Any]


class Follower:
    """What one has in memory; `take` answers as a verdict of the vectors does."""

    def __init__(self, *, max_staleness: int, leeway: int) -> None:
        self.max_staleness, self.leeway = max_staleness * 1000, leeway * 1000
        self.newest: Heartbeat | None = None
        self.heard_at, self.kept_up_at = 0, float("-inf")
        self.quickest = 0
        self.head = genesis("")
        self.sees_head = True
        self.facts: list[Fact] = []
        self.now, self.issuer, self.keyring = 0, "", public_keyring([])
        self.killed: set[str] = set()  # for tokens; of the feed's own keys the key set tells

    def take(self, page: Page, keys: dict[str, Any]) -> dict[str, Any]:
        """Take in what is found at a moment."""
        self.now, self.issuer = page["wall_clock_ms"], page["issuer"]
        self.keyring = public_keyring([keys[name] for name in page["keys"]])
        heard = None if page["heartbeat"] is None else self._hear(page["heartbeat"])
        taken = all(self._process(page["epoch"], jws) for jws in page["entries"])
        if taken and self.newest is not None and self._is_complete(self.newest):
            self.kept_up_at = self.heard_at
        self.facts = [fact for fact in self.facts if self._matters(fact)]
        fresh = self.now - self.kept_up_at < self.max_staleness
        entries = "taken" if taken else "refused"
        return {"heartbeat": heard, "entries": entries, "fresh": fresh}

    def judge(self, token: dict[str, Any]) -> str:
        """`revoked`, `refresh` or `good`, by the facts alone."""
        claims = token["claims"]
        of = {"jti": claims["jti"], "sid": claims.get("sid"), "client": claims["client_id"]}
        void = token["kid"] in self.killed
        for fact in self.facts:
            counts = fact.kind != "client" or claims.get("cep", 0) < fact.version
            void = void or (of.get(fact.kind) == fact.subject and counts)
        stale = any(
            (fact.kind, fact.subject) == ("stale", of["sid"]) and claims.get("cv", 0) < fact.version
            for fact in self.facts
        )
        return "revoked" if void else "refresh" if stale else "good"

    def _hear(self, jws: str) -> str:
        heartbeat = prove_heartbeat(jws, self.keyring, self.issuer)
        if heartbeat is None or not 1 <= heartbeat.floor <= heartbeat.head + 1:
            return "refused"
        if self.newest and heartbeat.order <= self.newest.order:
            return "ignored"
        if not self.newest and abs(self.now - heartbeat.time) > self.max_staleness + self.leeway:
            return "refused"
        self.killed |= set(heartbeat.killed_kids)
        is_new = self.newest is None or self.newest.epoch != heartbeat.epoch
        took = self.now - heartbeat.time  # drift apart: one clock in the vectors
        self.quickest = took if is_new else min(self.quickest, took)
        self.newest, self.heard_at = heartbeat, self.now - (took - self.quickest)
        if is_new or self.head.number < heartbeat.floor - 1:
            self._begin(heartbeat)
        return "accepted"

    def _begin(self, heartbeat: Heartbeat) -> None:
        digest = decode_base64url(heartbeat.digest) or b""
        self.head = Head(heartbeat.epoch, heartbeat.floor - 1, digest)
        self.sees_head = heartbeat.floor == heartbeat.head + 1
        if heartbeat.floor == 1:
            self.head, self.sees_head = genesis(heartbeat.epoch), True

    def _process(self, epoch: str, jws: str) -> bool:
        entry = prove_entry(jws, self.keyring, self.issuer)
        if entry is None or self.head.epoch != epoch or not _follows(entry, self._before(entry)):
            return False
        self.head, self.sees_head = next_head(self.head, jws), True
        self.facts += entry.facts
        self.killed |= {fact.subject for fact in entry.facts if fact.kind == "kid"}
        return self.newest is None or self._fits(self.newest)

    def _before(self, entry: Entry) -> Head:
        """The head that an entry has to follow."""
        if self.sees_head:
            return self.head
        return Head(self.head.epoch, self.head.number, decode_base64url(entry.prev) or b"")

    def _fits(self, heartbeat: Heartbeat) -> bool:
        """Whether the entry that the heartbeat names as its head is the one that was seen."""
        digest = encode_base64url(self.head.digest)
        return self.head.number != heartbeat.head or digest == heartbeat.digest

    def _is_complete(self, heartbeat: Heartbeat) -> bool:
        return self.head.number >= heartbeat.head and self._fits(heartbeat)

    def _matters(self, fact: Fact) -> bool:
        if fact.expires_at is None:
            return True
        return self.now <= fact.expires_at.timestamp() * 1000 + self.leeway


def public_keyring(jwks: list[dict[str, Any]]) -> Keyring:
    """A keyring that verifies the feed by these keys, and signs nothing."""
    keyring = Keyring(
        KeyStore(
            issuer="",
            master_keys=MasterKeys(wrap={}, refresh={}, current_wrap="", current_refresh=0),
        )
    )
    keyring._signers = {jwk["kid"]: SimpleNamespace(public_jwk=jwk) for jwk in jwks}  # pyright: ignore[reportAttributeAccessIssue]
    keyring._sets = {FEED: keyring._publish(None, [jwk["kid"] for jwk in jwks])}
    return keyring
