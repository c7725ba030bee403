"""Claims: to the second, and in the order that tells causes apart. RS-4, RS-8."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from watchword_verifier import (
    Expired,
    InvalidToken,
    Malformed,
    NotYetValid,
    WrongAudience,
    WrongIssuer,
)
from watchword_verifier._jws import Header
from watchword_verifier._rules import MAX_LIFETIME, Rules

from tests.verifier.test_jws import VALUES

NOW = 1_727_000_300.5
ISSUER, AUDIENCE, USER = "https://auth.example", "https://orders.example", "01920f3c"


def rules(**changes: Any) -> Rules:
    members: dict[str, Any] = {
        "issuer": ISSUER,
        "audience": AUDIENCE,
        "algorithms": ("RS256",),
        "leeway": 30.0,
        "multiple_audiences": False,
    }
    return Rules(**{**members, **changes})


def claims(**changes: Any) -> dict[str, Any]:
    honest = {
        "iss": ISSUER,
        "sub": "orders",
        "aud": AUDIENCE,
        "client_id": "orders",
        "scope": "a b",
        "iat": int(NOW),
        "exp": int(NOW) + 300,
        "jti": "one",
        "cep": 0,
    }
    return {**honest, **changes}


@pytest.mark.parametrize("leeway", [0.0, 30.0, 60.0])
def test_a_token_lives_up_to_exp_and_the_leeway(leeway: float) -> None:
    """ATK-11: and not one moment longer."""
    token, judge = claims(), rules(leeway=leeway)
    end = token["exp"] + leeway
    judge.check_claims(token, end - 0.001)
    for late in (0, 0.001, 3600):
        with pytest.raises(Expired):
            judge.check_claims(token, end + late)


@pytest.mark.parametrize("leeway", [0.0, 30.0, 60.0])
@pytest.mark.parametrize("name", ["iat", "nbf"])
def test_a_token_begins_at_iat_and_nbf_less_the_leeway(name: str, leeway: float) -> None:
    """ATK-12: the later of the two."""
    token, judge = claims(**{name: int(NOW) + 100}), rules(leeway=leeway)
    begin = token[name] - leeway
    judge.check_claims(token, begin)
    with pytest.raises(NotYetValid):
        judge.check_claims(token, begin - 0.001)


@pytest.mark.parametrize(
    ("lifetime", "fits"), [(1, True), (MAX_LIFETIME, True), (MAX_LIFETIME + 1, False), (0, False)]
)
def test_a_lifetime_is_that_of_an_access_token(lifetime: int, fits: bool) -> None:
    token = claims(exp=int(NOW) + lifetime)
    if fits:
        rules().check_claims(token, NOW)
    else:
        with pytest.raises(Malformed):
            rules().check_claims(token, NOW)


def test_the_first_thing_that_is_wrong_is_told() -> None:
    token = claims(iss="x", aud="x", exp=int(NOW) - 3600, iat=int(NOW) - 3700, jti="")
    for error, mend in (
        (WrongIssuer, {"iss": ISSUER}),
        (WrongAudience, {"aud": AUDIENCE}),
        (Expired, {"exp": int(NOW) + 300, "iat": int(NOW)}),
        (Malformed, {"jti": "one"}),
    ):
        with pytest.raises(error):
            rules().check_claims(token, NOW)
        token |= mend
    rules().check_claims(token, NOW)


NAMES = st.sampled_from(
    [
        "iss",
        "sub",
        "aud",
        "client_id",
        "scope",
        "iat",
        "exp",
        "nbf",
        "jti",
        "cep",
        "sid",
        "cv",
        "roles",
        "cnf",
    ]
)


@given(st.dictionaries(NAMES, VALUES | st.integers(-(1 << 70), 1 << 70)), st.sets(NAMES))
def test_whatever_stands_in_claims_is_good_or_refused(
    changes: dict[str, Any], left_out: set[str]
) -> None:
    """ATK-23: and what is good is what the names say that it is."""
    token = {name: it for name, it in claims(**changes).items() if name not in left_out}
    try:
        rules().check_claims(token, NOW)
    except InvalidToken:
        return
    assert (token["iss"], token["aud"]) in ((ISSUER, AUDIENCE), (ISSUER, [AUDIENCE]))
    assert 0 < token["exp"] - token["iat"] <= MAX_LIFETIME
    assert token["exp"] > NOW - 30
    assert all(isinstance(token[it], str) and token[it] for it in ("sub", "client_id", "jti"))
    assert "sid" in token or token["sub"] == token["client_id"]
    assert "cnf" not in token


@pytest.mark.parametrize("changes", [{"sid": "s", "sub": USER}, {"sid": "s", "roles": []}, {}])
def test_users_and_clients_are_both_good(changes: dict[str, Any]) -> None:
    rules().check_claims(claims(**changes), NOW)


@pytest.mark.parametrize("algorithms", [("ES256",), ("RS256", "ES256"), ()])
def test_an_algorithm_is_allowed_by_its_exact_name(algorithms: tuple[str, ...]) -> None:
    """ATK-1, ATK-3: whatever a key could do."""
    judge = rules(algorithms=algorithms)
    for alg in ("RS256", "ES256", "none", "rs256", "HS256", ""):
        header = Header("at+jwt", alg, "a")
        if alg in algorithms:
            judge.check_header(header)
        else:
            with pytest.raises(Malformed):
                judge.check_header(header)
