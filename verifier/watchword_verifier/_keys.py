"""The issuer's keys: those that sign tokens and, apart from them, those that sign the feed."""

import asyncio
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from watchword_verifier._clock import Clock
from watchword_verifier._errors import Malformed
from watchword_verifier._fetch import Answer, Fetcher, Unreachable
from watchword_verifier._jwks import MAX_LENGTH, UnfitKeySet
from watchword_verifier._jws import parse_json_object
from watchword_verifier._key_cache import CachedKeys, read_cache, write_cache
from watchword_verifier._key_set import HARD_LIMIT, KeySet

# Between two fetches for the sake of unknown keys, seconds: RS-5, and the feed's contract. Token
# keys are published long before they sign; a feed key that follows a killed one signs at once, and
# the pod that was asked may hear of it a second later.
_TOKEN_COOL_DOWN, _FEED_COOL_DOWN = (30.0, 30.0), (1.0, 10.0)
_METADATA_AGE = 3600.0
_MAX_DEPTH = 8
# Algorithms of the feed's own keys, whatever those of tokens are.
_FEED_ALGORITHMS = ("RS256", "ES256")


class Keys:
    """Both key sets of one issuer, and the file in which they outlive this process."""

    def __init__(
        self, fetcher: Fetcher, algorithms: Collection[str], clock: Clock, cache: Path | None
    ) -> None:
        self._fetcher = fetcher
        self._clock = clock
        self._cache = cache
        self._jwks_uri = ""
        self._located_at = float("-inf")
        self._saving: asyncio.Task[None] | None = None
        self._unsaved = False
        self.tokens = KeySet("JWK Set", self._fetch_tokens, algorithms, clock, _TOKEN_COOL_DOWN)
        self.feed = KeySet(
            "feed's keys", self._fetch_feed, _FEED_ALGORITHMS, clock, _FEED_COOL_DOWN
        )
        self.tokens.on_change = self.feed.on_change = self._note_change
        self.on_change: Callable[[], object] = lambda: None

    def kill(self, kids: Collection[str]) -> None:
        """Drop killed token keys for good; the next one is published by then (DIST-6)."""
        if self.tokens.kill(kids):
            self.tokens.expect_change()

    async def load_cache(self) -> None:
        """Begin with what an earlier process left, if that is young enough."""
        if self._cache is None:
            return
        cached = await asyncio.to_thread(read_cache, self._cache, self._fetcher.issuer)
        if cached is None:
            return
        self.tokens.killed |= set(cached.killed)
        # A file from the future is no younger than one of just now.
        age = max(0.0, self._clock.wall() - cached.fetched_at)
        if age < HARD_LIMIT:
            for keys, document in ((self.tokens, cached.tokens), (self.feed, cached.feed)):
                with suppress(UnfitKeySet):
                    keys.load(document, age=age)

    async def run(self) -> None:
        """Keep both sets fresh until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.tokens.run())
            tasks.create_task(self.feed.run())

    async def _fetch_tokens(self, past_caches: bool) -> Answer:  # noqa: FBT001 (private)
        if self._clock.monotonic() - self._located_at > _METADATA_AGE:
            self._jwks_uri = await self._locate()
            self._located_at = self._clock.monotonic()
        try:
            return await self._get(self._jwks_uri, past_caches=past_caches)
        except Unreachable:
            self._located_at = float("-inf")  # it may have moved
            raise

    async def _fetch_feed(self, past_caches: bool) -> Answer:  # noqa: FBT001 (private)
        url = f"{self._fetcher.issuer}/.well-known/watchword-feed-keys.json"
        return await self._get(url, past_caches=past_caches)

    async def _locate(self) -> str:
        """The `jwks_uri` of the issuer's metadata (RFC 8414 §3), which must name this issuer."""
        issuer = self._fetcher.issuer
        parts = urlsplit(issuer)
        url = f"{parts.scheme}://{parts.netloc}/.well-known/oauth-authorization-server{parts.path}"
        try:
            document = parse_json_object((await self._get(url)).body, max_depth=_MAX_DEPTH)
        except Malformed as error:
            raise UnfitKeySet(f"the metadata is {error}") from None
        if document.get("issuer") != issuer:
            raise UnfitKeySet("the metadata names another issuer")
        jwks_uri = document.get("jwks_uri")
        if not isinstance(jwks_uri, str):
            raise UnfitKeySet("the metadata names no jwks_uri")
        return jwks_uri

    async def _get(self, url: str, *, past_caches: bool = False) -> Answer:
        headers = {"cache-control": "no-cache"} if past_caches else None
        return await self._fetcher.get(url, max_length=MAX_LENGTH, headers=headers)

    def _note_change(self) -> None:
        self.on_change()
        self._unsaved = True
        if self._cache is not None and (self._saving is None or self._saving.done()):
            self._saving = asyncio.create_task(self._save(self._cache))

    async def _save(self, path: Path) -> None:
        while self._unsaved:
            self._unsaved = False
            await asyncio.sleep(0)  # what changes together is written together
            age = max(self.tokens.age, self.feed.age)
            if age < HARD_LIMIT:
                cached = CachedKeys(
                    issuer=self._fetcher.issuer,
                    fetched_at=self._clock.wall() - age,
                    tokens=self.tokens.document,
                    feed=self.feed.document,
                    killed=tuple(sorted(self.tokens.killed)),
                )
                await asyncio.to_thread(write_cache, path, cached)
