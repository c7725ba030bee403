"""The keyring: what it takes over from the database, and what it says of what it can't use."""

import json
import time
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from service.app import App, create_app
from service.keys.key_store import KeyStore
from service.keys.keyring import CONFIRMED_TTL_SECONDS, Keyring, KeyringError
from service.keys.master_keys import MasterKeys, read_master_keys
from service.keys.sign import sign
from service.keys.signer import PrivateKey
from service.keys.wrapping import associated_data, wrap
from service.oauth.jws import CompactJws, encode_base64url, parse_compact
from service.oauth.signing_key import FEED, RS256, TOKEN, SigningKey
from service.settings import Settings
from service.sql.signing_keys import list_signing_keys
from tests.conftest import MakeClient, http_to

ISSUER = "https://auth.example.com"
MASTER_KEYS = MasterKeys(
    wrap={"1": b"1" * 32, "2": b"2" * 32}, refresh={}, current_wrap="1", current_refresh=1
)
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def generate(purpose: str, state: str) -> SigningKey:
    store = KeyStore(issuer=ISSUER, master_keys=MASTER_KEYS)
    return store.generate(purpose, RS256, state=state, activates_at=NOW)


@pytest.fixture(scope="module")
def made() -> dict[str, SigningKey]:
    """Generated once: it takes the longest."""
    return {
        "active": generate(TOKEN, "active"),
        "pending": generate(TOKEN, "pending"),
        "feed": generate(FEED, "active"),
    }


def keyring(issuer: str = ISSUER, master_keys: MasterKeys = MASTER_KEYS) -> Keyring:
    return Keyring(KeyStore(issuer=issuer, master_keys=master_keys))


def loaded(*keys: SigningKey) -> Keyring:
    ring = keyring()
    ring.load(keys, monotonic=0)
    return ring


@pytest.fixture(scope="module")
def ring(made: dict[str, SigningKey]) -> Keyring:
    """All of them, loaded once; for tests that change nothing."""
    return loaded(*made.values())


def parsed(token: str) -> CompactJws:
    jws = parse_compact(token)
    assert jws is not None
    return jws


def kids(ring: Keyring, purpose: str) -> list[str]:
    return [key["kid"] for key in json.loads(ring.key_set(purpose).jwks)["keys"]]


def test_new_key_is_wrapped_under_the_current_master_key(made) -> None:
    """JWKS-7: nothing of the private half is in clear."""
    key = made["active"]
    assert (key.alg, key.purpose, key.state, key.wrap_key_id) == ("RS256", TOKEN, "active", "1")
    public = json.loads(key.public_jwk)
    assert public["kid"] == key.kid
    assert set(public) == {"kty", "n", "e", "kid", "use", "alg"}
    with pytest.raises((ValueError, TypeError)):
        PrivateKey.load(key.wrapped_private_key[12:])


def test_active_key_signs_and_all_are_published(made, ring: Keyring) -> None:
    """JWKS-4, JWKS-5: the next key is in the set before it signs; purposes are apart."""
    assert ring.is_loaded()
    assert ring.faults == []
    assert kids(ring, TOKEN) == [made["active"].kid, made["pending"].kid]
    assert kids(ring, FEED) == [made["feed"].kid]
    assert ring.key_set(TOKEN).signer.kid == made["active"].kid
    assert ring.key_set(FEED).signer.kid == made["feed"].kid


def test_nothing_is_there_before_the_first_load() -> None:
    ring = keyring()
    assert not ring.is_loaded()
    assert not ring.is_confirmed(monotonic=0)
    with pytest.raises(KeyError):
        ring.key_set(TOKEN)


def test_etag_changes_with_the_set_and_only_then(made, ring: Keyring) -> None:
    """JWKS-1: the same on every pod."""
    other = loaded(*made.values())
    assert other.key_set(TOKEN).etag == ring.key_set(TOKEN).etag
    other.load([made["active"], made["feed"]], monotonic=0)
    assert other.key_set(TOKEN).etag != ring.key_set(TOKEN).etag
    assert other.key_set(FEED).etag == ring.key_set(FEED).etag


