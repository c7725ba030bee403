"""The release before this tree, installed from the repository's history."""

import os
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.deploy.image import ROOT


@dataclass(frozen=True, slots=True)
class Release:
    """A line of releases.toml."""

    version: str
    commit: str

    def unpack(self, folder: Path) -> None:
        """Its whole tree, as it was released."""
        archive = subprocess.run(
            ["git", "archive", self.commit], cwd=ROOT, capture_output=True, check=True
        )
        folder.mkdir()
        subprocess.run(["tar", "-x"], cwd=folder, input=archive.stdout, check=True)

    def install(self, tree: Path, folder: Path) -> None:
        """The packages of an unpacked tree, to go before this one's on PYTHONPATH.

        Its dependencies are this tree's, so that no registry is asked.
        """
        options = ["--no-index", "--no-deps", "--no-build-isolation", "--target", str(folder)]
        quiet = ["--quiet", "--disable-pip-version-check", "--root-user-action", "ignore"]
        command = [sys.executable, "-m", "pip", "install", *quiet, *options, str(tree)]
        subprocess.run(
            command, check=True, cwd=tree, env={**os.environ, "PYTHONWARNINGS": "ignore"}
        )


def releases() -> list[Release]:
    """In their order."""
    lines = tomllib.loads((ROOT / "tests/deploy/releases.toml").read_text())["release"]
    return [Release(each["version"], each["commit"]) for each in lines]


def previous_release() -> Release:
    """The last one that was released; skips where the history is not at hand, but not in CI."""
    release = releases()[-1]
    known = subprocess.run(
        ["git", "cat-file", "-e", f"{release.commit}^{{commit}}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if known.returncode != 0:
        message = f"no {release.commit}, release {release.version}: {known.stderr.strip()}"
        if os.environ.get("CI") == "true":
            pytest.fail(f"{message}: CI has to fetch the whole history")
        pytest.skip(message)
    return release
