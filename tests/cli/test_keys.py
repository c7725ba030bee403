"""watchword keys list, rotate, kill, rewrap, export-public and import."""

import asyncio
import base64
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from migrations.runner import migrate
from service.embedded.postgres import EmbeddedPostgres
from service.embedded.redis import EmbeddedRedis
from service.keys.master_keys import create_master_keys
from service.oauth.jws import encode_base64url
from tests.cli.conftest import Watchword
from tests.cli.pods import serve
from tests.faults.failover_support import Pod, free_port, until
from tests.keys.pem import pem


@pytest.fixture(scope="module")
def site(
    postgres: EmbeddedPostgres,
    redis_server: EmbeddedRedis,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Watchword, Pod]]:
    """A deployment of the module's own, whose keys it may kill."""
    name = "keys_of_the_command_line"
    postgres.create_database(name)
    folder = tmp_path_factory.mktemp("site")
    create_master_keys(folder / "keys")
    port = free_port()
    watchword = Watchword(
        {
            "WATCHWORD_ISSUER": f"http://127.0.0.1:{port}",
            "WATCHWORD_LISTEN": f"127.0.0.1:{port}",
            "WATCHWORD_DATABASE_URL": postgres.url(name),
            "WATCHWORD_REDIS_URL": redis_server.url,
            "WATCHWORD_REDIS_PREFIX": name,
            "WATCHWORD_KEYS_DIR": str(folder / "keys"),
            "WATCHWORD_DRAIN": "0s",
        }
    )
    asyncio.run(migrate(postgres.url(name), report=lambda _: None))
    with serve(dict(watchword.environment), folder) as pod:
        until(pod.is_ready)
        yield watchword, pod


@pytest.fixture
def watchword(site: tuple[Watchword, Pod]) -> Watchword:
    return site[0]


@pytest.fixture
def pod(site: tuple[Watchword, Pod]) -> Pod:
    return site[1]


def keys_of(watchword: Watchword, purpose: str = "token") -> dict[str, dict[str, str]]:
    rows = [json.loads(line) for line in watchword("keys", "list", "--json").out.splitlines()]
    return {row["state"]: row for row in rows if row["for"] == purpose}


def published(pod: Pod) -> list[str]:
    return [key["kid"] for key in pod.http.get("/.well-known/jwks.json").json()["keys"]]


def signer(pod: Pod, client: tuple[str, str]) -> str:
    return httpx.Response(200, content=decoded(pod.token(client).split(".")[0])).json()["kid"]


def decoded(segment: str) -> bytes:
    return base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))


def test_a_list_says_what_is_and_what_comes(watchword: Watchword, pod: Pod) -> None:
    until(lambda: len(published(pod)) >= 2)
    said = watchword("keys", "list")
    heading, *lines = said.out.splitlines()
    assert heading.split()[:7] == ["kid", "for", "alg", "state", "since", "next", "at"]
    keys = keys_of(watchword)
    assert len(lines) >= 4
    assert (keys["active"]["next"], keys["pending"]["next"]) == ("retires", "signs")
    assert keys["active"]["at"] == keys["pending"]["at"]


def test_rotation_waits_and_says_for_what(watchword: Watchword) -> None:
    pending = keys_of(watchword)["pending"]
    said = watchword("keys", "rotate")
    first, reason = said.out.splitlines()
    assert first.startswith(f"{pending['kid']} signs from 20")
    assert reason == "  not sooner: no verifier reports, so nobody knows who has fetched it"


def test_rotation_at_once_reaches_a_running_pod(watchword: Watchword, pod: Pod) -> None:
    client = watchword.make_client()
    pending, old = keys_of(watchword)["pending"]["kid"], signer(pod, client)
    said = watchword("keys", "rotate", "--now")
    assert said.out == f"{pending} signs from now on\n"
    until(lambda: signer(pod, client) == pending)
    assert old in published(pod)


def test_a_killed_key_is_gone_and_its_tokens_with_it(watchword: Watchword, pod: Pod) -> None:
    client = watchword.make_client()
    token, active = pod.token(client), keys_of(watchword)["active"]["kid"]
    assert pod.introspect(client, token) == "active"
    said = watchword("keys", "kill", active)
    assert said.out.startswith(f"{active} is dead; ")
    until(lambda: pod.introspect(client, token) == "inactive", 3)
    until(lambda: active not in published(pod), 3)
    # In its place the next one signs, from the same moment on.
    assert signer(pod, client) == keys_of(watchword)["active"]["kid"] != active
    until(lambda: "pending" in keys_of(watchword))
    assert watchword("keys", "kill", active).out == f"{active} is dead already\n"
    assert "watchword keys list" in watchword("keys", "kill", "nobody").errors[0]
    for start in ("-", "-h", "--", "--wait"):  # a kid is any base64url
        kid = start.ljust(43, "A")
        for arguments in ((kid,), (kid, "--wait"), ("--wait", kid), ("--wait", "1", "--", kid)):
            assert kid in watchword("keys", "kill", *arguments).errors[0], arguments


def test_a_killed_key_of_the_feed_begins_a_new_epoch(watchword: Watchword, pod: Pod) -> None:
    active = keys_of(watchword, "feed")["active"]["kid"]
    said = watchword("keys", "kill", active, "--wait")
    _, epoch, waited = said.out.splitlines()
    assert epoch.startswith("the feed begins a new epoch")
    assert waited == "no verifier reports, so none can be waited for"
    path = "/.well-known/watchword-feed-keys.json"
    until(lambda: active not in [it["kid"] for it in pod.http.get(path).json()["keys"]], 3)
    until(lambda: pod.http.get("/readyz").json()["degraded"] == [])


