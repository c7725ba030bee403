"""A flood of logins beside steady token requests: what it does to their latency.

Each guess is at another account and from another address, so that no limit spares the server.
"""

import asyncio
import statistics
import time
from concurrent.futures import ProcessPoolExecutor

from bench.load import Load, exchange, guess, request, summarize
from bench.servers import PORT, Pod
from bench.table import print_row, progress

_ROUNDS = 3
_SECONDS = 8.0
_LEAD = 1.0
_TOKENS_A_SECOND = 200
_LOGINS_A_SECOND = 500
_CONNECTIONS = 16
# More than may wait for a hash, so that the flood does not wait for itself.
_ATTACKERS = 128
_TARGET = 2.0


def measure_flood(pod: Pod) -> None:
    """The p99 of /token with 500 login attempts a second, and without, in turn."""
    message = request(pod, "/token", {"grant_type": "client_credentials"})
    calm: list[Load] = []
    flooded: list[Load] = []
    counts: dict[bytes, int] = {}
    for number in range(_ROUNDS):
        progress(f"login flood: round {number + 1} of {_ROUNDS}")
        calm.append(asyncio.run(_measure(message)))
        # From a process of their own: who measures must not wait for who attacks.
        with ProcessPoolExecutor(1) as attacker:
            attack = attacker.submit(_attack_all)
            time.sleep(_LEAD)  # its hundred connections are no part of it
            flooded.append(asyncio.run(_measure(message)))
            for status, count in attack.result().items():
                counts[status] = counts.get(status, 0) + count
    progress("")
    before, after = (statistics.median(it.p99 for it in loads) for loads in (calm, flooded))
    attempts = sum(counts.values()) / (_ROUNDS * (_LEAD + _SECONDS))
    shown = ", ".join(f"{n} x {status.decode()}" for status, n in sorted(counts.items()))
    print_row("what", "ms", "x calm", "target", "note")
    print_row(
        "/token p99 in a login flood",
        f"{after:.1f}",
        f"{after / before:.2f}",
        f"{_TARGET}",
        f"calm {before:.1f} ms; {attempts:.0f} attempts/s ({shown})",
    )


async def _measure(message: bytes) -> Load:
    """Token requests at a steady rate, each on its time however long others take."""
    pool: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
    for _ in range(_CONNECTIONS):
        pool.put_nowait(await asyncio.open_connection("127.0.0.1", PORT))
    latencies: list[float] = []

    async def ask(due: float) -> None:
        pair = await pool.get()
        status, body = await exchange(*pair, message)
        latencies.append(time.perf_counter() - due)
        assert status == b"200", (status, body)
        pool.put_nowait(pair)

    began = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for number in range(int(_SECONDS * _TOKENS_A_SECOND)):
            due = began + number / _TOKENS_A_SECOND
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            tasks.create_task(ask(due))
    while not pool.empty():
        pool.get_nowait()[1].close()
    return summarize(latencies, time.perf_counter() - began)


def _attack_all() -> dict[bytes, int]:
    """A flood from many connections; how many answers of each status there were."""
    counts: dict[bytes, int] = {}

    async def attack() -> None:
        await asyncio.gather(*(_attack(number, counts) for number in range(_ATTACKERS)))

    asyncio.run(attack())
    return counts


async def _attack(number: int, counts: dict[bytes, int]) -> None:
    """Guesses at a share of the flood's rate."""
    reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
    began = time.perf_counter()
    pause, due = _ATTACKERS / _LOGINS_A_SECOND, began + number / _LOGINS_A_SECOND
    while due < began + _LEAD + _SECONDS:
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        due += pause
        status, _ = await exchange(reader, writer, guess())
        counts[status] = counts.get(status, 0) + 1
    writer.close()
