"""The rules of the house that no tool checks."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("service", "migrations", "verifier")
NAMES_THAT_SAY_NOTHING = {"utils", "helpers", "common", "base", "manager"}
OF_ONE_MACHINE = re.compile(
    r"(?<![\w.~/-])/(work|root|home|Users)/\w"  # a path of one machine
    r"|files\.pythonhosted|pypi\.org/simple|registry\.npmjs|deb\.debian\.org"  # a registry's host
    r"|--(extra-)?index-url|--find-links"
)


def files_of_the_rooms() -> list[Path]:
    files = [path for room in ROOMS for path in (ROOT / room).rglob("*") if path.is_file()]
    return [path for path in files if "__pycache__" not in path.parts]


def tracked_files() -> list[Path]:
    """What git tracks or would track."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git work tree")
    return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def make_targets() -> list[str]:
    return re.findall(r"^([a-z][a-z-]*):(?!=)", (ROOT / "Makefile").read_text(), re.MULTILINE)


def pins(lock: str) -> dict[str, str]:
    return dict(
        re.findall(r"^([a-z0-9.-]+)(?:\[.+\])?==(\S+)", (ROOT / lock).read_text(), re.MULTILINE)
    )


def test_files_have_at_most_300_lines() -> None:
    lengths = {path: len(path.read_bytes().splitlines()) for path in files_of_the_rooms()}
    too_long = {path.relative_to(ROOT): n for path, n in lengths.items() if n > 300}
    assert too_long == {}


def test_init_files_are_empty() -> None:
    """But for the verifier's, which is what its users import."""
    filled = [path for path in files_of_the_rooms() if path.stat().st_size]
    filled.remove(ROOT / "verifier/watchword_verifier/__init__.py")
    assert [path.relative_to(ROOT) for path in filled if path.name == "__init__.py"] == []


def test_names_say_what_a_file_holds() -> None:
    names = [path.relative_to(ROOT) for path in tracked_files()]
    assert [n for n in names if NAMES_THAT_SAY_NOTHING & {n.stem, *n.parts}] == []


def test_no_text_names_one_machine_or_a_registry() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in tracked_files()
        if path != Path(__file__)
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), start=1)
        if OF_ONE_MACHINE.search(line)
    ]
    assert found == []


def test_makefile_has_fewer_than_60_lines() -> None:
    assert len((ROOT / "Makefile").read_text().splitlines()) < 60


def test_make_help_lists_every_target() -> None:
    try:
        shown = subprocess.run(
            ["make", "help"], cwd=ROOT, capture_output=True, check=True, text=True
        )
    except FileNotFoundError:
        pytest.skip("make is not here")
    listed = [line.split()[1] for line in shown.stdout.splitlines() if line.startswith("make ")]
    assert listed == make_targets()
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert phony
    assert phony[1].split() == listed


def test_the_locks_hold_every_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    runtime = project["project"]["dependencies"]
    groups = project["dependency-groups"]
    build = groups["build"]
    tools = [*build, *(each for each in groups["tools"] if isinstance(each, str))]
    embedded = project["project"]["optional-dependencies"]["dev"]
    verifier = tomllib.loads((ROOT / "verifier/pyproject.toml").read_text())["project"]
    extras = [name for extra in verifier["optional-dependencies"].values() for name in extra]
    for lock, wanted in (
        ("requirements.txt", runtime),
        ("deploy/image/requirements-build.txt", build),
        (
            "requirements-dev.txt",
            [*runtime, *tools, *embedded, *verifier["dependencies"], *extras],
        ),
    ):
        names = {re.split(r"[^A-Za-z0-9._-]", requirement)[0].lower() for requirement in wanted}
        assert names - pins(lock).keys() == set(), f"{lock}: make lock"


def test_all_locks_name_the_same_versions() -> None:
    for lock in ("requirements.txt", "deploy/image/requirements-build.txt"):
        assert pins(lock).items() <= pins("requirements-dev.txt").items()
