"""docs/how-to/add-sign-in-with-openid-connect.md: its commands, as they stand there."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.development import Development, free_port

PAGE = Path(__file__).parents[2] / "docs/how-to/add-sign-in-with-openid-connect.md"
TOOLS = ("curl", "jq", "openssl")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not all(map(shutil.which, TOOLS)), reason="curl, jq or openssl is missing"),
]


def commands() -> Iterator[str]:
    """What a reader types: the lines behind a $, and those that go on."""
    for block in re.findall(r"```console\n(.*?)```", PAGE.read_text(), re.DOTALL):
        yield from re.findall(r"^\$ ((?:.*\\\n)*.*)$", block, re.MULTILINE)


def test_the_commands_of_the_page(tmp_path: Path) -> None:
    with Development(tmp_path, free_port()) as server:
        done = server.bash("\n".join(commands()))
        issuer = server.issuer
    assert done.returncode == 0, done.stderr
    tokens = json.loads((tmp_path / "tokens.json").read_text())
    assert {"access_token", "refresh_token", "id_token"} < set(tokens)
    for said in (
        "https://notebook.example/callback?code=wwc_",
        f'{{"iss":"{issuer}"',
        '"preferred_username":"demo"',
        "303 https://notebook.example/callback?code=wwc_",
        "303 https://notebook.example/signed-out?state=",
        "303 https://notebook.example/callback?error=login_required",
        "HTTP/1.1 401 Unauthorized",
    ):
        assert said in done.stdout, said
