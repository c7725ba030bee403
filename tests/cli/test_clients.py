"""watchword clients."""

import json
from hashlib import sha256
from uuid import uuid4

import pytest

from service.embedded.postgres import EmbeddedPostgres
from tests.cli.conftest import Watchword
from tests.conftest import AUDIENCE
from tests.faults.failover_support import Pod, sql, until


def rows(said: str) -> dict[str, str]:
    """A table of two columns."""
    return dict(line.split(maxsplit=1) for line in said.splitlines()[1:])


def test_a_new_client_gets_tokens_with_a_secret_that_is_shown_once(
    watchword: Watchword, pod: Pod, postgres: EmbeddedPostgres
) -> None:
    client_id = f"c-{uuid4().hex[:12]}"
    options = ["--audience", AUDIENCE, "--scope", "orders:read", "--name", "Orders, nightly"]
    said = watchword("clients", "create", client_id, *options)
    assert said.code == 0
    heading, secret = said.out.splitlines()
    assert heading.split() == ["client_id", client_id]
    secret = secret.removeprefix("client_secret  ")
    assert secret.startswith("wws_")
    assert said.err == "The secret is shown this once; the database keeps only its SHA-256.\n"
    assert pod.token((client_id, secret))
    shown = watchword("clients", "show", client_id)
    listed = watchword("clients", "list", "--json")
    for text in (shown.out, shown.err, listed.out, listed.err, watchword("audit").out):
        assert secret not in text
        assert secret[10:30] not in text
    database = watchword.environment["WATCHWORD_DATABASE_URL"].rpartition("/")[2]
    digest = sql(
        postgres,
        "SELECT digest FROM client_secrets WHERE client_id = $1",
        client_id,
        database=database,
    )
    assert digest == sha256(secret.encode()).digest()


def test_a_public_client_has_no_secret(watchword: Watchword) -> None:
    client_id = f"c-{uuid4().hex[:12]}"
    said = watchword("clients", "create", client_id, "--public", "--audience", AUDIENCE)
    assert (said.code, said.out, said.err) == (0, f"client_id      {client_id}\n", "")
    assert rows(watchword("clients", "show", client_id).out)["type"] == "public"
    refused = watchword("clients", "rotate-secret", client_id)
    assert refused.errors == [f"{client_id} is a public client: it has no secret"]


def test_all_that_a_client_is_can_be_said_and_shown(watchword: Watchword) -> None:
    options = ["--audience", "https://billing.example", "--scope", "a", "--scope", "b"]
    options += ["--signing-alg", "ES256"]
    client_id, _ = watchword.make_client(
        *options, "--default-scope", "a", "--serves", "https://crm.example", "--token-ttl", "90"
    )
    said = watchword("clients", "show", client_id, "--json")
    (line,) = said.out.splitlines()
    assert json.loads(line) == {
        "id": client_id,
        "name": client_id,
        "type": "confidential",
        "first_party": False,
        "enabled": True,
        "shadow_until": None,
        "secrets": 1,
        "audiences": [AUDIENCE, "https://billing.example"],
        "scopes": ["a", "b"],
        "default_scopes": ["a"],
        "grant_types": ["client_credentials"],
        "redirect_uris": [],
        "post_logout_redirect_uris": [],
        "require_pkce": True,
        "consent": "ask",
        "token_endpoint_auth_method": "client_secret_basic",
        "serves": ["https://crm.example"],
        "access_token_ttl": 90,
        "session_idle_ttl": 7 * 86_400,
        "session_absolute_ttl": 30 * 86_400,
        "grace": 30,
        "refresh_delivery": "body",
        "allowed_origins": [],
        "signing_alg": "ES256",
        "administrator": False,
        "epoch": 0,
    }
    table = rows(watchword("clients", "show", client_id).out)
    (line,) = (
        line
        for line in watchword("clients", "list", "--json").out.splitlines()
        if json.loads(line)["id"] == client_id
    )
    assert json.loads(line)["serves"] == ["https://crm.example"]
    assert table["scopes"] == "a b"
    assert table["access_token_ttl"] == "90"


def test_who_asks_for_an_algorithm_without_a_key_is_told(watchword: Watchword, pod: Pod) -> None:
    client_id, _ = watchword.make_client()
    said = watchword("clients", "change", client_id, "--signing-alg", "ES256")
    assert said.err.startswith("note: no ES256 key signs so far")
    until(lambda: "ES256" in watchword("keys", "list").out)
    assert watchword("keys", "rotate", "--alg", "ES256", "--now").code == 0
    assert watchword("clients", "change", client_id, "--signing-alg", "ES256").err == ""
    assert watchword("clients", "change", client_id, "--signing-alg", "RS256").err == ""


def test_an_administrator_gets_the_audience_and_scope_of_its_office(watchword: Watchword) -> None:
    """DESIGN §6: both with the mark, and they go with it."""
    client_id, _ = watchword.make_client("--scope", "a")
    assert watchword("clients", "change", client_id, "--administrator").code == 0
    shown = rows(watchword("clients", "show", client_id).out)
    office = f"{watchword.environment['WATCHWORD_ISSUER']}/admin"
    assert (shown["administrator"], shown["audiences"]) == ("True", f"{AUDIENCE} {office}")
    assert shown["scopes"] == "a watchword:admin"
    refused = watchword("clients", "create", f"{client_id}-2", "--audience", office)
    assert refused.errors == [f"{office} and watchword:admin are for administrators"]
    assert watchword("clients", "change", client_id, "--no-administrator").code == 0
    shown = rows(watchword("clients", "show", client_id).out)
    assert (shown["administrator"], shown["scopes"]) == ("False", "a")


