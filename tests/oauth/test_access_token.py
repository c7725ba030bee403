"""JWT access tokens: what is written (AT-2) and what is read back (RS-4)."""

from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.oauth.access_token import (
    CLOCK_SKEW,
    AccessToken,
    client_credentials_claims,
    is_access_token_type,
    read_access_token,
)
from service.oauth.client import MAX_ACCESS_TOKEN_TTL, Client

ISSUER = "https://auth.example.com"
AUDIENCE = "https://orders.example"
JTI = UUID("0191f2c8-0000-7000-8000-000000000000")
NOW = datetime(2026, 1, 2, 3, 4, 5, 678_000, UTC)
SECONDS = 1_767_323_045

CLIENT = Client(
    id="orders",
    name="Orders",
    type="confidential",
    token_endpoint_auth_method="client_secret_basic",
    grant_types=("client_credentials",),
    redirect_uris=(),
    post_logout_redirect_uris=(),
    require_pkce=True,
    consent="ask",
    audiences=(AUDIENCE,),
    scopes=("a", "b"),
    default_scopes=(),
    serves=(),
    access_token_ttl=timedelta(seconds=300),
    session_idle_ttl=timedelta(days=7),
    session_absolute_ttl=timedelta(days=30),
    grace=timedelta(seconds=30),
    shadow_until=None,
    first_party=False,
    refresh_delivery="body",
    allowed_origins=(),
    signing_alg="RS256",
    administrator=False,
    epoch=7,
    enabled=True,
    secret_digests=(),
)


def claims(**changes: object) -> dict[str, object]:
    """An honest token's claims, changed; ... leaves one out."""
    honest = client_credentials_claims(
        issuer=ISSUER, client=CLIENT, audience=AUDIENCE, scope=("a", "b"), jti=JTI, now=NOW
    )
    return {name: value for name, value in {**honest, **changes}.items() if value is not ...}


def test_claims_are_these_and_no_others() -> None:
    """AT-2 [9068 §2.2]: `aud` a string, `scope` a string, integers, `cep` always; no PII."""
    assert claims() == {
        "iss": ISSUER,
        "sub": "orders",
        "aud": AUDIENCE,
        "client_id": "orders",
        "scope": "a b",
        "iat": SECONDS,
        "exp": SECONDS + 300,
        "jti": str(JTI),
        "cep": 7,
    }
    assert {type(claims()[name]) for name in ("iat", "exp", "cep")} == {int}


def test_what_is_written_is_read() -> None:
    """RS-4."""
    assert read_access_token(claims(), ISSUER) == AccessToken(
        issuer=ISSUER,
        audience=AUDIENCE,
        subject="orders",
        client_id="orders",
        scope="a b",
        jti=str(JTI),
        issued_at=SECONDS,
        expires_at=SECONDS + 300,
        client_epoch=7,
    )


@given(
    epoch=st.integers(0, 2**53 - 1),
    ttl=st.integers(60, 600),
    client_id=st.from_regex(r"[A-Za-z0-9_-]{3,30}", fullmatch=True),
    at=st.datetimes(datetime(1970, 1, 2), datetime(9998, 1, 1)),  # noqa: DTZ001 (aware below)
)
def test_every_token_that_can_be_written_is_read(
    epoch: int, ttl: int, client_id: str, at: datetime
) -> None:
    """RS-4, AT-2: writing and reading agree."""
    client = replace(CLIENT, epoch=epoch, id=client_id, access_token_ttl=timedelta(seconds=ttl))
    written = client_credentials_claims(
        issuer=ISSUER,
        client=client,
        audience=AUDIENCE,
        scope=("a",),
        jti=JTI,
        now=at.replace(tzinfo=UTC),
    )
    token = read_access_token(written, ISSUER)
    assert token is not None
    assert (token.client_epoch, token.expires_at - token.issued_at) == (epoch, ttl)
    assert token.is_current(at.replace(tzinfo=UTC))


@pytest.mark.parametrize(
    "typ", ["at+jwt", "AT+JWT", "at+JWT", "application/at+jwt", "Application/At+Jwt"]
)
def test_types_of_an_access_token(typ: str) -> None:
    """AT-1, RS-3, ATK-14."""
    assert is_access_token_type({"typ": typ})


