"""200 clients that present one refresh token at once, beside 200 that present one each."""

import asyncio
import statistics
import time
from collections.abc import Sequence

from bench.load import Load, exchange, login, read_member, refresh, send_one, summarize
from bench.servers import PORT, USERNAMES
from bench.table import print_row, progress

_CLIENTS = 200
_ROUNDS = 5
_TARGET = 1.5


def measure_contention() -> None:
    """The slowest of 200 answers, as a ratio of the two kinds; each answer must be 200."""
    tokens: list[str] = []
    for number in range(_CLIENTS):
        progress(f"contention: session {number + 1} of {_CLIENTS}")
        tokens.append(read_member(send_one(login(number % len(USERNAMES))), "refresh_token"))
    ratios, slowest = [], []
    for number in range(_ROUNDS):
        progress(f"contention: round {number + 1} of {_ROUNDS}")
        apart, tokens = asyncio.run(_at_once(tokens))
        together, successors = asyncio.run(_at_once([tokens[0]] * _CLIENTS))
        assert len(set(successors)) == 1, "two successors of one token"
        tokens[0] = successors[0]
        ratios.append(together.slowest / apart.slowest)
        slowest.append((together.slowest, apart.slowest))
    progress("")
    one, many = (statistics.median(pair[index] for pair in slowest) for index in (0, 1))
    print_row("what", "ms", "x different", "target", "note")
    print_row(
        "one token presented by 200 at once",
        f"{one:.0f}",
        f"{statistics.median(ratios):.2f}",
        f"{_TARGET}",
        f"slowest answer; of 200 different tokens {many:.0f} ms; "
        f"{min(ratios):.2f} to {max(ratios):.2f}",
    )


async def _at_once(tokens: Sequence[str]) -> tuple[Load, list[str]]:
    """Present all at once over connections that are open already; the successors in their order."""
    pairs = await asyncio.gather(*(asyncio.open_connection("127.0.0.1", PORT) for _ in tokens))
    latencies: list[float] = []

    async def present(pair: tuple[asyncio.StreamReader, asyncio.StreamWriter], token: str) -> str:
        began = time.perf_counter()
        status, body = await exchange(*pair, refresh(token))
        latencies.append(time.perf_counter() - began)
        pair[1].close()
        assert status == b"200", (status, body)
        return read_member(body, "refresh_token")

    began = time.perf_counter()
    successors = await asyncio.gather(*map(present, pairs, tokens))
    return summarize(latencies, time.perf_counter() - began), successors