def test_the_list_has_every_client_by_id(watchword: Watchword) -> None:
    made = sorted(watchword.make_client()[0] for _ in range(2))
    listed = [
        json.loads(line)["id"] for line in watchword("clients", "list", "--json").out.splitlines()
    ]
    assert listed == sorted(listed)
    assert set(made) <= set(listed)
    heading, *lines = watchword("clients", "list").out.splitlines()
    shown = "id name type first_party enabled shadow_until secrets audiences scopes"
    assert heading.split() == shown.split()
    assert [line.split()[0] for line in lines] == listed


def test_every_reason_against_a_registration_is_named(watchword: Watchword) -> None:
    wrong = ["--scope", "a b", "--default-scope", "c", "--token-ttl", "7", "--grant", "password"]
    errors = watchword("clients", "create", "x", "--name", "\x1b[31m", *wrong).errors
    begins = ("id must", "name must", "grant types that", "scope values", "default", "access token")
    begins += ("password needs an audience",)
    assert len(errors) == len(begins)
    for error, begin in zip(errors, begins, strict=True):
        assert error.startswith(begin)


def test_an_id_that_is_taken_is_refused(watchword: Watchword, pod: Pod) -> None:
    client = watchword.make_client()
    again = watchword("clients", "create", client[0], "--audience", AUDIENCE)
    assert again.errors == [f"the client {client[0]} exists already"]
    assert pod.token(client)


def test_a_new_secret_works_beside_the_one_before_it(watchword: Watchword, pod: Pod) -> None:
    client_id, first = watchword.make_client()
    said = watchword("clients", "rotate-secret", client_id)
    second = said.out.removeprefix("client_secret  ").strip()
    assert said.err == "The secret before it works for 24 more hours.\n"
    assert pod.token((client_id, first))
    assert pod.token((client_id, second))
    assert rows(watchword("clients", "show", client_id).out)["secrets"] == "2"


def test_without_an_overlap_only_the_newest_secret_works(watchword: Watchword, pod: Pod) -> None:
    client_id, first = watchword.make_client()
    rotate = ["clients", "rotate-secret", client_id, "--overlap-hours", "0"]
    second, third = (watchword(*rotate).out.split()[-1] for _ in range(2))
    assert len({first, second, third}) == 3
    for ended in (first, second):
        assert pod.introspect((client_id, ended), "x") == "401"
    assert pod.token((client_id, third))


def test_a_disabled_client_has_nothing_at_once(watchword: Watchword, pod: Pod) -> None:
    client, other = watchword.make_client(), watchword.make_client("--serves", AUDIENCE)
    token = pod.token(client)
    assert pod.introspect(other, token) == "active"
    said = watchword("clients", "disable", client[0])
    assert (said.code, said.err) == (0, "")
    assert said.out == f"{client[0]} is disabled; tokens below epoch 1 are void\n"
    assert pod.introspect(other, token) == "inactive"
    until(lambda: pod.introspect(client, token) == "401")
    assert rows(watchword("clients", "show", client[0]).out)["enabled"] == "False"


def test_a_client_that_is_enabled_again_begins_anew(watchword: Watchword, pod: Pod) -> None:
    client = watchword.make_client()
    watchword("clients", "disable", client[0])
    assert watchword("clients", "enable", client[0]).out == f"{client[0]} is enabled\n"
    assert pod.introspect(client, pod.token(client)) == "active"
    assert (
        rows(watchword("clients", "show", client[0]).out)["epoch"] == "1"
    )  # those before are void


@pytest.mark.parametrize("command", ["show", "rotate-secret", "disable", "enable"])
def test_a_client_that_is_not_there_is_an_error(watchword: Watchword, command: str) -> None:
    assert watchword("clients", command, "absent").errors == ["there is no client absent"]


@pytest.mark.parametrize("command", ["show", "rotate-secret", "disable", "enable"])
@pytest.mark.parametrize("client_id", ["'; --", "a", "\udcff\udcfe\udcfd", "\x1b[31m", "*" * 5000])
def test_what_can_be_no_id_is_a_usage_error(
    watchword: Watchword, command: str, client_id: str
) -> None:
    said = watchword("clients", command, client_id)
    assert said.code == 2
    assert said.err.endswith("a client id is 3 to 64 of A-Z a-z 0-9 _ -\n")
    assert "\x1b" not in said.err


@pytest.mark.parametrize(
    "options", [["--token-ttl", "1" * 30], ["--token-ttl", "-1"], ["--token-ttl", "soon"]]
)
def test_a_number_out_of_range_is_a_usage_error(watchword: Watchword, options: list[str]) -> None:
    assert watchword("clients", "create", "abc", *options).code == 2
    assert watchword("clients", "rotate-secret", "abc", "--overlap-hours", "9" * 20).code == 2