def test_retiring_key_verifies_and_removed_key_does_not(made, ring: Keyring) -> None:
    """JWKS-4, JWKS-6, ATK-7."""
    old, new = made["active"], replace(made["pending"], state="active")
    jws = parsed(sign(ring.key_set(TOKEN).signer, "at+jwt", {}))
    ring = loaded(replace(old, state="retiring"), new, made["feed"])
    assert ring.key_set(TOKEN).signer.kid == new.kid
    assert old.kid in kids(ring, TOKEN)
    assert ring.verify(jws, TOKEN)
    ring.load([replace(old, state="removed"), new, made["feed"]], monotonic=0)
    assert kids(ring, TOKEN) == [new.kid]
    assert not ring.verify(jws, TOKEN)


def test_missing_wrap_key_is_named(made) -> None:
    """An active key is needed: KeyringError says which file is missing."""
    poor = replace(MASTER_KEYS, wrap={"2": b"2" * 32}, current_wrap="2")
    with pytest.raises(KeyringError) as fault:
        keyring(master_keys=poor).load(list(made.values()), monotonic=0)
    assert made["active"].kid in str(fault.value)
    assert "wrap-1.key is not in the keys folder" in str(fault.value)
    assert len(str(fault.value).splitlines()) == 1


@pytest.mark.parametrize("wrong", ["another master key", "another issuer"])
def test_wrong_wrap_key_or_issuer_is_named(made, wrong: str) -> None:
    """Both causes look alike, so both are said."""
    other = replace(MASTER_KEYS, wrap={"1": b"x" * 32})
    ring = keyring(master_keys=other) if wrong == "another master key" else keyring(ISSUER + "/x")
    with pytest.raises(KeyringError) as fault:
        ring.load(list(made.values()), monotonic=0)
    text = str(fault.value)
    assert made["active"].kid in text
    assert "wrap-1.key" in text
    assert "WATCHWORD_ISSUER" in text
    assert len(text.splitlines()) == 1
    assert not ring.is_loaded()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda key: replace(key, wrapped_private_key=key.wrapped_private_key[:-1] + b"x"),
        lambda key: replace(key, wrapped_private_key=b""),
        lambda key: replace(key, alg="PS256"),
        lambda key: replace(key, kid="another"),
        lambda key: replace(key, wrap_key_id="2"),
        lambda key: replace(key, wrap_key_id="3"),
    ],
    ids=["bit", "empty", "alg", "kid", "other wrap key", "unknown wrap key"],
)
def test_pending_key_that_does_not_unwrap_is_left_out_and_named(made, spoil) -> None:
    """The set lists only keys whose private half unwraps; the pod goes on."""
    spoilt = spoil(made["pending"])
    ring = loaded(made["active"], spoilt, made["feed"])
    assert kids(ring, TOKEN) == [made["active"].kid]
    (fault,) = ring.faults
    assert spoilt.kid in fault
    ring.load(list(made.values()), monotonic=1)
    assert ring.faults == []
    assert kids(ring, TOKEN) == [made["active"].kid, made["pending"].kid]


def test_private_half_of_another_key_is_left_out_and_named(made, ring: Keyring) -> None:
    """JWKS-3: even where it was wrapped for that kid, for the kid is the key's thumbprint."""
    pending, active = made["pending"], ring.key_set(TOKEN).signer
    bound_to = associated_data(ISSUER, TOKEN, "RS256", pending.kid)
    swapped = wrap(MASTER_KEYS.wrap["1"], active.private_bytes(), bound_to)
    other = loaded(made["active"], replace(pending, wrapped_private_key=swapped), made["feed"])
    assert kids(other, TOKEN) == [made["active"].kid]
    assert pending.kid in other.faults[0]


def test_feed_key_is_no_token_key(made) -> None:
    """JWKS-10: a row whose purpose was changed does not unwrap."""
    stolen = replace(made["pending"], purpose=FEED)
    ring = loaded(made["active"], made["feed"], stolen)
    assert kids(ring, FEED) == [made["feed"].kid]
    assert stolen.kid in ring.faults[0]


@pytest.mark.parametrize(
    "jwk", ['{"kty":"oct","k":"AAAA"}', '{"kty":"RSA","n":"AQAB","e":"AQ"}', ""]
)
def test_public_half_comes_from_the_private_one(made, jwk: str) -> None:
    """ATK-21: a foreign, weak or symmetric JWK written into the table is never published."""
    ring = loaded(replace(made["active"], public_jwk=jwk), made["feed"])
    assert json.loads(ring.key_set(TOKEN).jwks) == {"keys": [json.loads(made["active"].public_jwk)]}


