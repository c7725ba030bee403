"""Forged tokens at /introspect, by claims: ATK-9, ATK-11 to ATK-17, ATK-23.

The pod's own active key has signed each of them: only the attack makes it bad.
"""

import json
import re
import time

import httpx
import pytest

from service.app import App
from service.oauth.signing_key import FEED
from tests.conftest import AUDIENCE, ISSUER, MakeClient
from tests.http.conftest import Active
from tests.http.forge import Forge, is_active

NOW = int(time.time())
USER = "0191f2c8-0000-7000-8000-000000000000"


def spelled(text: str) -> str:
    """A test's name, the same in every process: what counts from now is told so."""
    times = r"(?<![0-9])(?!1999999999)[0-9]{10}(?![0-9])"
    return re.sub(times, lambda it: f"now{int(it[0]) - NOW:+d}", text)[:40]


async def test_unforged_token_is_active(active: Active, forge: Forge) -> None:
    """The tests here could fail: nothing but the attack makes these tokens bad."""
    assert await active(forge.token())
    assert await active(forge.token(claims=forge.claims(extra='{"any":["thing",null]}')))


@pytest.mark.parametrize(
    "name", ["iss", "sub", "aud", "client_id", "scope", "iat", "exp", "jti", "cep", "other"]
)
@pytest.mark.parametrize("first", ["same", '"admin"'])
async def test_atk_9_duplicate_claim(active: Active, forge: Forge, name: str, first: str) -> None:
    """ATK-9: before and after the honest one, even of the same value (LIB-2)."""
    claims = forge.claims(other="1").decode()
    value = json.dumps(json.loads(claims)[name]) if first == "same" else first
    for doubled in (f'{{"{name}":{value},{claims[1:]}', f'{claims[:-1]},"{name}":{value}}}'):
        assert not await active(forge.token(claims=doubled.encode()))
    nested = f'{{"x":{{"a":1,"a":1}},{claims[1:]}'
    assert not await active(forge.token(claims=nested.encode()))


@pytest.mark.parametrize("name", ["alg", "kid", "typ", "other"])
async def test_atk_9_duplicate_header_member(active: Active, forge: Forge, name: str) -> None:
    """ATK-9: an escaped name is the same name."""
    header = forge.header(other="1").decode()
    value = json.dumps(json.loads(header)[name])
    escaped = f"\\u{ord(name[0]):04x}{name[1:]}"
    for spelling in (name, escaped):
        doubled = f'{{"{spelling}":{value},{header[1:]}'
        assert not await active(forge.token(header=doubled.encode()))


BAD_TIMES = [
    *(None, "null", "-1", "0", '"1999999999"', "1.9e9", "1999999999.5", "true", "[1]", "{}"),
    *("1e400", "-1e400", "NaN", "Infinity", "9" * 400, "253402300799", f"{NOW + 200}.0"),
    *(f'"{NOW + 200}"', f"{NOW + 200}e0", f"[{NOW + 200}]", "-0"),
]


@pytest.mark.parametrize("exp", BAD_TIMES, ids=lambda text: spelled(text) if text else "missing")
async def test_atk_11_exp(active: Active, forge: Forge, exp: str | None) -> None:
    """ATK-11, AT-2: an integer, in the future, at most 600 s after `iat`."""
    assert not await active(forge.token(claims=forge.claims(exp=exp)))


@pytest.mark.parametrize(
    "times",
    [
        *({"iat": text} for text in BAD_TIMES if text not in ("0", "-0")),
        {"iat": "0"},
        {"iat": "0", "exp": "600"},
        {"iat": str(NOW + 3600), "exp": str(NOW + 3900)},
        {"iat": str(NOW), "exp": str(NOW + 600 + 1)},
        {"iat": str(NOW), "exp": str(NOW + 10 * 365 * 86400)},
        {"iat": str(NOW + 50), "exp": str(NOW + 40)},
        {"iat": str(NOW + 50), "exp": str(NOW + 50)},
        {"nbf": str(NOW + 3600)},
        {"nbf": '"0"'},
        {"nbf": "null"},
    ],
    ids=lambda times: spelled(str(times)),
)
async def test_atk_12_iat_and_nbf(
    active: Active, forge: Forge, times: dict[str, str | None]
) -> None:
    """ATK-12: beyond the leeway, of another type, after `exp`, for too long; we write no `nbf`."""
    assert not await active(forge.token(claims=forge.claims(**times)))


@pytest.mark.parametrize(
    "typ",
    [
        "JWT",
        "logout+jwt",
        "token-introspection+jwt",
        "secevent+jwt",
        "client-authentication+jwt",
        "dpop+jwt",
        "oauth-authz-req+jwt",
        "statuslist+jwt",
        "revocation-feed+jwt",
        "revocation-heartbeat+jwt",
    ],
)
async def test_atk_13_token_of_another_kind(active: Active, forge: Forge, typ: str) -> None:
    """ATK-13, RS-7: `typ` tells the kinds apart, even where all claims would fit."""
    assert not await active(forge.token(header=forge.header(typ=json.dumps(typ))))


@pytest.mark.parametrize("opaque", ["wwr_1_2_3", "a" * 43, USER])
async def test_atk_13_opaque_token(active: Active, opaque: str) -> None:
    """ATK-13: a refresh token, a code, an id."""
    assert not await active(opaque)


async def test_atk_13_feed_entry(active: Active, app: App, forge: Forge) -> None:
    """ATK-13: what the feed's key signs is no token, under any `typ`."""
    feed = app.services.keyring.key_set(FEED).signer
    for typ in ('"revocation-feed+jwt"', '"at+jwt"'):
        header = forge.header(typ=typ, kid=json.dumps(feed.kid))
        assert not await active(forge.token(header=header, sign=feed.sign))


