"""openid-client and oauth4webapi, the certified libraries of Node, against a real pod."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from tests.browser.live import Live
from tests.conftest import AUDIENCE
from tests.http.browsing import hidden
from tests.interop.visitor import Visitor

NODE, NPM = shutil.which("node"), shutil.which("npm")
CALLBACK = "https://notes.example/callback"
BYE = "https://notes.example/bye"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(NODE is None or NPM is None, reason="node and npm are not installed"),
]


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs, with what npm installs for them by its lock file."""
    folder = tmp_path_factory.mktemp("interop") / "node"
    shutil.copytree(
        Path(__file__).parent / "node", folder, ignore=shutil.ignore_patterns("node_modules")
    )
    command = [str(NPM), "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
    said = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, timeout=120
    )
    assert said.returncode == 0, said.stderr
    return folder


class Program:
    """A program that is told what its user's browser brings."""

    def __init__(self, path: Path, settings: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [str(NODE), path.name],
            cwd=path.parent,
            env={"PATH": os.defpath, "SETTINGS": json.dumps(settings)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def hear(self) -> Any:
        """What it says next."""
        assert self._process.stdout
        assert self._process.stderr
        line = self._process.stdout.readline()
        assert line, self._process.stderr.read()
        return json.loads(line)

    def bring(self, answer: httpx.Response) -> None:
        """An authorization response: a redirect, or the page with a form."""
        brought = {"url": answer.headers.get("location", CALLBACK)}
        if answer.status_code == 200:
            brought["form"] = urlencode(hidden(answer))
        assert self._process.stdin
        self._process.stdin.write(json.dumps(brought) + "\n")
        self._process.stdin.flush()

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()


Run = Callable[[str], Program]


@pytest.fixture
def run(programs: Path, live: Live) -> Iterator[Run]:
    """Starts a program as a client of its own."""
    running = []

    def run_(name: str) -> Program:
        client_id, secret = live.make_web_client(CALLBACK, "--post-logout-redirect-uri", BYE)
        settings = {
            "issuer": live.issuer,
            "client_id": client_id,
            "client_secret": secret,
            "redirect_uri": CALLBACK,
            "post_logout_redirect_uri": BYE,
            "resource": AUDIENCE,
        }
        running.append(Program(programs / name, settings))
        return running[-1]

    yield run_
    for program in running:
        program.end()


def check_about(said: dict[str, Any], name: str) -> None:
    """UserInfo is about who signed in, as the ID Token is."""
    assert said["about"] == {
        "sub": said["claims"]["sub"],
        "name": "Ada Lovelace",
        "preferred_username": name,
        "email": f"{name}@example.com",
        "email_verified": False,
    }


def check_end(visitor: Visitor, url: str) -> None:
    """The client's wish to sign its user out is done, and the browser is sent back to it."""
    assert visitor.get(url).headers["location"] == f"{BYE}?state=done"
    assert visitor.get(url.partition("?")[0]).status_code == 200
    assert "You are signed out" in visitor.get(url.partition("?")[0]).text


def test_openid_client(run: Run, live: Live, visitor: Visitor) -> None:
    """IOP-1, IOP-2, IOP-3, AUTHZ-15, RT-16, RPL-1."""
    program, name = run("openid_client.js"), live.make_user()
    program.bring(visitor.sign_in(program.hear(), name, CALLBACK))
    program.bring(visitor.follow(visitor.get(program.hear()), CALLBACK))
    program.bring(visitor.follow(visitor.get(program.hear()), CALLBACK))
    said = program.hear()
    check_about(said, name)
    sames = ("sub", "auth_time", "iss", "aud")
    assert [said["first"][it] for it in sames] == [said["claims"][it] for it in sames]
    assert [said["refreshed"][it] for it in (*sames, "sid")] == [
        said["claims"][it] for it in (*sames, "sid")
    ]
    assert (said["told"]["active"], said["told"]["aud"]) == (True, AUDIENCE)
    assert said["refused"] == "none"  # the consent is remembered
    assert said["revoked"] == "ResponseBodyError invalid_grant"
    check_end(visitor, said["end"])


def test_oauth4webapi(run: Run, live: Live, visitor: Visitor) -> None:
    """IOP-1, IOP-2, IOP-3, IOP-4, RPL-1."""
    program, name = run("oauth4webapi.js"), live.make_user()
    program.bring(visitor.sign_in(program.hear(), name, CALLBACK))
    program.bring(httpx.get(program.hear()))  # another browser, at which nobody is signed on
    said = program.hear()
    check_about(said, name)
    assert said["same"]
    assert said["access"]["sub"] == said["claims"]["sub"]
    assert said["access"]["aud"] == AUDIENCE
    assert (said["told"]["active"], said["after"]) == (True, {"active": False})
    assert said["revoked"] == "ResponseBodyError invalid_grant"
    assert said["refused"] == "AuthorizationResponseError login_required"
    check_end(visitor, said["end"])