def test_failed_load_keeps_what_the_database_still_lists_and_grows_old_with_it(made) -> None:
    ring = loaded(*made.values())
    before = ring.key_set(TOKEN)
    with pytest.raises(KeyringError, match="no active feed key"):
        ring.load([made["active"], made["pending"]], monotonic=500)
    assert ring.key_set(TOKEN) is before
    assert not ring.is_confirmed(monotonic=601)


def test_keys_that_the_database_no_longer_lists_are_gone_even_if_the_load_fails(made) -> None:
    """JWKS-6: a killed key must not go on because the next one can't be used here."""
    ring = loaded(*made.values())
    with pytest.raises(KeyringError, match="no active token key"):
        ring.load([made["pending"], made["feed"]], monotonic=500)
    assert kids(ring, TOKEN) == [made["pending"].kid]
    with pytest.raises(KeyringError, match="was killed"):
        _ = ring.key_set(TOKEN).signer


def test_a_dropped_key_is_gone_for_good_whatever_the_database_says(made) -> None:
    """JWKS-6, DIST-6: a restored database may list a killed key again."""
    ring = loaded(*made.values())
    ring.drop([made["active"].kid, "unknown"])
    assert made["active"].kid not in kids(ring, TOKEN)
    with pytest.raises(KeyringError, match="was killed"):
        _ = ring.key_set(TOKEN).signer
    with pytest.raises(KeyringError, match="no active token key"):
        ring.load(list(made.values()), monotonic=500)
    assert made["active"].kid not in kids(ring, TOKEN)


def test_key_set_is_confirmed_for_10_minutes(made) -> None:
    """A pod signs tokens only with a set that the database confirmed lately."""
    ring = keyring()
    ring.load(list(made.values()), monotonic=1000.0)
    assert CONFIRMED_TTL_SECONDS == 600
    assert ring.is_confirmed(monotonic=1000.0)
    assert ring.is_confirmed(monotonic=1599.9)
    assert not ring.is_confirmed(monotonic=1600.0)


@pytest.mark.parametrize(
    "header",
    [
        {"kid": "unknown"},
        {"kid": None},
        {"kid": ["x"]},
        {"kid": "feed"},
        {"alg": "PS256"},
        {"alg": "HS256"},
        {"alg": "none"},
        {"alg": "rs256"},
        {"alg": None},
        {"alg": ["RS256"]},
    ],
    ids=str,
)
def test_unknown_kid_or_other_algorithm_does_not_verify(made, ring: Keyring, header) -> None:
    """RS-3, ATK-1, ATK-3, ATK-6: exact look-up; the key's own algorithm, in exact case."""
    signer = ring.key_set(TOKEN).signer
    if header.get("kid") == "feed":
        header = {"kid": made["feed"].kid}
    honest = {"alg": "RS256", "kid": signer.kid}
    good, bad = (signed(signer, members) for members in (honest, honest | header))
    assert ring.verify(good, TOKEN)
    assert not ring.verify(good, FEED)
    assert not ring.verify(bad, TOKEN)


def signed(signer: PrivateKey, header: dict[str, object]) -> CompactJws:
    message = f"{encode_base64url(json.dumps(header).encode())}.e30"
    return parsed(f"{message}.{encode_base64url(signer.sign(message.encode()))}")


async def test_unconfirmed_keys_sign_no_token_but_still_answer(
    app: App, settings: Settings, make_client: MakeClient
) -> None:
    """One of them may be dead, so /token answers 503; what they signed still counts."""
    client = await make_client()
    async with app.services.database.connection() as connection:
        keys = await list_signing_keys(connection)
    ring = Keyring(
        KeyStore(issuer=settings.issuer, master_keys=read_master_keys(settings.keys_dir))
    )
    services = replace(app.services, keyring=ring)
    async with http_to(App(asgi=create_app(services), services=services)) as http:

        async def ask():
            grant = {"grant_type": "client_credentials"}
            return await http.post("/token", data=grant, auth=client.auth)

        ring.load(keys, monotonic=time.monotonic())
        token = (await ask()).json()["access_token"]
        ring.load(keys, monotonic=time.monotonic() - CONFIRMED_TTL_SECONDS)
        answer = await ask()
        assert (answer.status_code, answer.json()["error"]) == (503, "temporarily_unavailable")
        assert int(answer.headers["retry-after"]) > 0
        told = await http.post("/introspect", data={"token": token}, auth=client.auth)
        assert told.json()["active"] is True
        assert (await http.get("/.well-known/jwks.json")).status_code == 200
