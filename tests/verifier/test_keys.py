"""The issuer's keys: where they come from, how often, and what is refused of them.

RS-5, RS-6, ATK-5, ATK-21, ATK-22.
"""

import asyncio
import json
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from watchword_verifier import KeysUnavailable, Options, UnknownKey
from watchword_verifier._engine import Engine
from watchword_verifier._key_set import HARD_LIMIT

from service.keys.jwk import public_jwk
from service.keys.sign import sign
from service.keys.signer import PrivateKey
from tests.conftest import AUDIENCE
from tests.verifier.issuer import FEED_KEYS, JWKS, METADATA, Answer, Issuer, serving
from tests.verifier.parts import Times

DAY = 24 * 3600.0


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with serving() as issuer:
        yield issuer


def token(issuer: Issuer, signer: PrivateKey | None = None, times: Times | None = None) -> str:
    now = int(times.wall if times else time.time())
    claims = {
        "iss": issuer.url,
        "sub": "orders",
        "aud": AUDIENCE,
        "client_id": "orders",
        "scope": "a",
        "iat": now,
        "exp": now + 300,
        "jti": str(uuid4()),
    }
    return sign(signer or issuer.signer, "at+jwt", claims)


class Opened:
    """An engine whose background stands still: a test fetches when it wants to."""

    def __init__(self, issuer: Issuer, times: Times | None = None, **options: Any) -> None:
        chosen = Options(issuer=issuer.url, audience=AUDIENCE, stale="accept", **options)
        self.engine = Engine(chosen, times.clock()) if times else Engine(chosen)
        self.keys = self.engine._keys

    async def __aenter__(self) -> Self:
        await self.engine._fetcher.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.engine._fetcher.__aexit__(None, None, None)

    async def verify(self, text: str) -> bool:
        await self.engine.verify(text, (), "accept", None)
        return True


async def test_keys_are_found_by_the_metadata(issuer: Issuer) -> None:
    async with Opened(issuer) as opened:
        with pytest.raises(KeysUnavailable):
            await opened.verify(token(issuer))
        assert await opened.keys.tokens.fetch()
        assert await opened.verify(token(issuer))
        assert await opened.keys.feed.fetch()
        assert list(opened.keys.feed.keys) == [issuer.feed_signer.kid]
    assert issuer.requests == {METADATA: 1, JWKS: 1, FEED_KEYS: 1}


@pytest.mark.parametrize(
    "document",
    [
        {"issuer": "https://evil.example", "jwks_uri": "https://evil.example/jwks"},
        {"issuer": "SAME/", "jwks_uri": "SAME" + JWKS},
        {"issuer": "SAME"},
        {"issuer": "SAME", "jwks_uri": 1},
        {"issuer": "SAME", "jwks_uri": "http://evil.example/jwks"},
        {"issuer": "SAME", "jwks_uri": "file:///etc/passwd"},
        {"issuer": "SAME", "jwks_uri": "https://a:b@evil.example/jwks"},
        [],
    ],
    ids=json.dumps,
)
async def test_metadata_of_another_issuer_is_refused(issuer: Issuer, document: object) -> None:
    """RS-6: keys come from the configured issuer alone, over TLS."""
    text = json.dumps(document).replace("SAME", issuer.url)
    issuer.answers[METADATA] = Answer(text.encode())
    async with Opened(issuer) as opened:
        assert not await opened.keys.tokens.fetch()
        assert opened.keys.tokens.keys == {}


def weak(bits: int, exponent: int = 65537) -> dict[str, Any]:
    return public_jwk(rsa.generate_private_key(exponent, bits).public_key())


