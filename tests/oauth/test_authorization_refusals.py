"""Which authorization requests are refused, and to whom: RFC 6749 §4.1.2.1, Core §3.1.2.6."""

from dataclasses import replace

import pytest

from service.oauth.authorization_request import (
    read_request,
    read_target,
)
from service.oauth.errors import (
    InvalidRequest,
    InvalidScope,
    InvalidTarget,
    OAuthError,
    RegistrationNotSupported,
    RequestNotSupported,
    RequestUriNotSupported,
    UnauthorizedClient,
    UnsupportedResponseType,
)
from tests.oauth.clients import CLIENT
from tests.oauth.requests import CALLBACK, CHALLENGE, GOOD, WAIVED, Pairs, pairs_with, read

FOR_A_PAGE = {
    "no client_id": pairs_with(client_id=None),
    "empty client_id": pairs_with(client_id=""),
    "client_id twice": [*pairs_with(), ("client_id", "web")],
    "an empty client_id too": [*pairs_with(), ("client_id", "")],
    "another client": pairs_with(client_id="other"),
    "no redirect_uri": pairs_with(redirect_uri=None, scope="orders:read"),
    "empty redirect_uri": pairs_with(redirect_uri=""),
    "redirect_uri twice": [*pairs_with(), ("redirect_uri", CALLBACK)],
    "a good and an evil one": [*pairs_with(), ("redirect_uri", "https://evil.example/")],
    "another redirect_uri": pairs_with(redirect_uri="https://evil.example/"),
    "one that begins alike": pairs_with(redirect_uri=f"{CALLBACK}/x"),
    "one with more of a query": pairs_with(redirect_uri=f"{CALLBACK}?x=1&y=2"),
    "one that splits headers": pairs_with(redirect_uri=f"{CALLBACK}\r\nSet-Cookie: a=b"),
}


@pytest.mark.parametrize("pairs", FOR_A_PAGE.values(), ids=FOR_A_PAGE)
def test_without_a_proven_target_nothing_is_sent_anywhere(pairs: Pairs) -> None:
    """AUTHZ-2, AUTHZ-5, ATK-65, ATK-66: RFC 6749 §4.1.2.1."""
    with pytest.raises(InvalidRequest):
        read_target(pairs, CLIENT)


def test_a_disabled_client_is_for_a_page() -> None:
    """AUTHZ-2."""
    with pytest.raises(InvalidRequest):
        read_target(pairs_with(), replace(CLIENT, enabled=False))


REFUSALS: dict[str, tuple[dict[str, str | None], type[OAuthError]]] = {
    # AC-1
    "no response_type": ({"response_type": None}, InvalidRequest),
    "empty response_type": ({"response_type": ""}, InvalidRequest),
    "implicit": ({"response_type": "token"}, UnsupportedResponseType),
    "id_token": ({"response_type": "id_token"}, UnsupportedResponseType),
    "hybrid": ({"response_type": "code id_token"}, UnsupportedResponseType),
    "none": ({"response_type": "none"}, UnsupportedResponseType),
    "Code": ({"response_type": "Code"}, UnsupportedResponseType),
    # AC-2
    "no challenge": ({"code_challenge": None}, InvalidRequest),
    "no PKCE": ({"code_challenge": None, "code_challenge_method": None}, InvalidRequest),
    "no method": ({"code_challenge_method": None}, InvalidRequest),
    "empty method": ({"code_challenge_method": ""}, InvalidRequest),
    "plain": ({"code_challenge_method": "plain"}, InvalidRequest),
    "s256": ({"code_challenge_method": "s256"}, InvalidRequest),
    "42 characters": ({"code_challenge": CHALLENGE[:-1]}, InvalidRequest),
    "44 characters": ({"code_challenge": CHALLENGE + "="}, InvalidRequest),
    # AUTHZ-6, AUTHZ-12
    "long state": ({"state": "s" * 2049}, InvalidRequest),
    "long nonce": ({"nonce": "n" * 256}, InvalidRequest),
    # AUTHZ-10
    "unknown prompt": ({"prompt": "create"}, InvalidRequest),
    "Login": ({"prompt": "Login"}, InvalidRequest),
    "none and login": ({"prompt": "none login"}, InvalidRequest),
    "two spaces": ({"prompt": "login  consent"}, InvalidRequest),
    # AUTHZ-11
    **{
        f"max_age {text}": ({"max_age": text}, InvalidRequest)
        for text in ("-1", "1.5", "abc", "2147483649", "9" * 5000, "1e3", " 1", "+1", "01", "٣")
    },
    # AUTHZ-14
    "a quote in scope": ({"scope": 'openid "x"'}, InvalidScope),
    "two spaces in scope": ({"scope": "openid  profile"}, InvalidScope),
    "a tab in scope": ({"scope": "openid\tprofile"}, InvalidScope),
    "nothing left of scope": ({"scope": "orders:write OPENID"}, InvalidScope),
    # AUTHZ-15
    "fragment": ({"response_mode": "fragment"}, InvalidRequest),
    "web_message": ({"response_mode": "web_message"}, InvalidRequest),
    "jwt": ({"response_mode": "query.jwt"}, InvalidRequest),
    # AUTHZ-8
    "request": ({"request": "e30.e30."}, RequestNotSupported),
    "request_uri": ({"request_uri": "https://app.example/r"}, RequestUriNotSupported),
    "registration": ({"registration": "{}"}, RegistrationNotSupported),
    # RES-1
    "foreign resource": ({"resource": "https://evil.example"}, InvalidTarget),
    "fragment in resource": ({"resource": "https://orders.example#x"}, InvalidTarget),
    "relative resource": ({"resource": "orders"}, InvalidTarget),
}


