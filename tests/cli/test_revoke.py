"""watchword revoke: from the command line to every pod."""

import subprocess
import sys
from uuid import uuid4

import pytest

from service.oauth.jws import MAX_TOKEN_LENGTH
from tests.cli.conftest import Watchword
from tests.cli.pods import ROOT
from tests.conftest import AUDIENCE
from tests.faults.failover_support import Pod, until


@pytest.mark.parametrize("way", ["argument", "standard input"])
def test_a_revoked_token_is_void_at_once(watchword: Watchword, pod: Pod, way: str) -> None:
    client = watchword.make_client()
    token, kept = pod.token(client), pod.token(client)
    assert pod.introspect(client, token) == "active"
    if way == "argument":
        said = watchword("revoke", "--token", token)
    else:
        said = watchword("revoke", "--token", "-", stdin=f"{token}\n")
    assert (said.code, said.err) == (0, "")
    jti, _, rest = said.out.partition(" ")
    assert rest == "is void\n"
    assert pod.introspect(client, token) == "inactive"
    assert pod.introspect(client, kept) == "active"
    assert watchword("revoke", "--token", token).out == f"{jti} was void already\n"


def test_a_revoked_client_has_no_token_left_and_may_have_new_ones(
    watchword: Watchword, pod: Pod
) -> None:
    client, other = watchword.make_client(), watchword.make_client("--serves", AUDIENCE)
    tokens = [pod.token(client) for _ in range(2)]
    said = watchword("revoke", "--client", client[0])
    assert said.out == f"tokens of {client[0]} below epoch 1 are void\n"
    assert [pod.introspect(other, token) for token in tokens] == ["inactive"] * 2
    until(lambda: pod.introspect(other, pod.token(client)) == "active")


@pytest.mark.parametrize(
    "token",
    ["", "a.b.c", "\udcff", "x" * (MAX_TOKEN_LENGTH + 1), "wwr_", "wwr_" + "A" * 116],
    ids=["empty", "odd", "binary", "long", "cut", "refresh"],
)
def test_what_is_no_token_is_an_error(watchword: Watchword, token: str) -> None:
    refused = ["this is no token of this issuer"]
    assert watchword("revoke", "--token", token).errors == refused
    stdin = token.encode(errors="surrogateescape") * 2
    assert watchword("revoke", "--token", "-", stdin=stdin).errors == refused


def test_a_token_of_another_issuer_is_an_error(watchword: Watchword, pod: Pod) -> None:
    token = pod.token(watchword.make_client())
    header, _, tail = token.partition(".")
    assert watchword("revoke", "--token", f"{header}.e30.{tail.partition('.')[2]}").code == 1


def test_a_client_that_is_not_there_is_an_error(watchword: Watchword) -> None:
    assert watchword("revoke", "--client", "absent").errors == ["there is no client absent"]


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--token", "x", "--client", "abc"],
        ["--user", "x", "--session", str(uuid4())],
        ["--client", "a b"],
        ["--session", "x"],
        ["--user", ""],
    ],
)
def test_one_of_the_four_must_be_named(watchword: Watchword, options: list[str]) -> None:
    assert watchword("revoke", *options).code == 2


def test_what_a_command_can_not_publish_a_pod_publishes(watchword: Watchword, pod: Pod) -> None:
    client = watchword.make_client("--serves", AUDIENCE)
    token = pod.token(client)
    said = watchword("clients", "disable", client[0], KEYS_DIR="/absent")
    assert said.code == 0
    assert said.out == f"{client[0]} is disabled; tokens below epoch 1 are void\n"
    assert said.err.startswith("note: not published from here (the keys folder /absent is not ")
    other = watchword.make_client("--serves", AUDIENCE)
    assert pod.introspect(other, token) == "inactive"
    until(lambda: pod.introspect(client, token) == "401", 5)  # heard from the feed alone


def test_redis_being_away_neither_fails_nor_soils_what_is_printed(watchword: Watchword) -> None:
    client_id, _ = watchword.make_client()
    # As a process: what its flows log must not reach standard output.
    result = subprocess.run(
        [sys.executable, "-m", "service", "revoke", "--client", client_id],
        cwd=ROOT,
        env={**watchword.environment, "WATCHWORD_REDIS_URL": "redis://127.0.0.1:1/0"},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert result.returncode == 0
    assert result.stdout == f"tokens of {client_id} below epoch 1 are void\n"
    # Nothing, where a pod that lives in the same database was faster to publish it.
    note = "note: Redis is away; verifiers hear of it over HTTP until it is back\n"
    assert result.stderr in {"", note}
