import subprocess
import sys

import pytest
from click.testing import CliRunner

from migrations.__main__ import main
from migrations.files import latest, load


@pytest.fixture
def environment(monkeypatch):
    for name in ("WATCHWORD_MIGRATE_DATABASE_URL", "WATCHWORD_DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_the_module_migrates(url, environment):
    environment.setenv("WATCHWORD_DATABASE_URL", url)
    command = [sys.executable, "-m", "migrations"]
    first = subprocess.run(command, check=True, capture_output=True, text=True)
    assert first.stdout.splitlines() == [f"applied {migration.file}" for migration in load()]
    again = CliRunner().invoke(main)
    assert again.output == f"nothing to apply: the schema is at {latest():04d}\n"


def test_a_dry_run_by_the_owner_s_url(url, environment):
    environment.setenv("WATCHWORD_MIGRATE_DATABASE_URL", url)
    environment.setenv("WATCHWORD_DATABASE_URL", url.replace("//watchword:", "//absent:"))
    refused = CliRunner().invoke(main, ["--dry-run"])
    assert refused.exit_code == 1
    assert refused.output.startswith("Error: no role 'absent'")
    environment.delenv("WATCHWORD_DATABASE_URL")
    done = CliRunner().invoke(main, ["--dry-run"])
    assert done.exit_code == 0
    assert done.output.startswith("would apply 0001_")


def test_without_an_address_it_says_what_to_set(environment):
    refused = CliRunner().invoke(main)
    assert refused.exit_code == 1
    assert refused.output.startswith("Error: set WATCHWORD_MIGRATE_DATABASE_URL or ")
