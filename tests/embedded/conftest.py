"""One PostgreSQL and one Redis for all tests here, running and empty when a test begins."""

from collections.abc import Iterator

import pytest

from service.embedded.postgres import EmbeddedPostgres
from service.embedded.redis import EmbeddedRedis
from tests.embedded.asking import FAST, ask, say


@pytest.fixture(scope="session")
def servers(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[EmbeddedPostgres, EmbeddedRedis]]:
    folder = tmp_path_factory.mktemp("servers")
    postgres = EmbeddedPostgres(folder / "postgres", settings=FAST)
    redis = EmbeddedRedis(folder / "redis")
    yield postgres, redis
    postgres.stop()
    redis.stop()


@pytest.fixture
def postgres(servers: tuple[EmbeddedPostgres, EmbeddedRedis]) -> EmbeddedPostgres:
    server = servers[0]
    server.start()  # an earlier test may have stopped or killed it
    _ = ask(server, "DROP TABLE IF EXISTS kept")
    return server


@pytest.fixture
def redis(servers: tuple[EmbeddedPostgres, EmbeddedRedis]) -> EmbeddedRedis:
    server = servers[1]
    server.start()
    assert say(server, "FLUSHALL") == "+OK"
    return server