GOOD = PrivateKey.generate().public_jwk
BAD_KEYS: dict[str, Any] = {
    "symmetric": {"kty": "oct", "k": "c2VjcmV0", "kid": "a", "alg": "HS256", "use": "sig"},
    "symmetric as RS256": {"kty": "oct", "k": "c2VjcmV0", "kid": "a", "alg": "RS256"},
    "private": {**GOOD, "d": "AQAB"},
    "RSA 1024": weak(1024),
    "exponent 3": weak(2048, 3),
    "exponent 1": {**GOOD, "e": "AQ"},
    "for encryption": {**GOOD, "use": "enc"},
    "to sign": {**GOOD, "key_ops": ["sign"]},
    "another algorithm": {**GOOD, "alg": "RS512"},
    "none": {**GOOD, "alg": "none"},
    "no algorithm": {name: it for name, it in GOOD.items() if name != "alg"},
    "no kid": {name: it for name, it in GOOD.items() if name != "kid"},
    "kid of another type": {**GOOD, "kid": 1},
    "kid with a path": {**GOOD, "kid": "../a"},
    "no modulus": {**GOOD, "n": ""},
    "modulus of another type": {**GOOD, "n": 1},
    "modulus that is no base64": {**GOOD, "n": "!"},
    "a curve that is not the algorithm's": {
        "kty": "EC",
        "crv": "P-384",
        "x": "AA",
        "y": "AA",
        "kid": "a",
        "alg": "ES256",
    },
    "a point off the curve": {
        "kty": "EC",
        "crv": "P-256",
        "x": "AA",
        "y": "AA",
        "kid": "a",
        "alg": "ES256",
    },
}


@pytest.mark.parametrize("name", BAD_KEYS)
async def test_atk_21_unfit_key_is_left_out(issuer: Issuer, name: str) -> None:
    """ATK-21: the good one beside it stays."""
    bad = {"kid": "a", **BAD_KEYS[name]} if name != "no kid" else BAD_KEYS[name]
    issuer.publish(issuer.signer.public_jwk, bad)
    async with Opened(issuer) as opened:
        assert await opened.keys.tokens.fetch()
        assert list(opened.keys.tokens.keys) == [issuer.signer.kid]


BAD_SETS = {
    "not JSON": Answer(b"<!doctype html><title>502</title>"),
    "a page, as 502": Answer(b"<!doctype html>", 502),
    "no object": Answer(b"[]"),
    "no list": Answer(b'{"keys":{}}'),
    "no keys": Answer(b'{"keys":[]}'),
    "a key that is none": Answer(b'{"keys":[1]}'),
    "duplicate names": Answer(b'{"keys":[],"keys":[]}'),
    "duplicate kid": Answer(json.dumps({"keys": [GOOD, {**GOOD, "kty": "EC"}]}).encode()),
    "only unfit keys": Answer(json.dumps({"keys": [BAD_KEYS["private"]]}).encode()),
    "10,000 keys": Answer(json.dumps({"keys": [{"kid": str(i)} for i in range(10_000)]}).encode()),
    "10 MB": Answer(b'{"keys":[' + b" " * 10_000_000 + b"]}"),
    "a redirect": Answer(b"", 302, {"location": "https://evil.example/jwks"}),
}


@pytest.mark.parametrize("name", BAD_SETS)
async def test_atk_21_unfit_set_changes_nothing(issuer: Issuer, name: str) -> None:
    """ATK-21: refused whole; the old set is kept."""
    async with Opened(issuer) as opened:
        assert await opened.keys.tokens.fetch()
        issuer.answers[JWKS] = BAD_SETS[name]
        assert not await opened.keys.tokens.fetch()
        assert await opened.verify(token(issuer))


async def test_atk_22_random_kids_cost_one_fetch(issuer: Issuer) -> None:
    """ATK-22, RS-5: shared by all who ask, none for 30 s after; known keys do not wait for it."""
    times, strangers = Times(wall=time.time()), [PrivateKey.generate() for _ in range(3)]
    good = token(issuer)
    async with Opened(issuer, times) as opened:
        await opened.keys.tokens.fetch()
        before, gate = issuer.requests[JWKS], threading.Event()
        issuer.publish(issuer.signer.public_jwk, hold=gate)
        for stranger in strangers:
            stranger.kid = str(uuid4())
        forged = [token(issuer, stranger) for stranger in strangers for _ in range(300)]
        tasks = [asyncio.create_task(opened.verify(text)) for text in forged]
        await asyncio.sleep(0)
        assert await opened.verify(good)
        gate.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(result) for result in results} == {UnknownKey}
        assert issuer.requests[JWKS] == before + 1
        times.pass_by(29)
        with pytest.raises(UnknownKey):
            await opened.verify(forged[0])
        assert issuer.requests[JWKS] == before + 1
        times.pass_by(2)
        issuer.publish(
            issuer.signer.public_jwk, {**strangers[0].public_jwk, "kid": strangers[0].kid}
        )
        assert await opened.verify(token(issuer, strangers[0]))
        assert issuer.requests[JWKS] == before + 2


