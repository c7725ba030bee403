"""Forged tokens at /introspect, by size, spelling and encoding: ATK-10, ATK-19 to ATK-24.

The pod's own active key has signed each of them: only the attack makes it bad.
"""

import json
import re
import secrets
from collections.abc import Callable

import httpx
import pytest

from service.keys.signer import PrivateKey
from service.oauth.jws import encode_base64url
from service.settings import Settings
from tests.conftest import RegisteredClient
from tests.http.canary import canary
from tests.http.conftest import Active
from tests.http.forge import Forge


async def test_unforged_token_is_active(active: Active, forge: Forge) -> None:
    """The tests here could fail: nothing but the attack makes these tokens bad."""
    assert await active(forge.token())


@pytest.mark.parametrize(
    "fragment",
    ["[" * 2500 + "]" * 2500, '{"":' * 1050 + "1" + "}" * 1050, "[" * 16 + "]" * 16, "[" * 5000],
    ids=["arrays", "objects", "just too deep", "left open"],
)
async def test_atk_10_deep_nesting(active: Active, forge: Forge, fragment: str) -> None:
    """ATK-10, RS-3: as deep as the parameter's limit lets it come; claims go 16 deep."""
    token = forge.token(claims=forge.claims(deep=fragment))
    assert len(token) <= 8192
    assert not await active(token)
    assert await active(forge.token(claims=forge.claims(deep="[" * 15 + "]" * 15)))


async def test_atk_10_deep_header(active: Active, forge: Forge) -> None:
    """ATK-10, RS-3: a header goes 8 deep."""
    for depth in (8, 700):
        header = forge.header(deep="[" * depth + "]" * depth)
        assert not await active(forge.token(header=header))
    assert await active(forge.token(header=forge.header(deep="[" * 7 + "]" * 7)))


@pytest.mark.parametrize("name", ["exp", "iat", "cep"])
@pytest.mark.parametrize("digits", [16, 20, 400, 4000, 5000])
async def test_atk_10_long_number(active: Active, forge: Forge, name: str, digits: int) -> None:
    """ATK-10, LIB-3: beyond 2^53, and beyond what Python turns into a number."""
    assert not await active(forge.token(claims=forge.claims(**{name: "9" * digits})))


async def test_atk_10_large_header(active: Active, forge: Forge) -> None:
    """ATK-10, RS-3: a header has 2 KiB at most."""
    assert not await active(forge.token(header=forge.header(x=json.dumps("x" * 2000))))


@pytest.mark.parametrize(
    ("length", "status"), [(8193, 400), (60_000, 400), (5_000_000, 413)], ids=str
)
async def test_atk_10_token_beyond_the_limits(
    http: httpx.AsyncClient, settings: Settings, caller: RegisteredClient, length: int, status: int
) -> None:
    """ATK-10, TOK-41: a parameter has 8 KiB, a body 64; nothing of it is parsed."""
    with canary(settings) as seen:
        token = {"token": "a" * length}
        answer = await http.post("/introspect", data=token, auth=caller.auth)
    assert (answer.status_code, answer.json()["error"]) == (status, "invalid_request")
    assert seen == []


def _last_bits(token: str) -> str:
    """The same bytes in another spelling: unused bits of the last character set."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return token[:-1] + alphabet[alphabet.index(token[-1]) | 1]


@pytest.mark.parametrize(
    "spell",
    [
        lambda t: t + "=",
        lambda t: t + "==",
        lambda t: t.replace(".", "=.", 1),
        lambda t: t.replace("-", "+").replace("_", "/"),
        lambda t: t[:50] + "\n" + t[50:],
        lambda t: t[:-9] + "\r\n" + t[-9:],
        lambda t: t + "\n",
        lambda t: " " + t,
        lambda t: t[:-5] + " " + t[-5:],
        lambda t: t + "\t",
        _last_bits,
        lambda t: t + ".",
        lambda t: t + ".AAAA",
        lambda t: "." + t,
        lambda t: "." + t.partition(".")[2],
        lambda t: re.sub(r"\..*\.", "..", t),
        lambda t: t.rpartition(".")[0] + ".",
        lambda t: t.rpartition(".")[0],
        lambda t: t.replace(".", "．", 1),  # noqa: RUF001 (a full stop that is none)
        lambda t: t.replace(".", "%2E"),
        lambda t: f"Bearer {t}",
    ],
)
async def test_atk_19_other_spelling(
    active: Active, forge: Forge, spell: Callable[[str], str]
) -> None:
    """ATK-19: a token has one spelling; a second one would slip past what is kept by it."""
    token = forge.token()
    while not re.search("[-_]", token.partition(".")[2]) or spell(token) == token:
        token = forge.token()
    assert await active(token)
    assert not await active(spell(token))


async def test_atk_20_json_serialisation(active: Active, forge: Forge) -> None:
    """ATK-20: RFC 7515 §7.2, flattened and general, and a compact one within quotes."""
    token = forge.token()
    head, body, tail = token.split(".")
    signature = {"protected": head, "signature": tail}
    for other in (
        json.dumps({"payload": body, **signature}),
        json.dumps({"payload": body, "signatures": [signature]}),
        f'"{token}"',
        f"[{token}]",
    ):
        assert not await active(other)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
async def test_atk_20_other_encoding(active: Active, forge: Forge, encoding: str) -> None:
    """ATK-20, LIB-3: JSON is UTF-8 without a byte order mark, in both segments."""
    claims, header = forge.claims().decode(), forge.header().decode()
    assert not await active(forge.token(claims=claims.encode(encoding)))
    assert not await active(forge.token(header=header.encode(encoding)))


async def test_atk_20_broken_utf_8(active: Active, forge: Forge) -> None:
    """ATK-20: invalid bytes, an overlong form, an encoded surrogate."""
    for raw in (b"\xff", b"\xc0\xaf", b"\xed\xa0\x80"):
        claims = forge.claims(x='"?"').replace(b"?", raw)
        assert not await active(forge.token(claims=claims))


async def test_atk_22_random_kids(active: Active, forge: Forge) -> None:
    """ATK-22: the issuer knows its keys; no kid makes it fetch or ask anything."""
    attacker = PrivateKey.generate()
    for _ in range(50):
        kid = json.dumps(encode_base64url(secrets.token_bytes(32)))
        assert not await active(forge.token(header=forge.header(kid=kid), sign=attacker.sign))
    assert await active(forge.token())


@pytest.mark.parametrize(
    "payload", [b"[]", b'"x"', b"null", b"", b"{}", b"1", b"true", b"{", b"\0"]
)
async def test_atk_24_claims_that_are_no_object(
    active: Active, forge: Forge, payload: bytes
) -> None:
    """ATK-24: in the claims, and in the header."""
    assert not await active(forge.token(claims=payload))
    assert not await active(forge.token(header=payload))
