"""Forged tokens at /introspect, by critical members and signatures: ATK-8 and ATK-18."""

import json
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from service.oauth.jws import encode_base64url
from tests.http.conftest import Active
from tests.http.forge import Forge


async def test_unforged_token_is_active(active: Active, forge: Forge) -> None:
    """The tests here could fail: nothing but the attack makes these tokens bad."""
    assert await active(forge.token())


@pytest.mark.parametrize(
    "extra",
    [
        {"crit": '["exp"]'},
        {"crit": '["x"]', "x": "1"},
        {"crit": "[]"},
        {"crit": '"exp"'},
        {"crit": "null"},
        {"crit": "{}"},
        {"b64": "false"},
        {"b64": "true"},
        {"b64": "false", "crit": '["b64"]'},
        {"zip": '"DEF"', "crit": '["zip"]'},
    ],
    ids=json.dumps,
)
async def test_atk_8_critical_members(active: Active, forge: Forge, extra: dict[str, str]) -> None:
    """ATK-8: this server understands no extension (RFC 7515 §4.1.11, CVE-2026-32597)."""
    assert not await active(forge.token(header=forge.header(**extra)))


async def test_atk_8_detached_and_unencoded_payload(active: Active, forge: Forge) -> None:
    """ATK-8: RFC 7797, and RFC 7515 Appendix F."""
    head, _, tail = forge.token().split(".")
    assert not await active(f"{head}..{tail}")
    header = encode_base64url(forge.header(b64="false", crit='["b64"]'))
    message = f"{header}.{forge.claims().decode()}"
    signature = encode_base64url(forge.signer.sign(message.encode()))
    assert not await active(f"{message}.{signature}")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda signature: signature[:-1],
        lambda signature: signature[:1],
        lambda signature: signature + b"\0",
        lambda signature: b"\0" + signature,
        lambda signature: bytes(len(signature)),
        lambda signature: b"\xff" * len(signature),
        lambda signature: signature[::-1],
        lambda _: bytes(64),
        lambda _: bytes.fromhex("3006020100020100"),
    ],
    ids=["cut", "one", "longer", "shifted", "zeros", "ones", "reversed", "r = s = 0", "DER"],
)
@pytest.mark.parametrize("alg", ["RS256", "ES256"])
async def test_atk_18_spoilt_signature(
    active: Active, forge: Forge, spoil: Callable[[bytes], bytes], alg: str
) -> None:
    """ATK-18: r = s = 0 is CVE-2022-21449."""
    header = forge.header(alg=json.dumps(alg))
    assert not await active(forge.token(header=header, sign=lambda m: spoil(forge.signer.sign(m))))


@pytest.mark.parametrize("bit", [0, 1, 7, 1024, 2040, 2047])
async def test_atk_18_one_bit_flipped(active: Active, forge: Forge, bit: int) -> None:
    """ATK-18: anywhere in the signature."""

    def flip(message: bytes) -> bytes:
        number = int.from_bytes(forge.signer.sign(message)) ^ 1 << bit
        return number.to_bytes(256)

    assert not await active(forge.token(sign=flip))


async def test_atk_18_claims_under_a_signature_of_others(active: Active, forge: Forge) -> None:
    """ATK-18: the signature of one honest token under another's claims or header."""
    one, other = forge.token().split("."), forge.token(claims=forge.claims(scope='"a"')).split(".")
    assert not await active(".".join([one[0], other[1], one[2]]))
    foreign_header = encode_base64url(forge.header(typ='"application/at+jwt"'))
    assert not await active(".".join([foreign_header, one[1], one[2]]))


@pytest.mark.parametrize("bits", [1024, 3072])
async def test_atk_18_key_of_another_length(active: Active, forge: Forge, bits: int) -> None:
    """ATK-18: an RSA signature of another length, under our kid."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=bits)
    assert not await active(
        forge.token(sign=lambda m: key.sign(m, padding.PKCS1v15(), hashes.SHA256()))
    )
