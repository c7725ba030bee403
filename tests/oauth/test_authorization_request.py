"""The authorization request: RFC 6749 §4.1.1, OpenID Connect Core §3.1.2.1."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.oauth.authorization_request import (
    AuthorizationRequest,
    read_client_id,
    read_target,
)
from service.oauth.errors import (
    InvalidRequest,
    InvalidScope,
    InvalidTarget,
)
from tests.oauth.clients import CLIENT, NATIVE
from tests.oauth.requests import CALLBACK, CHALLENGE, ONE_URI, pairs_with, read

TEXT = st.text(st.characters(codec="utf-8"))


def test_a_request_is_read() -> None:
    """AUTHZ-2: the members that were sent, and the defaults of the others."""
    pairs = pairs_with()
    assert read_client_id(pairs) == "web"
    assert read(pairs) == AuthorizationRequest(
        client_id="web",
        redirect_uri=CALLBACK,
        redirect_uri_sent=True,
        response_mode="query",
        state="s+%20ü",
        scope=("openid", "orders:read"),
        resource=None,
        nonce="n",
        code_challenge=CHALLENGE,
        prompt=frozenset(),
        max_age=None,
        login_hint=None,
        ui_locales=(),
        acr_values=(),
        id_token_hint=None,
    )
    assert read(pairs).is_openid
    assert not read(pairs_with(scope="orders:read")).is_openid


def test_it_is_not_shown_in_a_log() -> None:
    """ATK-96: neither the state nor a hint, which is a token."""
    request = read(pairs_with(state="secret-state", id_token_hint="secret.id.token"))
    assert "secret" not in repr(request)
    assert "secret" not in repr(read_target(pairs_with(state="secret-state"), CLIENT))


def test_the_only_redirect_uri_can_be_left_out() -> None:
    """AUTHZ-2: RFC 6749 §3.1.2.3; not where there are two or none, and not by OpenID Connect."""
    pairs = pairs_with(redirect_uri=None, scope="orders:read")
    target = read_target(pairs, ONE_URI)
    assert (target.redirect_uri, target.redirect_uri_sent) == (CALLBACK, False)
    assert not read(pairs, ONE_URI).redirect_uri_sent
    for bad, client in (
        (pairs, CLIENT),
        (pairs, replace(CLIENT, redirect_uris=())),
        (pairs_with(redirect_uri=None), ONE_URI),
        ([*pairs, ("scope", "openid")], ONE_URI),
    ):
        with pytest.raises(InvalidRequest, match="redirect_uri is missing"):
            read_target(bad, client)


def test_a_native_client_names_its_port() -> None:
    """AUTHZ-3: the answer goes to the port that it named."""
    pairs = pairs_with(client_id="native", redirect_uri="http://127.0.0.1:51234/cb")
    assert read(pairs, NATIVE).redirect_uri == "http://127.0.0.1:51234/cb"
    with pytest.raises(InvalidRequest):
        read(pairs, replace(NATIVE, type="confidential"))


def test_empty_is_absent_and_unknown_is_ignored() -> None:
    """AUTHZ-5: whatever is unknown, however often."""
    empty = dict.fromkeys(
        ("response_mode", "prompt", "max_age", "login_hint", "request", "request_uri"), ""
    )
    unknown = [("display", "x"), ("display", "y"), ("claims", "{"), ("STATE", "x"), ("", "x")]
    unknown += [("claims_locales", "??"), ("code_verifier", "x"), ("resource", "")]
    assert read([*unknown, *pairs_with(**empty)]) == read(pairs_with())
    assert read(pairs_with(state="", nonce="")) == replace(
        read(pairs_with()), state=None, nonce=None
    )


def test_the_longest_state_and_nonce() -> None:
    """AUTHZ-6, AUTHZ-12: characters, of whatever alphabet; never cut."""
    request = read(pairs_with(state="ü" * 2048, nonce="n" * 255))
    assert (request.state, request.nonce) == ("ü" * 2048, "n" * 255)


def test_a_refusal_is_answered_in_the_mode_that_was_asked_for() -> None:
    """AUTHZ-15: in the default one where the mode is the fault."""
    for pairs, mode in (
        (pairs_with(response_mode="form_post", scope='"'), "form_post"),
        (pairs_with(response_mode="query"), "query"),
        (pairs_with(response_mode="fragment"), "query"),
        ([*pairs_with(response_mode="form_post"), ("response_mode", "form_post")], "query"),
    ):
        assert read_target(pairs, CLIENT).response_mode == mode
    assert read(pairs_with(response_mode="form_post")).response_mode == "form_post"


@pytest.mark.parametrize(
    ("sent", "granted"),
    [
        ("orders:read openid", ("orders:read", "openid")),
        ("openid unheard_of orders:write profile", ("openid", "profile")),
        ("openid openid offline_access", ("openid", "offline_access")),
        # What only a person can grant has to be asked for by name.
        (None, ("profile", "orders:read")),
        ("", ("profile", "orders:read")),
    ],
)
def test_scope_that_the_client_may_not_have_is_dropped(
    sent: str | None, granted: tuple[str, ...]
) -> None:
    """AUTHZ-14: OpenID Connect Core §3.1.2.1."""
    assert read(pairs_with(scope=sent)).scope == granted


def test_without_scope_there_is_a_default_or_a_refusal() -> None:
    """AUTHZ-14."""
    with_default = replace(CLIENT, default_scopes=("openid", "orders:read"))
    assert read(pairs_with(scope=None), with_default).scope == ("orders:read",)
    with pytest.raises(InvalidScope):
        read(pairs_with(scope=None), replace(CLIENT, scopes=("openid",)))


def test_a_resource_is_one_of_the_clients() -> None:
    """RES-1: RFC 8707 §2; two are one too many for one access token."""
    first, second = (("resource", audience) for audience in CLIENT.audiences)
    assert read([*pairs_with(), second]).resource == CLIENT.audiences[1]
    for several in ([first, second], [first, first]):
        with pytest.raises(InvalidTarget):
            read([*pairs_with(), *several])
    assert read(pairs_with(), replace(CLIENT, audiences=())).resource is None


@pytest.mark.parametrize(
    ("sent", "prompt"),
    [
        ("none", {"none"}),
        ("login", {"login"}),
        ("consent select_account", {"consent", "select_account"}),
        ("login login", {"login"}),
        (None, set()),
    ],
)
def test_prompt(sent: str | None, prompt: set[str]) -> None:
    """AUTHZ-10."""
    assert read(pairs_with(prompt=sent)).prompt == prompt


@pytest.mark.parametrize("seconds", [0, 1, 3600, 1 << 31])
def test_max_age(seconds: int) -> None:
    """AUTHZ-11."""
    assert read(pairs_with(max_age=str(seconds))).max_age == seconds


@given(TEXT, TEXT, TEXT, TEXT)
def test_hints_never_cause_an_error(hint: str, locales: str, acr: str, token: str) -> None:
    """AUTHZ-13: what can't be followed is passed over."""
    request = read(
        pairs_with(login_hint=hint, ui_locales=locales, acr_values=acr, id_token_hint=token)
    )
    assert request.login_hint == (hint or None)
    assert set(request.ui_locales) <= set(locales.split())
    assert set(request.acr_values) <= set(acr.split())
    assert request.id_token_hint == (token or None)


def test_hints_that_are_too_long_are_none() -> None:
    """AUTHZ-13: so that nobody fills the stored request with them."""
    assert read(pairs_with(login_hint="a" * 320)).login_hint == "a" * 320
    assert read(pairs_with(login_hint="a" * 321)).login_hint is None
    assert read(pairs_with(ui_locales="de-CH fr <b> en")).ui_locales == ("de-CH", "fr", "en")
    assert len(read(pairs_with(ui_locales="de " * 50)).ui_locales) == 10
    acr = f"urn:mace:gold {'a' * 256} é"
    assert read(pairs_with(acr_values=acr)).acr_values == ("urn:mace:gold",)