@pytest.mark.parametrize(("changed", "refusal"), REFUSALS.values(), ids=REFUSALS)
def test_a_refusal_is_for_the_client(
    changed: dict[str, str | None], refusal: type[OAuthError]
) -> None:
    """AC-1, AC-2, AUTHZ-5, AUTHZ-6, AUTHZ-8, AUTHZ-10, AUTHZ-11, AUTHZ-12, AUTHZ-14, AUTHZ-15,
    RES-1, ATK-45: with a target to send it to."""
    pairs = pairs_with(**changed)
    target = read_target(pairs, CLIENT)
    with pytest.raises(OAuthError) as refused:
        read_request(pairs, target, CLIENT)
    assert type(refused.value) is refusal
    assert (target.redirect_uri, target.response_mode) == (CALLBACK, "query")
    assert target.state == (GOOD["state"] if "state" not in changed else None)
    # RFC 6749 §4.1.2.1, and no echo of what was sent
    assert refused.value.description.isascii()
    assert not set(refused.value.description) & set('"\\')


@pytest.mark.parametrize(
    "name",
    [
        *("response_type", "scope", "state", "nonce", "code_challenge", "code_challenge_method"),
        *("response_mode", "prompt", "max_age", "login_hint", "ui_locales", "acr_values"),
        *("id_token_hint", "request", "request_uri", "registration"),
    ],
)
def test_a_repeated_parameter_is_refused(name: str) -> None:
    """AUTHZ-5: also with equal values, also an empty one; RFC 6749 §3.1."""
    value = GOOD.get(name, "")
    for again in (value, ""):
        pairs = [*pairs_with(**{name: value}), (name, again)]
        target = read_target(pairs, CLIENT)
        with pytest.raises(InvalidRequest):
            read_request(pairs, target, CLIENT)
        assert target.state == (None if name == "state" else GOOD["state"])


def test_a_client_without_the_grant_is_refused() -> None:
    """AUTHZ-8: RFC 6749 §4.1.2.1, unauthorized_client."""
    client = replace(CLIENT, grant_types=("refresh_token", "client_credentials"))
    target = read_target(pairs_with(), client)
    with pytest.raises(UnauthorizedClient):
        read_request(pairs_with(), target, client)


def test_pkce_is_waived_for_openid_connect_with_a_secret_alone() -> None:
    """CONF-3, ATK-45: and nothing is waived of a challenge that is sent."""
    bare = {"code_challenge": None, "code_challenge_method": None}
    assert read(pairs_with(**bare), WAIVED).code_challenge is None
    assert read(pairs_with(), WAIVED).code_challenge == CHALLENGE
    for changed, client in (
        (bare, CLIENT),
        (bare | {"scope": "orders:read"}, WAIVED),
        (bare, replace(WAIVED, type="public")),
        (bare, replace(WAIVED, scopes=("orders:read",))),
        ({"code_challenge": None}, WAIVED),
        ({"code_challenge_method": None}, WAIVED),
        ({"code_challenge_method": "plain"}, WAIVED),
        ({"code_challenge": "short"}, WAIVED),
    ):
        with pytest.raises(InvalidRequest):
            read(pairs_with(**changed), client)
