"""examples/node: real Node servers that follow a real pod's feed, or look revocations up."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from service.keys.sign import sign
from service.keys.signer import PrivateKey
from service.oauth.feed import ENTRY_TYP, Head, entry_claims
from service.oauth.jws import decode_base64url
from tests.conftest import AUDIENCE
from tests.faults.failover_support import HEARTBEAT, until
from tests.faults.processes import Client, Deployment, jti, open_deployment

ROOT = Path(__file__).parents[2]
NODE, NPM = shutil.which("node"), shutil.which("npm")
STALENESS = 4.0
WAYS = ("feed", "lookup")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(NODE is None or NPM is None, reason="node and npm are not installed"),
]


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example with what npm installs for it."""
    folder = tmp_path_factory.mktemp("node") / "example"
    shutil.copytree(ROOT / "examples/node", folder, ignore=shutil.ignore_patterns("node_modules"))
    installed = subprocess.run(
        [str(NPM), "install", "--no-audit", "--no-fund"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert installed.returncode == 0, installed.stderr
    assert not (folder / "package-lock.json").exists()
    return folder


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A pod, and a user of its Redis who may only read, as deploy/ has it."""
    with open_deployment(tmp_path_factory.mktemp("site")) as opened:
        opened.run(opened.database_url, "migrate")
        opened.start_pods(1)
        add_verifier(opened)
        yield opened


def add_verifier(site: Deployment) -> None:
    rules = (ROOT / "deploy/redis-users.acl").read_text()
    (verifier,) = re.findall(r"^user (verifier .*)$", rules, re.MULTILINE)
    site.redis.execute_command("ACL", "SETUSER", *verifier.split())


@pytest.fixture(scope="module")
def client(site: Deployment) -> Client:
    return site.make_client(site.database_url, "orders")


@dataclass(frozen=True, slots=True)
class Orders:
    """An API of the example."""

    url: str
    log: Path

    def ask(self, token: str) -> httpx.Response:
        return httpx.get(self.url, headers={"Authorization": f"Bearer {token}"})

    def status(self, token: str) -> int:
        return self.ask(token).status_code


Apis = dict[str, Orders]


@pytest.fixture(scope="module")
def apis(example: Path, site: Deployment) -> Iterator[Apis]:
    """One that follows the feed, and one that looks up."""
    url = re.sub(r"//.*@", "//verifier:CHANGE-ME@", site.redis_server.url)
    settings = {
        "WATCHWORD_ISSUER": site.issuer,
        "WATCHWORD_REDIS_URL": url,
        "MAX_STALENESS": str(STALENESS),
        "PORT": "0",
    }
    processes, found = [], {}
    for way in WAYS:
        log = example / f"{way}.log"
        with log.open("wb") as output:
            command = [str(NODE), "server.js"]
            environment = {**os.environ, **settings, "REVOCATIONS": way}
            processes.append(
                subprocess.Popen(
                    command, cwd=example, env=environment, stdout=output, stderr=output
                )
            )
        until(lambda log=log: "orders on" in log.read_text())
        (address,) = re.findall(r"orders on (\S+),", log.read_text())
        found[way] = Orders(address, log)
    yield found
    for process in processes:
        process.kill()
        process.wait()


@pytest.fixture(autouse=True)
def settled(apis: Apis, site: Deployment, client: Client) -> None:
    """What the test before did is over."""
    token = site.pods[0].token(client)
    until(lambda: statuses(apis, token) == {200})


def statuses(apis: Apis, token: str) -> set[int]:
    """What both APIs answer to a token."""
    return {api.status(token) for api in apis.values()}


def test_a_token_is_good_until_it_is_revoked(apis: Apis, site: Deployment, client: Client) -> None:
    pod = site.pods[0]
    token, other = pod.token(client), pod.token(client)
    assert {api.ask(token).json()["client_id"] for api in apis.values()} == {client[0]}
    pod.revoke(client, token)
    until(lambda: statuses(apis, token) == {401}, seconds=2)
    for api in apis.values():
        assert 'error="invalid_token"' in api.ask(token).headers["www-authenticate"]
    assert statuses(apis, other) == {200}


def test_a_revoked_clients_tokens_are_void_and_its_next_are_good(
    apis: Apis, site: Deployment
) -> None:
    client = site.make_client(site.database_url, "revoked")
    token = site.pods[0].token(client)
    assert statuses(apis, token) == {200}
    site.run(site.database_url, "revoke", "--client", client[0])
    until(lambda: statuses(apis, token) == {401}, seconds=2)
    until(lambda: statuses(apis, site.pods[0].token(client)) == {200}, seconds=10)


def test_a_changed_role_asks_for_a_refresh(apis: Apis, site: Deployment) -> None:
    options = ["--first-party", "--refresh-delivery", "body", "--audience", AUDIENCE]
    site.run(site.database_url, "clients", "create", "app", *options, "--scope", "orders:read")
    http, app, password = site.pods[0].http, {"client_id": "app"}, "brittle lantern over nine hills"
    person = {"username": "anna", "email": "anna@example.com", "full_name": "Anna Lind"}
    headers = {"X-Requested-With": "test"}
    made = http.post("/api/register", json={**person, **app, "password": password}, headers=headers)
    assert made.status_code == 201, made.text
    names = {"username": "anna", "password": password}
    login = http.post("/api/login", json={**names, **app}, headers=headers)
    token = login.json()["access_token"]
    assert statuses(apis, token) == {200}
    site.run(site.database_url, "users", "set-roles", "anna", "buyer")
    until(lambda: statuses(apis, token) == {401}, seconds=2)
    for api in apis.values():
        assert "must be refreshed" in api.ask(token).headers["www-authenticate"]


def test_what_is_no_token_for_here_is_refused(apis: Apis, site: Deployment, client: Client) -> None:
    token = site.pods[0].token(client)
    assert httpx.get(apis["feed"].url).headers["www-authenticate"] == "Bearer"
    assert statuses(apis, "garbage") == {401}
    assert statuses(apis, token[:-4] + "AAAA") == {401}
    assert statuses(apis, str(site.redis.get(HEARTBEAT))) == {401}
    options = ["--audience", "https://billing.example", "--scope", "orders:read"]
    printed = site.run(site.database_url, "clients", "create", "billing", *options)
    assert statuses(apis, site.pods[0].token(("billing", printed.split()[-1]))) == {401}
    options = ["--audience", AUDIENCE, "--scope", "orders:write"]
    printed = site.run(site.database_url, "clients", "create", "writer", *options)
    assert statuses(apis, site.pods[0].token(("writer", printed.split()[-1]))) == {403}


def test_a_forged_entry_is_refused_and_voids_nothing(
    apis: Apis, site: Deployment, client: Client
) -> None:
    """ATK-107."""
    api = apis["feed"]
    token, other = site.pods[0].token(client), site.pods[0].token(client)
    before = api.log.read_text().count("can't be proven")
    forge(site, token)
    until(lambda: api.log.read_text().count("can't be proven") > before)
    assert api.status(token) == 200
    site.checked()  # the pod has mended the stream
    site.pods[0].revoke(client, other)
    until(lambda: api.status(other) == 401)
    until(lambda: api.status(token) == 200)


def forge(site: Deployment, token: str) -> None:
    """Put an entry into the stream that chains rightly, under the name of the feed's key."""
    keys = site.pods[0].http.get("/.well-known/watchword-feed-keys.json").json()["keys"]
    forger, beat = PrivateKey.generate(), site.checked()
    forger.kid = keys[0]["kid"]
    place = Head(beat["epoch"], beat["head"], decode_base64url(beat["digest"]) or b"")
    claims = entry_claims(site.issuer, place, [])
    claims["facts"] = [{"jti": jti(token), "exp": 4_000_000_000}]
    jws = sign(forger, ENTRY_TYP, claims)
    stream = f"{{ww}}:feed:{place.epoch}:entries"
    site.redis.xadd(stream, {"jws": jws}, id=f"{place.number + 1}-0")


def test_without_redis_nobody_can_say_and_the_answer_is_503(
    apis: Apis, site: Deployment, client: Client
) -> None:
    token, revoked = site.pods[0].token(client), site.pods[0].token(client)
    site.pods[0].revoke(client, revoked)
    until(lambda: statuses(apis, revoked) == {401})
    site.redis_server.kill()
    assert apis["feed"].status(token) == 200
    assert apis["lookup"].status(token) == 503
    assert until(lambda: apis["feed"].status(token) == 503) <= STALENESS + 1
    for api in apis.values():
        assert api.ask(token).headers["retry-after"] == "1"
    assert apis["feed"].status(revoked) == 401  # what it knows, it knows
    site.redis_server.start()
    add_verifier(site)
    until(lambda: statuses(apis, token) == {200})
    assert statuses(apis, revoked) == {401}


def test_the_feeds_test_vectors_are_judged_as_stated(example: Path) -> None:
    """DIST-8."""
    shutil.copy(ROOT / "tests/examples/feed_vectors.mjs", example)
    vectors = ROOT / "docs/reference/feed-vectors.json"
    command = [str(NODE), "feed_vectors.mjs", str(vectors)]
    run = subprocess.run(command, cwd=example, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout == f"{len(json.loads(vectors.read_text())['cases'])} cases\n"
