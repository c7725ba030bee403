"""The command line, run in this process; and one pod as a child process beside it."""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
from click.testing import CliRunner

from migrations.runner import migrate
from service.cli.main import main
from service.embedded.postgres import EmbeddedPostgres
from service.embedded.redis import EmbeddedRedis
from tests.cli.pods import serve
from tests.conftest import AUDIENCE
from tests.faults.failover_support import Pod, free_port, until

# The schema of a release that took away what this one may still use.
NEWER = """
    INSERT INTO schema_migrations (number, name, phase, checksum, applied_at)
    VALUES (9999, '9999_drop_all', 'contract', 'x', now())
"""


@dataclass(frozen=True, slots=True)
class Said:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def errors(self) -> list[str]:
        """Its `error:` lines, which have to be all that it says."""
        assert (self.code, self.out) == (1, "")
        lines = self.err.splitlines()
        assert [line for line in lines if not line.startswith("error: ")] == []
        return [line.removeprefix("error: ") for line in lines]


@dataclass(frozen=True, slots=True)
class Watchword:
    """`watchword` with the settings of one database."""

    environment: Mapping[str, str]

    def __call__(self, *arguments: str, stdin: str | bytes = "", **settings: str) -> Said:
        """Run a command; settings replace those of the environment, an empty one takes it away."""
        changed = {f"WATCHWORD_{name}": value for name, value in settings.items()}
        environment = {**self.environment, **changed}
        result = CliRunner().invoke(
            main, arguments, input=stdin, env=environment, catch_exceptions=False
        )
        return Said(result.exit_code, result.stdout, result.stderr)

    def make_client(self, *options: str) -> tuple[str, str]:
        """The id and secret of a new client."""
        client_id = f"c-{uuid4().hex[:12]}"
        if "--scope" not in options:
            options = ("--scope", "orders:read", *options)
        said = self("clients", "create", client_id, "--audience", AUDIENCE, *options)
        assert said.code == 0, said.err
        return client_id, said.out.split()[-1]


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands that run here leave the suite's own logging alone."""
    monkeypatch.setattr("service.cli.context.set_up_logging", lambda *_: None)


@pytest.fixture(scope="session")
def environment(
    postgres: EmbeddedPostgres, redis_server: EmbeddedRedis, keys_dir: Path
) -> dict[str, str]:
    """Settings of the command line's own database, migrated, and of a pod over it."""
    name = f"cli{uuid4().hex[:12]}"
    postgres.create_database(name)
    asyncio.run(migrate(postgres.url(name), report=lambda _: None))
    port = free_port()
    return {
        "WATCHWORD_ISSUER": f"http://127.0.0.1:{port}",
        "WATCHWORD_LISTEN": f"127.0.0.1:{port}",
        "WATCHWORD_DATABASE_URL": postgres.url(name),
        "WATCHWORD_REDIS_URL": redis_server.url,
        "WATCHWORD_REDIS_PREFIX": name,
        "WATCHWORD_KEYS_DIR": str(keys_dir),
        "WATCHWORD_DRAIN": "0s",
    }


@pytest.fixture(scope="session")
def pod(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pod]:
    """A pod over the command line's database, ready."""
    with serve(environment, tmp_path_factory.mktemp("pod")) as pod:
        until(pod.is_ready)
        yield pod


@pytest.fixture
def watchword(environment: dict[str, str], pod: Pod) -> Watchword:
    """The command line, over a database that a pod serves."""
    return Watchword(environment)


@pytest.fixture(scope="session")
def unmigrated(postgres: EmbeddedPostgres) -> str:
    """The address of a database that never has a schema."""
    postgres.create_database("unmigrated")
    return postgres.url("unmigrated")


@pytest.fixture
def empty_database(postgres: EmbeddedPostgres) -> str:
    """The address of a database of the test's own, without a schema so far."""
    name = f"empty{uuid4().hex[:12]}"
    postgres.create_database(name)
    return postgres.url(name)
