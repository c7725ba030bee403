"""watchword clients: first-party clients, what changes of a client, and shadow mode."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from tests.cli.conftest import Watchword
from tests.cli.people import is_over, log_in, make_app, make_person, refresh
from tests.conftest import AUDIENCE
from tests.faults.failover_support import Pod

WEB = ["--refresh-delivery", "cookie", "--allowed-origin", "https://shop.example"]


def show(watchword: Watchword, client_id: str) -> dict[str, Any]:
    return json.loads(watchword("clients", "show", client_id, "--json").out)


def test_a_first_party_client_is_public(watchword: Watchword) -> None:
    client_id = make_app(watchword, *WEB, "--allowed-origin", "http://localhost:8080")
    shown = show(watchword, client_id)
    assert (shown["type"], shown["first_party"], shown["grant_types"]) == ("public", True, [])
    assert shown["refresh_delivery"] == "cookie"
    assert shown["allowed_origins"] == ["https://shop.example", "http://localhost:8080"]


def test_lifetimes_and_grace_can_be_said(watchword: Watchword) -> None:
    lifetimes = ["--session-idle", "90m", "--session-absolute", "12h", "--grace", "0"]
    shown = show(watchword, make_app(watchword, *lifetimes))
    assert (shown["session_idle_ttl"], shown["session_absolute_ttl"]) == (5400, 43_200)
    assert shown["grace"] == 0


def test_a_public_client_of_others_may_refresh(watchword: Watchword) -> None:
    client_id = f"c-{uuid4().hex[:12]}"
    create = ["clients", "create", client_id, "--public", "--audience", AUDIENCE]
    assert watchword(*create, "--grant", "refresh_token").code == 0
    shown = show(watchword, client_id)
    assert (shown["first_party"], shown["grant_types"]) == (False, ["refresh_token"])


def test_a_client_of_the_code_flow_is_made_shown_and_changed(watchword: Watchword) -> None:
    """CONF-3, AT-3: with OpenID Connect alone it needs no audience."""
    client_id = f"c-{uuid4().hex[:12]}"
    options = ["--grant", "authorization_code", "--scope", "openid", "--consent", "skip"]
    options += ["--redirect-uri", "https://shop.example/cb", "--redirect-uri", "http://localhost/"]
    options += ["--post-logout-redirect-uri", "https://shop.example/", "--no-pkce"]
    said = watchword("clients", "create", client_id, *options)
    assert said.code == 0
    notes = [line for line in said.err.splitlines() if line.startswith("note: ")]
    assert [note.split()[1] for note in notes] == ["localhost", "without"]
    shown = show(watchword, client_id)
    assert shown["redirect_uris"] == ["https://shop.example/cb", "http://localhost/"]
    assert shown["post_logout_redirect_uris"] == ["https://shop.example/"]
    assert (shown["require_pkce"], shown["consent"], shown["audiences"]) == (False, "skip", [])
    change = ["--pkce", "--consent", "ask", "--post-logout-redirect-uri", ""]
    said = watchword("clients", "change", client_id, *change, "--redirect-uri", "https://x.example")
    assert (said.code, said.err) == (0, "")
    changed = {"redirect_uris": ["https://x.example"], "post_logout_redirect_uris": []}
    again = {**shown, **changed, "require_pkce": True, "consent": "ask"}
    assert show(watchword, client_id) == again


def test_only_what_is_named_changes(watchword: Watchword) -> None:
    client_id = make_app(watchword, *WEB, "--token-ttl", "90", "--default-scope", "orders:read")
    before = show(watchword, client_id)
    said = watchword("clients", "change", client_id, "--grace", "5")
    assert (said.code, said.err) == (0, "")
    assert said.out == f"{client_id} is changed; every pod knows it within seconds\n"
    assert show(watchword, client_id) == {**before, "grace": 5}
    lists = ["--scope", "a", "--scope", "b", "--default-scope", "", "--allowed-origin", ""]
    assert watchword("clients", "change", client_id, *lists, "--name", "The shop").code == 0
    assert show(watchword, client_id) == {
        **before,
        "grace": 5,
        "name": "The shop",
        "scopes": ["a", "b"],
        "default_scopes": [],
        "allowed_origins": [],
    }
    others = ["--third-party", "--refresh-delivery", "body", "--grant", "refresh_token"]
    assert watchword("clients", "change", client_id, *others).code == 0
    shown = show(watchword, client_id)
    assert (shown["first_party"], shown["grant_types"]) == (False, ["refresh_token"])


def test_a_change_keeps_secrets_epoch_and_state(watchword: Watchword, pod: Pod) -> None:
    client = watchword.make_client()
    watchword("clients", "disable", client[0])
    assert watchword("clients", "change", client[0], "--serves", AUDIENCE).code == 0
    shown = show(watchword, client[0])
    assert (shown["enabled"], shown["epoch"], shown["secrets"]) == (False, 1, 1)
    watchword("clients", "enable", client[0])
    assert pod.token(client)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--grace", "61"], "the grace window must be"),
        (["--session-idle", "31d"], "the idle lifetime must be"),
        (["--session-absolute", "366d"], "the absolute lifetime must be"),
        (["--refresh-delivery", "cookie", "--grant", "refresh_token"], "a client with a cookie"),
        (["--allowed-origin", "https://shop.example/x"], "no origin: 'https://shop.example/x'"),
        (["--third-party", "--allowed-origin", "https://shop.example"], "cookies and origins are"),
        (["--grant", "client_credentials"], "a public client can't have"),
        (["--grant", "authorization_code"], "authorization_code needs a redirect URI"),
        (["--redirect-uri", "http://shop.example/"], "no redirect URI: 'http://shop.example/'"),
        (["--no-pkce"], "only a confidential client with"),
    ],
)
def test_a_change_that_can_not_be_is_refused(
    watchword: Watchword, options: list[str], said: str
) -> None:
    client_id = make_app(watchword)
    before = show(watchword, client_id)
    (error,) = watchword("clients", "change", client_id, *options).errors
    assert error.startswith(said)
    assert show(watchword, client_id) == before


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--grace", "-1"],
        ["--session-idle", "12"],
        ["--session-idle", "soon"],
        ["--session-absolute", "9" * 30 + "d"],
        ["--refresh-delivery", "post"],
        ["--consent", "never"],
        ["--public"],
    ],
)
def test_what_is_no_change_is_a_usage_error(watchword: Watchword, options: list[str]) -> None:
    assert watchword("clients", "change", make_app(watchword), *options).code == 2


def test_in_shadow_mode_reuse_ends_no_session(watchword: Watchword, pod: Pod) -> None:
    app, user = make_app(watchword, "--grace", "0"), make_person(watchword)
    said = watchword("clients", "shadow", app, "on")
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith(f"{app} is in shadow mode: reuse ends no session until ")
    until = datetime.fromisoformat(said.out.split()[-1])
    left = until - datetime.now(UTC)
    assert timedelta(days=29, hours=23) < left < timedelta(days=30, hours=1)
    assert show(watchword, app)["shadow_until"] == until.isoformat()
    first = log_in(pod, app, user.name, user.password)
    second = refresh(pod, app, first)
    assert is_over(pod, app, first)
    second = refresh(pod, app, second)  # reported, and going on
    said = watchword("clients", "shadow", app, "off")
    assert said.out == f"{app} is out of shadow mode: reuse ends the session\n"
    assert show(watchword, app)["shadow_until"] is None
    assert is_over(pod, app, first)
    assert is_over(pod, app, second)
    assert watchword("clients", "shadow", app, "maybe").code == 2


def test_a_client_that_is_not_there_is_not_changed(watchword: Watchword) -> None:
    for command in (["change", "absent", "--grace", "5"], ["shadow", "absent", "on"]):
        assert watchword("clients", *command).errors == ["there is no client absent"]
    assert watchword("clients", "change", "a b", "--grace", "5").code == 2