def test_public_halves_alone_are_exported(watchword: Watchword, pod: Pod) -> None:
    exported = json.loads(watchword("keys", "export-public").out)["keys"]
    assert {key["kid"] for key in exported} == set(published(pod))
    assert all(set(key) == {"kty", "n", "e", "kid", "use", "alg"} for key in exported)


def test_a_key_from_elsewhere_becomes_the_next_one(watchword: Watchword, pod: Pod) -> None:
    until(lambda: "pending" in keys_of(watchword))
    before = keys_of(watchword)
    key = rsa.generate_private_key(public_exponent=65537, key_size=3072)
    said = watchword("keys", "import", "-", stdin=pem(key))
    kid = said.out.split()[0]
    after = keys_of(watchword)
    assert after["pending"]["kid"] == kid
    assert after["active"]["kid"] == before["active"]["kid"]
    until(lambda: kid in published(pod))
    assert before["pending"]["kid"] not in published(pod)
    numbers = {it["kid"]: it["n"] for it in pod.http.get("/.well-known/jwks.json").json()["keys"]}
    assert numbers[kid] == encode_base64url(key.public_key().public_numbers().n.to_bytes(384))
    assert "is or was a signing key" in watchword("keys", "import", "-", stdin=pem(key)).errors[0]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not a private key in PEM form"),
        (pem(ec.generate_private_key(ec.SECP256R1()))[:80], "not a private key"),
        (pem(ec.generate_private_key(ec.SECP384R1())), "neither an RSA key nor one of"),
        (pem(rsa.generate_private_key(65537, 1024)), "2048 to 4096 bits"),  # noqa: S505
        (pem(rsa.generate_private_key(public_exponent=3, key_size=2048)), "exponent 65537"),
    ],
    ids=["nothing", "broken", "another kind", "too short", "another exponent"],
)
def test_what_is_no_key_for_here_is_refused(
    watchword: Watchword, content: bytes, said: str
) -> None:
    assert said in watchword("keys", "import", "-", stdin=content).errors[0]


def test_another_master_key_takes_over_in_two_steps(
    watchword: Watchword, pod: Pod, tmp_path: Path
) -> None:
    """The new file first, everywhere: until then nothing can be moved under it."""
    folder = tmp_path / "keys"
    shutil.copytree(watchword.environment["WATCHWORD_KEYS_DIR"], folder)
    other = tmp_path / "other"
    create_master_keys(other)
    (folder / "wrap-2.key").write_text((other / "wrap-1.key").read_text())
    (folder / "wrap-2.key").chmod(0o600)
    (folder / "current").write_text("wrap 2\nrefresh 1\n")
    refused = watchword("keys", "rewrap", KEYS_DIR=str(folder))
    assert "lacks the master key wrap-2.key" in refused.errors[0]


def test_a_key_that_is_about_to_sign_is_not_replaced(
    watchword: Watchword, pod: Pod, postgres: EmbeddedPostgres
) -> None:
    """Pods go by its moment, also those that can't read of a change."""
    until(lambda: "pending" in keys_of(watchword))
    name = watchword.environment["WATCHWORD_DATABASE_URL"].rsplit("/", 1)[1]
    soon = "UPDATE signing_keys SET activates_at = now() + interval '{}' WHERE state = 'pending'"
    postgres.run_client("psql", ["-X", "-q", "-d", name, "-c", soon.format("10 minutes")])
    key = pem(rsa.generate_private_key(public_exponent=65537, key_size=2048))
    assert "is about to sign" in watchword("keys", "import", "-", stdin=key).errors[0]
    postgres.run_client("psql", ["-X", "-q", "-d", name, "-c", soon.format("30 days")])


def test_a_wrap_key_without_a_signing_key_is_named(
    watchword: Watchword, pod: Pod, tmp_path: Path
) -> None:
    folder = tmp_path / "keys"
    shutil.copytree(watchword.environment["WATCHWORD_KEYS_DIR"], folder)
    shutil.copy(folder / "wrap-1.key", folder / "wrap-9.key")
    said = watchword("doctor", KEYS_DIR=str(folder)).out
    assert "none is under wrap-9.key: it can go, unless it is the next" in said
    assert "wrap-1.key: it can go" not in said


def test_a_key_of_p_256_signs_tokens_and_no_feed(watchword: Watchword) -> None:
    """DESIGN §4: a feed key is an RSA key, which is verified in no time."""
    key = pem(ec.generate_private_key(ec.SECP256R1()))
    refused = watchword("keys", "import", "-", "--purpose", "feed", stdin=key)
    assert refused.errors == ["the feed is signed with an RSA key"]
    assert watchword("keys", "import", "-", stdin=key).code == 0
    listed = [json.loads(it) for it in watchword("keys", "list", "--json").out.splitlines()]
    (one,) = (it for it in listed if it["alg"] == "ES256")
    assert (one["for"], one["state"], one["next"]) == ("token", "pending", "signs")
    # Nobody asks for ES256: no other takes its place.
    assert watchword("keys", "kill", one["kid"]).out.startswith(f"{one['kid']} is dead; no key")
