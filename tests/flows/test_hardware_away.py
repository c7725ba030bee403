"""Hardware that is away, slow, or lacks an algorithm: what needs none of it goes on. JWKS-7."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from service.flows import load_keys as load_keys_module
from service.flows.import_key import UnfitKey, import_key
from service.flows.load_keys import create_missing_keys, renew_keys
from service.flows.manage_clients import create_client
from service.flows.rotate_keys import rotate_keys
from service.keys.key_store import KeyStore
from service.keys.keyring import Keyring, TokenKeysUnusable
from service.keys.signer import PrivateKey, Signer, SignerUnavailable
from service.oauth.signing_key import ES256, FEED, RS256, TOKEN, SigningKey
from service.sql.connection import Connection
from service.sql.signing_keys import list_signing_keys
from tests.conftest import REGISTRATION, MakeSettings, until
from tests.faults.parts import Parts, next_heartbeat, open_parts
from tests.keys.pem import pem


class Token:
    """Hardware for tests: keeps keys in memory; `lacks` the algorithms that it can't make."""

    def __init__(self, *lacks: str) -> None:
        self.lacks = lacks
        self.kept: dict[str, PrivateKey] = {}
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.threads: set[threading.Thread] = set()

    def generate(self, alg: str, bits: int) -> dict[str, Any]:
        self.threads.add(threading.current_thread())
        self.may_answer.wait(20)
        if alg in self.lacks:
            raise SignerUnavailable(f"no {alg} here")
        key = PrivateKey.generate(alg, bits)
        self.kept[key.kid] = key
        return key.public_jwk

    def open(self, public_jwk: dict[str, Any]) -> Signer | None:
        return self.kept.get(public_jwk["kid"])

    def check(self) -> str:
        return "the token"

    def destroy(self, public_jwk: dict[str, Any]) -> None:
        self.threads.add(threading.current_thread())
        del self.kept[public_jwk["kid"]]


@pytest.fixture
async def parts(make_settings: MakeSettings) -> AsyncIterator[Parts]:
    """With keys in PostgreSQL; what is made from here on is made in hardware."""
    async with open_parts(await make_settings()) as parts:
        await parts.keeper.tick()
        yield parts


def use(parts: Parts, token: Token) -> KeyStore:
    parts.keyring.store = replace(parts.keyring.store, hardware=token)
    return parts.keyring.store


async def listed(parts: Parts, purpose: str = TOKEN) -> list[SigningKey]:
    async with parts.database.connection() as connection:
        return [it for it in await list_signing_keys(connection) if it.purpose == purpose]


async def rotate(parts: Parts, purpose: str = TOKEN) -> str:
    rotation = await rotate_keys(
        parts.database, parts.settings.key_times, purpose=purpose, now=True
    )
    return rotation.kid


async def test_the_keys_that_there_are_go_on_where_the_next_can_not_be_made(parts: Parts) -> None:
    """Or every pod would stop ten minutes after a rotation, with a good key in its hands."""
    use(parts, Token(RS256))
    kid = await rotate(parts)
    asked = time.monotonic()
    with pytest.raises(SignerUnavailable):
        await renew_keys(parts.database, parts.keyring)
    assert parts.keyring.age(monotonic=asked) <= 0
    signer = parts.keyring.token_signer(RS256)
    assert signer is not None
    assert signer.kid == kid


async def test_an_algorithm_that_hardware_lacks_keeps_no_other_from_being_made(
    parts: Parts,
) -> None:
    token = Token(ES256)
    store = use(parts, token)
    client = replace(REGISTRATION, id="wants-es256", signing_alg=ES256)
    await create_client(parts.database, client, parts.settings.issuer)
    await rotate(parts)
    for _ in range(2):
        with pytest.raises(SignerUnavailable):
            await create_missing_keys(parts.database, store)
    (pending,) = [it for it in await listed(parts) if it.state == "pending"]
    assert list(token.kept) == [pending.kid]


async def test_heartbeats_go_on_where_the_next_key_can_not_be_made(parts: Parts) -> None:
    """Verifiers that hear nothing would refuse every token."""
    use(parts, Token(RS256))
    await rotate(parts)
    await next_heartbeat(parts)


async def test_a_pod_that_lacks_the_settings_of_hardware_goes_on_with_the_feed(
    parts: Parts,
) -> None:
    """As in a roll-out that brings them: no new key can be used there, and no fact is missed."""
    elsewhere = replace(parts.keyring.store, hardware=Token())
    for _ in range(2):
        kid = await rotate(parts)
        await create_missing_keys(parts.database, elsewhere)
    asked = time.monotonic()
    for _ in range(2):
        await parts.keeper.tick()
    await next_heartbeat(parts)
    assert parts.keyring.age(monotonic=asked) > 0
    with pytest.raises(TokenKeysUnusable, match=f"{kid} is kept in hardware: set WATCHWORD_PKCS11"):
        await renew_keys(parts.database, parts.keyring)


async def test_heartbeats_wait_for_no_key_that_is_being_made(parts: Parts) -> None:
    token = Token()
    use(parts, token)
    await rotate(parts)
    running = asyncio.create_task(parts.keeper.run())
    token.may_answer.clear()
    try:
        await until(lambda: token.threads)
        await next_heartbeat(parts)
        assert token.kept == {}
        token.may_answer.set()
        await until(lambda: parts.keyring.listed[-1].kid in token.kept)
    finally:
        token.may_answer.set()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_keys_of_the_feed_need_no_hardware(parts: Parts) -> None:
    """A key that took over in hardware, which is away now: another pod's, as this one sees it."""
    token = Token()
    store = use(parts, token)
    await rotate(parts)
    await create_missing_keys(parts.database, store)
    await rotate(parts)

    def away(_: dict[str, Any]) -> None:
        raise SignerUnavailable("away")

    token.open = away
    kid = await rotate(parts, FEED)
    await next_heartbeat(parts)
    assert parts.keyring.key_set(FEED).signer.kid == kid
    fresh = Keyring(store)
    with pytest.raises(SignerUnavailable):
        await renew_keys(parts.database, fresh)
    assert not fresh.is_loaded()
    assert not fresh.is_confirmed(monotonic=time.monotonic())


async def test_a_key_that_came_too_late_is_deleted_beside_the_event_loop(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And one that can't be deleted, since nobody uses it, keeps nothing else from being done."""
    token = Token()
    store = use(parts, token)
    await rotate(parts)

    async def late(*_: object) -> bool:
        return False

    monkeypatch.setattr(load_keys_module, "insert_signing_key", late)
    await create_missing_keys(parts.database, store)
    assert token.kept == {}
    assert threading.main_thread() not in token.threads

    def fail(_: dict[str, Any]) -> None:
        raise SignerUnavailable("away")

    token.destroy = fail
    await create_missing_keys(parts.database, store)


async def test_an_import_that_another_key_forestalled_says_so(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pod makes the next key in the same moment: no lock is on a row that is not there yet."""
    await rotate(parts)
    seen = list_signing_keys

    async def before(connection: Connection) -> list[SigningKey]:
        keys = await seen(connection)
        await create_missing_keys(parts.database, parts.keyring.store)
        return keys

    monkeypatch.setattr("service.flows.import_key.list_signing_keys", before)
    text = pem(rsa.generate_private_key(65537, 2048))
    with pytest.raises(UnfitKey, match="try again"):
        await import_key(parts.database, parts.keyring.store, text, TOKEN)
    assert PrivateKey.load_pem(text).kid not in {it.kid for it in await listed(parts)}
