"""How-to pages that are typed from top to bottom: their commands, as they stand there."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.development import Development, free_port

PAGES = Path(__file__).parents[2] / "docs/how-to"
TOOLS = ("curl", "jq", "openssl")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not all(map(shutil.which, TOOLS)), reason="curl, jq or openssl is missing"),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Development]:
    with Development(tmp_path_factory.mktemp("development"), free_port()) as server:
        yield server


def commands(page: str) -> Iterator[str]:
    """What a reader types: the lines behind a $, and those that go on."""
    for block in re.findall(r"```console\n(.*?)```", (PAGES / page).read_text(), re.DOTALL):
        yield from re.findall(r"^\$ ((?:.*\\\n)*.*)$", block, re.MULTILINE)


def said_to(server: Development, page: str) -> str:
    """What is printed when the page is typed, in the folder that it begins with."""
    done = server.bash("\n".join(["cd .watchword", *commands(page)]))
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_sign_in_with_openid_connect(server: Development) -> None:
    said = said_to(server, "add-sign-in-with-openid-connect.md")
    tokens = json.loads((server.folder / ".watchword/tokens.json").read_text())
    assert {"access_token", "refresh_token", "id_token"} < set(tokens)
    for line in (
        "https://notebook.example/callback?code=wwc_",
        f'{{"iss":"{server.issuer}"',
        '"preferred_username":"demo"',
        "303 https://notebook.example/callback?code=wwc_",
        "303 https://notebook.example/signed-out?state=",
        "303 https://notebook.example/callback?error=login_required",
        "HTTP/1.1 401 Unauthorized",
    ):
        assert line in said, line


def test_administration(server: Development) -> None:
    said = said_to(server, "administer.md")
    for line in (
        '"next":"demo"}',
        '"limit":"must be an integer from 1 to 200"',
        '"client_secret":"wws_',
        '"reason":"client_revoked"',
        "berta is an administrator",
        "HTTP/1.1 403 Forbidden",
        '"living":true',
        '{"sessions_ended":1}',
        '"actor":"client:console"',
        '"killed":true',
        '{"error":"invalid_token"',
    ):
        assert line in said, line
