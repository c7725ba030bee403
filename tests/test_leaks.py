"""The check of ATK-96 itself: it finds what a log gives away, and says no more than where."""

import shutil
import subprocess
import sys
from base64 import b64encode
from pathlib import Path

import pytest

from service.app import App
from service.flows.manage_clients import new_secret
from service.keys.sign import sign
from service.keys.signer import PrivateKey
from tests.http.at_pages import BROWSER, SIGN_ON, signed_on
from tests.http.browsing import Pkce, hidden, make_web_client, response_of
from tests.leaks import Issued

PKCE = Pkce()
ROOT = Path(__file__).parents[1]
CLEAN = (
    b'{"event":"request","request_id":"4bf92f3577b34da6a3ce929d0e0e4736","client_id":"demo"}',
    b'{"event":"database_life_began","life":"01a1fcb6-1c89-74dd-9310-7a48a7afdcc5"}',
)


@pytest.fixture(scope="module")
def token() -> str:
    return sign(PrivateKey.generate(), "at+jwt", {"sub": "demo"})


def leaks(of: Issued, line: str) -> list[str]:
    return list(of.leaks([*CLEAN, line.encode()]))


@pytest.mark.parametrize("before", ["", "a:", "ab:"])
def test_a_secret_is_found_in_clear_and_in_a_basic_header(before: str) -> None:
    known, secret = Issued(), new_secret()
    known.note("client secret", secret)
    basic = b64encode(f"{before}{secret}".encode()).decode()
    for line in (f"x {secret} x", secret[-24:], f"Basic {basic}", f'{{"a":"{basic}"}}'):
        (leak, *_) = leaks(known, line)
        assert leak.startswith("3: client secret: ")
        assert secret[-24:] not in leak
        assert basic[-24:] not in leak


def test_a_token_is_found_whole_or_by_its_signature(token: str) -> None:
    known = Issued()
    known.note("access token", token)
    assert leaks(known, f'"reason":"bad token {token}"')
    assert leaks(known, token.rpartition(".")[2])
    assert leaks(known, token.rpartition(".")[0]) == []


def test_what_a_child_process_issued_is_known_by_its_shape(token: str) -> None:
    for secret in (token, new_secret()):
        (leak,) = leaks(Issued(), secret)
        assert leak == "3: something shaped like a secret: (masked)" or ".(masked)" in leak


@pytest.mark.parametrize(
    "secret",
    [
        f"wwc_{'a1B' * 15}",
        f"__Host-watchword_session={'a1B' * 21}x",
        f"__Host-watchword_browser={'a1B' * 14}x",
        f"__Host-watchword_refresh={'a1B' * 14}x",
    ],
)
def test_codes_and_cookies_are_known_by_their_shape(secret: str) -> None:
    (leak,) = leaks(Issued(), f'"location":"https://app.example/?code={secret}"')
    assert leak.startswith("3: something shaped like a secret: ")
    assert secret not in leak


async def test_what_the_code_flow_issues_is_remembered(app: App, issued: Issued) -> None:
    """ATK-96: a code, a sign-on's cookie, a handle, and what forms are bound to."""
    client, someone = await make_web_client(app), await signed_on(app)
    page = await someone.browser.follow(await someone.ask(client, PKCE))
    fields = hidden(page)
    code = response_of(await someone.browser.submit(page, decision="allow"))["code"]
    cookies = someone.browser.cookies
    for kind, secret in (
        ("code", code),
        ("handle", fields["request"]),
        ("form secret", fields["csrf"]),
        ("form secret", cookies[BROWSER]),
        ("sign-on cookie", cookies[SIGN_ON]),
    ):
        assert any(f": {kind}: " in leak for leak in leaks(issued, f"x {secret} x")), kind


@pytest.mark.slow
def test_a_run_that_logs_a_token_fails(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text("from tests.conftest import *\n")
    leaky = tmp_path / "test_leaky.py"
    leaky.write_text(
        "from service.telemetry import log\n"
        "async def test_leaky(http, make_client):\n"
        "    client = await make_client()\n"
        "    form = {'grant_type': 'client_credentials'}\n"
        "    answer = await http.post('/token', data=form, auth=client.auth)\n"
        "    log.info('leaky', what=answer.json()['access_token'])\n"
    )
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"]
    options = ["-c", "pyproject.toml", f"--basetemp={tmp_path / 'run'}", str(leaky)]
    run = subprocess.run(
        [*command, *options], cwd=ROOT, capture_output=True, text=True, check=False
    )
    shutil.rmtree(tmp_path / "run")  # else this run would fail for the same log
    assert run.returncode == 1, run.stdout
    assert "1 passed, 1 error" in run.stdout
    assert "access token" in run.stdout