@pytest.mark.parametrize(
    "header",
    [{}, *({"typ": t} for t in (None, 1, "", "JWT", "at+jwt;x=y", ["at+jwt"], "at+jwt ", "jwt"))],
    ids=str,
)
def test_other_types(header: dict[str, object]) -> None:
    """ATK-13, ATK-14."""
    assert not is_access_token_type(header)


@pytest.mark.parametrize("name", sorted(claims()))
@pytest.mark.parametrize(
    "value",
    [..., None, True, 1.5, -1, "", [], {}, "\ud800", "a\0b", "é", float("inf"), 2**53, ["x"]],
    ids=lambda value: f"{value!a}",
)
def test_claim_missing_or_of_another_kind(name: str, value: object) -> None:
    """RS-4, ATK-11, ATK-12, ATK-15, ATK-17, ATK-23."""
    assert read_access_token(claims(**{name: value}), ISSUER) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"iat": float(SECONDS)},
        {"exp": float(SECONDS + 300)},
        {"exp": str(SECONDS + 300)},
        {"exp": SECONDS},
        {"exp": SECONDS - 1},
        {"exp": SECONDS + 601},
        {"iat": SECONDS - 301},
        {"nbf": SECONDS - 10},
        {"nbf": None},
        {"cnf": {"jkt": "x"}},
        {"cnf": None},
        {"cep": 7.0},
        {"cep": "7"},
        {"aud": [AUDIENCE]},
        {"aud": [AUDIENCE, AUDIENCE]},
        {"iss": ISSUER + "/"},
        {"iss": ISSUER.upper()},
        {"iss": [ISSUER]},
        {"sub": "another"},
        {"sub": str(JTI)},
        {"client_id": "another"},
        {"client_id": str(JTI), "sub": str(JTI)},
        {"client_id": "ab", "sub": "ab"},
        {"client_id": "a b c", "sub": "a b c"},
        {"jti": JTI.hex},
        {"jti": str(JTI).upper()},
        {"jti": str(JTI) + "\n"},
        {"scope": ["a"]},
        {"scope": "a\nb"},
    ],
    ids=str,
)
def test_token_that_this_server_never_writes(changes: dict[str, object]) -> None:
    """RS-4, CC-2, DIST-4: bound or `nbf` tokens, arrays, a subject that is not the client."""
    assert read_access_token(claims(**changes), ISSUER) is None


def test_further_claims_do_no_harm() -> None:
    """RS-4: a later release may write more."""
    assert read_access_token(claims(roles=["x"], x=None), ISSUER) is not None


@given(
    st.dictionaries(
        st.sampled_from([*claims(), "nbf", "cnf"]),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.text()),
    )
)
def test_any_claims_are_read_or_refused_without_an_exception(changed: dict[str, object]) -> None:
    """ATK-23: whatever is read can go to PostgreSQL: printable, and within bigint."""
    token = read_access_token(claims(**changed), ISSUER)
    if token is not None:
        for value in asdict(token).values():
            assert value.isascii() and value.isprintable() if isinstance(value, str) else True
            assert 0 <= value < 2**53 if isinstance(value, int) else True


@pytest.mark.parametrize(
    ("seconds", "current"),
    [
        (-61, False),
        (-60, True),
        (0, True),
        (299, True),
        (299.999, True),
        (300, False),
        (301, False),
    ],
)
def test_token_is_current_from_a_minute_before_until_it_expires(
    seconds: float, current: bool
) -> None:
    """RS-4, ATK-103: `iat` has 60 s of leeway, `exp` none at the issuer itself."""
    token = read_access_token(claims(), ISSUER)
    assert token is not None
    assert timedelta(seconds=60) == CLOCK_SKEW
    at = datetime.fromtimestamp(SECONDS, UTC) + timedelta(seconds=seconds)
    assert token.is_current(at) == current


def test_ceiling_is_600_seconds() -> None:
    """AT-2: constant, for revocations are forgotten after it."""
    assert timedelta(seconds=600) == MAX_ACCESS_TOKEN_TTL
    assert read_access_token(claims(exp=SECONDS + 600), ISSUER) is not None