@pytest.mark.parametrize("typ", ["at+JWT", "AT+JWT", "application/at+jwt", "Application/AT+JWT"])
async def test_atk_14_typ_has_no_case(active: Active, forge: Forge, typ: str) -> None:
    """ATK-14, RS-3: the two forms, in any case."""
    assert await active(forge.token(header=forge.header(typ=json.dumps(typ))))


@pytest.mark.parametrize(
    "typ",
    [
        *(None, "null", "1", "true", '""', '"JWT"', '"jwt"', '"at+jwt;x=y"', '["at+jwt"]'),
        *('{"at+jwt":1}', '" at+jwt"', '"at+jwt "', '"at"', '"application/jwt"'),
        *('"application/application/at+jwt"', '"text/at+jwt"', '"at\\u0000+jwt"', '"\\ud800"'),
        '"at+jw\\u0130"',
    ],
)
async def test_atk_14_typ(active: Active, forge: Forge, typ: str | None) -> None:
    """ATK-14: missing, others, and what looks alike."""
    assert not await active(forge.token(header=forge.header(typ=typ)))


@pytest.mark.parametrize(
    "aud",
    [
        *(None, "null", "[]", '""', "{}", "[1]", "1", "true", '["other"]', '"nobodys"'),
        *(f'"{AUDIENCE}/"', f'"{AUDIENCE[:-1]}"', f'"my-{AUDIENCE}"', f'"{AUDIENCE.upper()}"'),
        *(f'"{AUDIENCE}\\u0000"', f'" {AUDIENCE}"', f'"{AUDIENCE} other"', f'["{AUDIENCE}",1]'),
        *('"\\ud800"', f'[["{AUDIENCE}"]]', f'{{"{AUDIENCE}":1}}'),
    ],
)
async def test_atk_15_aud(
    http: httpx.AsyncClient, app: App, make_client: MakeClient, caller, aud: str | None
) -> None:
    """ATK-15: to a resource server that serves AUDIENCE, by the exact text."""
    forge = Forge(app, (await make_client()).id)
    assert await is_active(http, caller, forge.token())
    assert not await is_active(http, caller, forge.token(claims=forge.claims(aud=aud)))


@pytest.mark.parametrize("aud", [["other", AUDIENCE], [AUDIENCE, "other"], [AUDIENCE, AUDIENCE]])
async def test_atk_16_several_audiences(active: Active, forge: Forge, aud: list[str]) -> None:
    """ATK-16: this server writes one, as a string (AT-2)."""
    assert not await active(forge.token(claims=forge.claims(aud=json.dumps(aud))))


@pytest.mark.parametrize(
    "iss",
    [
        *(None, "null", '""', "1", f'["{ISSUER}"]', f'{{"{ISSUER}":1}}', '"\\ud800"'),
        *(f'"{ISSUER}/"', f'"{ISSUER.upper()}"', f'"{ISSUER.replace("http", "https")}"'),
        *(f'"{ISSUER}@evil"', f'"{ISSUER}.evil"', f'"{ISSUER[:-1]}"', f'"{ISSUER}\\u0000"'),
        *(f'" {ISSUER}"', '"https://auth.example.com"', f'"{ISSUER}?"', f'"{ISSUER}#"'),
    ],
)
async def test_atk_17_iss(active: Active, forge: Forge, iss: str | None) -> None:
    """ATK-17, META-1: the issuer is one exact string."""
    assert not await active(forge.token(claims=forge.claims(iss=iss)))


BAD_TEXTS = [None, "null", "1", "true", '""', '"a\\u0000b"', '"\\ud800"', '"ü"', '["x"]', '{"x":1}']


@pytest.mark.parametrize("name", ["sub", "client_id", "jti", "scope"])
@pytest.mark.parametrize("text", BAD_TEXTS, ids=lambda text: f"{text!a}")
async def test_atk_23_text_that_no_table_takes(
    active: Active, forge: Forge, name: str, text: str | None
) -> None:
    """ATK-23, LIB-15: lone surrogates and NUL never reach PostgreSQL."""
    changes = {"sub": text, "client_id": text} if name == "client_id" else {name: text}
    assert not await active(forge.token(claims=forge.claims(**changes)))


@pytest.mark.parametrize("cep", [None, "null", "-1", '"0"', "0.0", "true", "[]", "1e0"])
async def test_atk_23_epoch(active: Active, forge: Forge, cep: str | None) -> None:
    """DIST-4, AT-2: an integer, always."""
    assert not await active(forge.token(claims=forge.claims(cep=cep)))


@pytest.mark.parametrize(
    "changes",
    [
        {"sub": '"nobody-here"'},
        {"sub": f'"{USER}"'},
        {"client_id": '"nobody-here"'},
        {"client_id": '"nobody-here"', "sub": '"nobody-here"'},
        {"client_id": '"0191f2c8-0000-7000-8000-000000000000"'},
        {"client_id": '"\' OR 1=1--"'},
        {"jti": '"not-a-uuid"'},
        {"jti": '"\' OR 1=1--"'},
        {"cnf": '{"jkt":"x"}'},
    ],
    ids=json.dumps,
)
async def test_atk_23_subject_or_client_that_is_none(
    active: Active, forge: Forge, changes: dict[str, str]
) -> None:
    """ATK-23, CC-2: unknown, of another shape; a client's own token has the client as its `sub`."""
    assert not await active(forge.token(claims=forge.claims(**changes)))
