"""The distribution alone: installed into an empty environment, it verifies a real token."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.verifier.conftest import LivePod, Options

ROOT = Path(__file__).parents[2]
PROGRAM = """
import asyncio, importlib.util, json, sys
from watchword_verifier import Claims, SyncVerifier, Verifier

async def main(options: dict[str, str], token: str) -> Claims:
    async with Verifier(**options) as verifier:
        return await verifier.verify(token, scopes=["orders:read"])

options = json.loads(sys.argv[1])
claims = asyncio.run(main(options, sys.argv[2]))
with SyncVerifier(**options) as verifier:
    assert verifier.verify(sys.argv[2]) == claims
for absent in ("service", "litestar", "fastapi", "asyncpg", "prometheus_client"):
    assert importlib.util.find_spec(absent) is None, absent
print(claims.client_id, "redis" in sys.modules)
"""

# What somebody may write who asks a type checker for everything.
TYPED = """
from datetime import timedelta
from watchword_verifier import Claims, SyncVerifier, Verifier, VerifierError, bearer_token

Answer = tuple[int, list[tuple[str, str]], bytes]

async def judge(verifier: Verifier, headers: list[str]) -> Claims | Answer:
    try:
        return await verifier.verify(bearer_token(headers), scopes=["orders:read"], stale="accept")
    except VerifierError as error:
        return error.status, error.headers(realm="orders"), error.body()

def whose(verifier: SyncVerifier, token: str) -> str | None:
    claims = verifier.verify(token, max_staleness=timedelta(seconds=5))
    return claims.session_id if verifier.ready and claims.has_role("clerk") else None
"""


@pytest.mark.slow
def test_it_stands_alone(pod: LivePod, options: Options, tmp_path: Path) -> None:
    """Following over HTTP; and with the extra, the stream in Redis."""
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    python = tmp_path / "venv/bin/python"
    source = shutil.copytree(ROOT / "verifier", tmp_path / "verifier")  # it is built in place
    client = pod.make_client()
    for extra in ("", "[redis]"):
        install = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        subprocess.run([*install, f"{source}{extra}"], check=True, cwd=tmp_path)
        chosen = dict(options)
        if not extra:
            del chosen["revocations"]
        said = subprocess.run(
            [python, "-c", PROGRAM, json.dumps(chosen), pod.token(client)],
            cwd=tmp_path,
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert said.stdout.split() == [client.id, str(bool(extra))]
    assert _found_by_mypy(python, TYPED) == []
    wrong = TYPED.replace('"accept"', '"ignore"').replace("has_role(", "hasrole(")
    assert _found_by_mypy(python, wrong) == ["[arg-type]", "[attr-defined]"]


def _found_by_mypy(python: Path, program: str) -> list[str]:
    """What the type checker says of a program, beside the distribution as it is installed."""
    (path := python.parents[2] / "program.py").write_text(program)
    check = [sys.executable, "-m", "mypy", "--strict", "--python-executable", python, path.name]
    said = subprocess.run(check, check=False, capture_output=True, text=True, cwd=path.parent)
    return [line.split()[-1] for line in said.stdout.splitlines() if ": error: " in line]


def test_importing_it_brings_no_framework() -> None:
    program = (
        "import sys, watchword_verifier; "
        "print({'redis', 'fastapi', 'starlette', 'litestar', 'prometheus_client'} & {*sys.modules})"
    )
    said = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert said.stdout == "set()\n"


def test_whoever_follows_redis_without_the_extra_is_told(options: Options) -> None:
    program = (
        "import sys; sys.modules['redis.asyncio'] = None\n"
        "import asyncio, json\n"
        "from watchword_verifier import Verifier\n"
        "asyncio.run(Verifier(**json.loads(sys.argv[1])).start())"
    )
    said = subprocess.run(
        [sys.executable, "-c", program, json.dumps(options)],
        check=False,
        capture_output=True,
        text=True,
    )
    assert "pip install 'watchword-verifier[redis]'" in said.stderr
