"""deploy/redis-users.acl: the service and verifiers can do what they need, and nothing else."""

from pathlib import Path
from urllib.parse import urlsplit

import pytest
from redis.asyncio import Redis
from redis.exceptions import NoPermissionError

from service.embedded.redis import EmbeddedRedis
from tests.conftest import MakeApp, MakeSettings, register, until

_LINES = Path(__file__).parents[2].joinpath("deploy/redis-users.acl").read_text().splitlines()


async def add_user(redis_server: EmbeddedRedis, name: str, prefix: str) -> str:
    """The URL of the file's user, made on the server with a prefix of the test's own."""
    (line,) = [line for line in _LINES if line.startswith(f"user {name} ")]
    user = f"{name}-{prefix}"
    rules = line.replace("{ww}", f"{{{prefix}}}").replace("CHANGE-ME", "secret").split()[2:]
    async with Redis.from_url(redis_server.url) as admin:
        await admin.execute_command("ACL", "SETUSER", user, *rules)
    return f"redis://{user}:secret@127.0.0.1:{urlsplit(redis_server.url).port}/0"


async def test_a_pod_works_with_the_services_rights(
    make_settings: MakeSettings, make_app: MakeApp, redis_server: EmbeddedRedis
) -> None:
    url = await add_user(redis_server, "watchword", "acl-a")
    app = await make_app(
        await make_settings(REDIS_PREFIX="acl-a", REDIS_URL=url, CLIENT_FAILURES_PER_MINUTE="1")
    )
    await register(app)
    async with Redis.from_url(url, decode_responses=True) as redis:
        await until(lambda: app.services.keeper.head() is not None)
        assert await redis.get("{acl-a}:feed:heartbeat")
        assert await app.services.limit.count_failure("client_address", "x") is None
        assert await app.services.limit.count_failure("client_address", "x") is not None
        assert not app.services.keeper.redis_away
    async with Redis.from_url(redis_server.url) as admin:
        assert [key async for key in admin.scan_iter("{acl-a}:limit*")]
    async with Redis.from_url(url, decode_responses=True) as redis:
        for command in (("GET", "other"), ("FLUSHALL",), ("KEYS", "*"), ("CONFIG", "GET", "*")):
            with pytest.raises(NoPermissionError):
                await redis.execute_command(*command)


async def test_a_verifier_may_only_read_the_feed(redis_server: EmbeddedRedis) -> None:
    url = await add_user(redis_server, "verifier", "acl-b")
    async with Redis.from_url(url, decode_responses=True) as redis:
        assert await redis.mget("{acl-b}:feed:heartbeat", "{acl-b}:feed:jti:x") == [None, None]
        assert not await redis.xread({"{acl-b}:feed:e:entries": "0-0"})
        for command in (
            ("SET", "{acl-b}:feed:heartbeat", "x"),
            ("DEL", "{acl-b}:feed:heartbeat"),
            ("XADD", "{acl-b}:feed:e:entries", "*", "jws", "x"),
            ("GET", "{acl-b}:limit:x"),
            ("EVAL", "return 1", "0"),
        ):
            with pytest.raises(NoPermissionError):
                await redis.execute_command(*command)
