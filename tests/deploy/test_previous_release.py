"""The release before runs on this tree's schema: its own tests say so."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from migrations.files import load
from tests.deploy.image import ROOT
from tests.deploy.releases import previous_release

pytestmark = pytest.mark.slow

# Of its suite, what reads and writes each table; attacks on the syntax of tokens are left out.
CHOSEN = [
    *(f"tests/flows/test_{name}.py" for name in (
        "load_keys", "manage_users", "publish_revocations", "restore_facts",
    )),
    *(f"tests/http/test_{name}.py" for name in (
        "api_login", "api_logout", "api_refresh", "api_sessions", "client_credentials",
        "introspect_refresh", "refresh_reuse", "refresh_token", "revoke", "revoke_refresh",
    )),
]  # fmt: skip


def test_the_release_before_passes_its_own_tests_on_the_schema_of_this_one(tmp_path: Path) -> None:
    release, tree = previous_release(), tmp_path / "old"
    release.unpack(tree)
    shutil.copy(ROOT / "tests/deploy/new_schema.py", tree)
    quiet = ["-q", "-p", "no:randomly", "-p", "no:cacheprovider", "-p", "new_schema"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *quiet, f"--basetemp={tmp_path / 'base'}", *CHOSEN],
        cwd=tree,
        env={
            "PATH": os.defpath,
            "HOME": str(tmp_path),
            "WATCHWORD_NEW_MIGRATIONS": str(ROOT / "migrations"),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    sys.stdout.write("\n".join(done.stdout.splitlines()[-2:]) + "\n")
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    (passed,) = re.findall(r"^(\d+) passed\b.* in ", done.stdout, re.MULTILINE)
    assert "failed" not in done.stdout.splitlines()[-1]
    assert int(passed) > 200
    released = {path.name for path in (tree / "migrations").glob("*.sql")}
    added = [it.name for it in load() if it.phase == "expand" and it.file not in released]
    assert f"added {' '.join(added)}\n" in done.stdout