async def test_keys_are_kept_for_a_day_while_the_issuer_is_away(issuer: Issuer) -> None:
    """RS-5: then 503, since nobody vouches for them any more."""
    times = Times(wall=time.time())
    async with Opened(issuer, times) as opened:
        await opened.keys.tokens.fetch()
        issuer.answers.clear()
        times.pass_by(DAY - 1)
        assert not await opened.keys.tokens.fetch()
        assert await opened.verify(token(issuer, times=times))
        times.pass_by(2)
        with pytest.raises(KeysUnavailable):
            await opened.verify(token(issuer, times=times))
    assert HARD_LIMIT == DAY


async def test_the_same_key_stays_the_same_object(issuer: Issuer) -> None:
    """By it, a remembered token knows that its key still holds."""
    async with Opened(issuer) as opened:
        await opened.keys.tokens.fetch()
        before = opened.keys.tokens.keys[issuer.signer.kid]
        await opened.keys.tokens.fetch()
        assert opened.keys.tokens.keys[issuer.signer.kid] is before


async def test_a_cancelled_caller_leaves_the_fetch_to_the_others(issuer: Issuer) -> None:
    async with Opened(issuer) as opened:
        gate = threading.Event()
        issuer.publish(issuer.signer.public_jwk, hold=gate)
        one, other = (asyncio.create_task(opened.keys.tokens.fetch()) for _ in range(2))
        await asyncio.sleep(0)
        one.cancel()
        gate.set()
        assert await other
        assert issuer.requests[JWKS] == 1


async def test_keys_survive_a_restart_while_the_issuer_is_away(
    issuer: Issuer, tmp_path: Path
) -> None:
    """With what was killed; the file is its owner's alone."""
    path, good = tmp_path / "keys.json", token(issuer)
    async with Opened(issuer, key_cache=path) as opened:
        await opened.keys.tokens.fetch()
        await opened.keys.feed.fetch()
        await _saved(opened)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    issuer.answers.clear()
    async with Opened(issuer, key_cache=path) as opened:
        await opened.keys.load_cache()
        assert await opened.verify(good)
        assert list(opened.keys.feed.keys) == [issuer.feed_signer.kid]
        opened.keys.kill([issuer.signer.kid])
        await _saved(opened)
    async with Opened(issuer, key_cache=path) as opened:
        await opened.keys.load_cache()
        assert opened.keys.tokens.killed == {issuer.signer.kid}
        assert opened.keys.tokens.keys == {}


async def _saved(opened: Opened) -> None:
    saving = opened.keys._saving
    assert saving is not None
    await saving


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"issuer":"https://other.example"}', "SAME,no", "SAME,old"]
)
async def test_a_cache_that_is_damaged_old_or_anothers_is_none(
    issuer: Issuer, tmp_path: Path, text: str
) -> None:
    path = tmp_path / "keys.json"
    members: dict[str, Any] = {"issuer": issuer.url, "fetched_at": time.time() - 2 * DAY}
    members |= {"tokens": json.dumps({"keys": [GOOD]}), "feed": "{}", "killed": []}
    if text == "SAME,no":
        del members["tokens"]
    path.write_text(json.dumps(members) if text.startswith("SAME") else text)
    async with Opened(issuer, key_cache=path) as opened:
        await opened.keys.load_cache()
        assert opened.keys.tokens.keys == {}


async def test_a_cache_that_cannot_be_written_is_no_fault(issuer: Issuer, tmp_path: Path) -> None:
    async with Opened(issuer, key_cache=tmp_path / "absent" / "keys.json") as opened:
        assert await opened.keys.tokens.fetch()
        await opened.keys.feed.fetch()
        await _saved(opened)
        assert await opened.verify(token(issuer))
