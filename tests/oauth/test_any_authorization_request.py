"""Whatever an authorization request is made of: properties of all of them."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from service.oauth.authorization_request import (
    AuthorizationRequest,
    read_request,
    read_target,
)
from service.oauth.client import Client
from service.oauth.errors import (
    InvalidRequest,
    OAuthError,
)
from tests.oauth.clients import CLIENT, NATIVE
from tests.oauth.requests import GOOD, ONE_URI, WAIVED, Pairs, pairs_with, read

TEXT = st.text(st.characters(codec="utf-8"))


NAMES = st.sampled_from([*GOOD, "resource", "response_mode", "prompt", "max_age", "ui_locales"])
VALUES = TEXT | st.sampled_from(
    [*GOOD.values(), "none", "login consent", "form_post", "0", "60", *CLIENT.audiences, "de en"]
)
ANY_PAIRS = st.lists(st.tuples(NAMES | TEXT, VALUES), max_size=5)


@given(
    st.lists(st.sampled_from(pairs_with()), unique=True) | st.just(pairs_with()),
    ANY_PAIRS,
    st.sampled_from([CLIENT, NATIVE, WAIVED, ONE_URI, replace(CLIENT, grant_types=())]),
)
def test_any_pairs_are_a_request_or_refused(good: Pairs, more: Pairs, client: Client) -> None:
    """AUTHZ-2, ATK-45, ATK-65, ATK-66: nothing else is ever raised, and no rule gets round."""
    pairs = [*good, *more]
    try:
        target = read_target(pairs, client)
    except InvalidRequest:
        return
    assert target.redirect_uri in client.redirect_uris
    try:
        request = read_request(pairs, target, client)
    except OAuthError:
        return
    assert request.scope
    assert set(request.scope) <= set(client.scopes)
    assert request.code_challenge or (client is WAIVED and "openid" in request.scope)
    assert request.resource in {None, *client.audiences}


def written(request: AuthorizationRequest) -> Pairs:
    """The parameters of the same request."""
    members = {
        "client_id": request.client_id,
        "redirect_uri": request.redirect_uri if request.redirect_uri_sent else None,
        "response_type": "code",
        "response_mode": request.response_mode,
        "state": request.state,
        "scope": " ".join(request.scope),
        "resource": request.resource,
        "nonce": request.nonce,
        "code_challenge": request.code_challenge,
        "code_challenge_method": request.code_challenge and "S256",
        "prompt": " ".join(request.prompt),
        "max_age": None if request.max_age is None else str(request.max_age),
        "login_hint": request.login_hint,
        "ui_locales": " ".join(request.ui_locales),
        "acr_values": " ".join(request.acr_values),
        "id_token_hint": request.id_token_hint,
    }
    return [(name, value) for name, value in members.items() if value is not None]


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "state": TEXT,
            "nonce": TEXT,
            "scope": st.sampled_from(["openid", "offline_access openid x", "orders:read", ""]),
            "resource": st.sampled_from(CLIENT.audiences),
            "response_mode": st.sampled_from(["query", "form_post"]),
            "prompt": st.sampled_from(["none", "login", "consent login", "select_account"]),
            "max_age": st.integers(0, 1 << 31).map(str),
            "login_hint": TEXT,
            "ui_locales": TEXT | st.just("de-CH en"),
            "acr_values": TEXT,
            "id_token_hint": TEXT,
        },
    )
)
def test_what_is_read_can_be_written_back(changed: dict[str, str]) -> None:
    """AUTHZ-6, AUTHZ-12: every member, byte for byte."""
    request = read(pairs_with(**changed))
    assert read(written(request)) == request
    assert (request.state or "") == changed.get("state", GOOD["state"])
    assert (request.nonce or "") == changed.get("nonce", GOOD["nonce"])
