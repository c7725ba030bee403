"""The revocation feed in Redis: a copy of what PostgreSQL has, which any pod can mend.

docs/reference/revocation-feed.md is its contract. All keys share one hash tag.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from service.oauth.revocation import Fact
from service.redis.connection import RedisConnection, script

_ENTRIES_PER_CALL = 16

# The stream's last number (floor - 1 when it has none) and length, in both scripts. Whatever a
# stranger put there, under whatever type, must not stop anybody.
_MEASURE = """
    local function clean(stream)
        if redis.call('EXISTS', stream) == 1 and redis.pcall('XINFO', 'STREAM', stream).err then
            redis.call('DEL', stream)
        end
    end
    local function measure(stream, floor)
        local last, length = floor - 1, 0
        if redis.call('EXISTS', stream) == 1 then
            local info = redis.call('XINFO', 'STREAM', stream)
            for i = 1, #info, 2 do
                if info[i] == 'last-generated-id' then
                    last = math.max(last, tonumber(string.match(info[i + 1], '^%d+')))
                elseif info[i] == 'length' then
                    length = info[i + 1]
                end
            end
        end
        return last, length
    end
"""

# The heartbeat that stands there: empty if there is none, '-' if it is of another type.
_CURRENT = """
    local function current(heartbeat)
        local value = redis.pcall('GET', heartbeat)
        return type(value) == 'table' and '-' or value or ''
    end
"""
_HEARTBEAT = script(_CURRENT + "return current(KEYS[1])")

# KEYS: stream, look-up keys. ARGV: floor, number of entries, (number, jws) of each in order,
# (value, expiry in ms or 0) of each look-up key. Look-up values only rise.
_APPEND = script(
    _MEASURE
    + """
    local stream, floor, count = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2])
    clean(stream)
    for i = 2, #KEYS do
        local value, expiry = tonumber(ARGV[2 * count + 2 * i - 1]), ARGV[2 * count + 2 * i]
        local known = redis.pcall('GET', KEYS[i])
        known = type(known) == 'string' and tonumber(known) or -1
        if not (known >= value) then
            if expiry == '0' then
                redis.call('SET', KEYS[i], value)
            else
                redis.call('SET', KEYS[i], value, 'PXAT', expiry)
            end
        end
    end
    local last = measure(stream, floor)
    for i = 1, count do
        local number = tonumber(ARGV[2 * i + 1])
        if number == last + 1 then
            redis.call('XADD', stream, number .. '-0', 'jws', ARGV[2 * i + 2])
            last = number
        end
    end
    return last
    """
)

# KEYS: heartbeat, stream. ARGV: the heartbeat to be replaced, the new one, head, floor.
# Only over a stream that has all from floor to head; so after a flush it returns last. Entries
# that were added since the head was read do no harm: under load there always are some.
_BEAT = script(
    _MEASURE
    + _CURRENT
    + """
    if current(KEYS[1]) ~= ARGV[1] then
        return {'overtaken', 0, 0}
    end
    local head, floor = tonumber(ARGV[3]), tonumber(ARGV[4])
    clean(KEYS[2])
    redis.call('XTRIM', KEYS[2], 'MINID', '=', floor .. '-0')
    local last, length = measure(KEYS[2], floor)
    if last < head or length ~= last - floor + 1 then
        return {'incomplete', last, length}
    end
    redis.call('SET', KEYS[1], ARGV[2])
    return {'beaten', last, length}
    """
)


@dataclass(frozen=True, slots=True)
class SignedEntry:
    """An entry's signed bytes, and its facts for the look-up keys."""

    number: int
    jws: str
    facts: tuple[Fact, ...]


@dataclass(frozen=True, slots=True)
class Beat:
    """How a heartbeat went: `beaten`, `overtaken` by another pod's, or the stream `incomplete`.

    `forgery`: what stood in its place is not what a pod left there.
    """

    outcome: str
    last: int
    length: int
    forgery: bool = False


class RedisFeed:
    """The feed's keys. Every method raises RedisUnavailable."""

    def __init__(self, redis: RedisConnection, prefix: str) -> None:
        self._redis = redis
        self._root = f"{{{prefix}}}:feed"

    async def append(self, epoch: str, floor: int, entries: Sequence[SignedEntry]) -> int:
        """Add entries where they follow the stream's last; the number that is its last afterwards.

        An answer below the last entry's number says what is missing.
        """
        last = 0
        for start in range(0, len(entries) or 1, _ENTRIES_PER_CALL):  # at least once, to look
            batch = entries[start : start + _ENTRIES_PER_CALL]
            facts = [fact for entry in batch for fact in entry.facts]
            keys = [self._stream(epoch), *(self._lookup(fact) for fact in facts)]
            args: list[Any] = [floor, len(batch)]
            for entry in batch:
                args += [entry.number, entry.jws]
            for fact in facts:
                args += [fact.version or 1, _expiry(fact)]
            last = await self._redis.call(lambda r, k=keys, a=args: _APPEND(r, k, a))
        return last

    async def heartbeat(self) -> str:
        """What stands in the heartbeat's place, unproven; empty if nothing does."""
        return await self._redis.call(lambda r: _HEARTBEAT(r, [f"{self._root}:heartbeat"], []))

    async def find_end(self, session_id: UUID) -> tuple[str, bool]:
        """What stands in the heartbeat's place, unproven, and whether the session was revoked.

        Read together: the heartbeat returns last, so with it the look-up keys are there.
        """
        keys = [f"{self._root}:heartbeat", f"{self._root}:sid:{session_id}"]
        heartbeat, end = await self._redis.call(lambda r: r.mget(keys))
        return str(heartbeat or ""), end is not None

    async def beat(self, epoch: str, *, head: int, floor: int, old: str, new: str) -> Beat:
        """Replace the heartbeat if it still is `old` and the stream is whole; trim the stream."""
        keys = [f"{self._root}:heartbeat", self._stream(epoch)]
        answer = await self._redis.call(lambda r: _BEAT(r, keys, [old, new, head, floor]))
        return Beat(*answer)

    async def clear(self, epoch: str) -> None:
        """Drop heartbeat and stream, so that followers know they are stale until both are back."""
        keys = [f"{self._root}:heartbeat", self._stream(epoch)]
        await self._redis.call(lambda r: r.delete(*keys))

    async def expire(self, epoch: str, seconds: int) -> None:
        """Let the stream of an epoch that was left go by itself."""
        await self._redis.call(lambda r: r.expire(self._stream(epoch), seconds))

    async def read(self, epoch: str, after: int, limit: int, *, block: float = 0) -> list[str]:
        """Up to `limit` entries after a number, unproven; waits `block` seconds for the first."""
        position: dict[Any, Any] = {self._stream(epoch): f"{after}-0"}
        milliseconds = int(block * 1000) or None
        answer: Any = await self._redis.call(
            lambda r: r.xread(position, count=limit, block=milliseconds), blocks=block
        )
        return [fields.get("jws", "") for _, rows in answer or () for _, fields in rows]

    def _stream(self, epoch: str) -> str:
        return f"{self._root}:{epoch}:entries"

    def _lookup(self, fact: Fact) -> str:
        return f"{self._root}:{fact.kind}:{fact.subject}"


def _expiry(fact: Fact) -> int:
    return 0 if fact.expires_at is None else int(fact.expires_at.timestamp() * 1000)
