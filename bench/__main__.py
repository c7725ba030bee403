"""make bench: every figure beside the yardstick of the same run, and their ratio."""

import statistics
from collections.abc import Callable

import click

from bench.catch_up import measure_catch_up
from bench.code_flow import measure_code_flow
from bench.contention import measure_contention
from bench.flood import measure_flood
from bench.load import (
    CONNECTIONS,
    Load,
    Next,
    always,
    chain,
    login,
    read_member,
    request,
    run_load,
    send_one,
)
from bench.many_sessions import measure_many_sessions
from bench.reach import measure_reach
from bench.servers import Pod, running_pod
from bench.sign import measure_signing
from bench.storage import measure_storage
from bench.table import print_row, progress
from bench.verify import measure_verification
from bench.yardstick import Yardstick

_ROUNDS = 5
_REQUESTS = 2_000
_LOGINS = 160


_OF_A_POD: dict[str, Callable[..., None]] = {
    "verify": measure_verification,
    "reach": measure_reach,
    "catch-up": measure_catch_up,
    "code-flow": measure_code_flow,
}
_ALONE: dict[str, Callable[..., None]] = {
    "sign": measure_signing,
    "storage": measure_storage,
    "many-sessions": measure_many_sessions,
}


@click.command()
@click.argument("part", required=False, type=click.Choice([*_OF_A_POD, *_ALONE]))
@click.argument("numbers", nargs=-1, type=click.IntRange(1))
def main(part: str | None, numbers: tuple[int, ...]) -> None:
    """Print the tables: all of them, or one PART.

    `catch-up`, `storage` and `many-sessions` take minutes, and so are not among the rest. They
    take NUMBERS, which say how much: entries, rotations and sessions, sessions and rotations.
    """
    if part in _ALONE:
        _ALONE[part](*numbers)
        return
    with running_pod() as pod:
        if part:
            _OF_A_POD[part](pod, *numbers)
            return
        measure_costs(pod)
        print_row("what", "figure", "", "target", "")
        print_row("resident memory, MiB", f"{pod.resident_mib():.0f}", "", "120", "after the load")
        print_row("start to ready, s", f"{pod.started_in:.2f}", "", "2", "keys exist")
        measure_logins(pod)
        measure_code_flow(pod)
        measure_flood(pod)
        measure_contention()
        measure_signing()
        measure_verification(pod)
        measure_reach(pod)


def measure_costs(pod: Pod) -> None:
    """CPU per request of the token endpoints."""
    print_row("what", "ms CPU", "x signature", "target", "note")
    token_request = request(pod, "/token", {"grant_type": "client_credentials"})
    token = read_member(send_one(token_request), "access_token")
    introspection = request(pod, "/introspect", {"token": token})
    yardstick = Yardstick()
    many = [always(token_request)] * CONNECTIONS
    measure(pod, "client_credentials token", many, 1.6, yardstick, b"access_token")
    sessions = [chain(read_member(send_one(login()), "refresh_token")) for _ in range(CONNECTIONS)]
    measure(pod, "refresh rotation", sessions, 2.1, yardstick, b"refresh_token")
    many = [always(introspection)] * CONNECTIONS
    measure(pod, "introspection", many, 0.9, yardstick, b'"active":true')


def measure(
    pod: Pod,
    name: str,
    messages: list[Next],
    target: float,
    yardstick: Yardstick,
    expect: bytes,
) -> None:
    """Rounds of load and yardstick in turn; the median of the rounds' ratios."""
    run_load(messages, _REQUESTS // 4, expect=expect)
    costs: list[float] = []
    databases: list[float] = []
    ratios: list[float] = []
    loads: list[Load] = []
    for number in range(_ROUNDS):
        progress(f"{name}: round {number + 1} of {_ROUNDS}")
        before = yardstick.seconds()
        cpu, database = pod.cpu_seconds(), pod.postgres_seconds()
        loads.append(run_load(messages, _REQUESTS, expect=expect))
        costs.append((pod.cpu_seconds() - cpu) / _REQUESTS)
        databases.append((pod.postgres_seconds() - database) / _REQUESTS)
        ratios.append(costs[-1] / statistics.mean((before, yardstick.seconds())))
    progress("")
    rate = statistics.median(load.rate for load in loads)
    p99 = statistics.median(load.p99 for load in loads)
    print_row(
        name,
        f"{statistics.median(costs) * 1000:.3f}",
        f"{statistics.median(ratios):.2f}",
        f"{target}",
        f"{min(ratios):.2f} to {max(ratios):.2f}; {rate:.0f}/s, p99 {p99:.1f} ms; "
        f"PostgreSQL {statistics.median(databases) * 1000:.3f} ms",
    )


def measure_logins(pod: Pod) -> None:
    """CPU per login, beside that of the hash alone, which is nearly all of it."""
    yardstick = Yardstick.of_hashes()
    many: list[Next] = [lambda _: login()] * 2
    run_load(many, 20)
    before = yardstick.seconds()
    cpu, database = pod.cpu_seconds(), pod.postgres_seconds()
    load = run_load(many, _LOGINS)
    cost = (pod.cpu_seconds() - cpu) / _LOGINS
    database = (pod.postgres_seconds() - database) / _LOGINS
    hashed = statistics.mean((before, yardstick.seconds()))
    print_row("what", "ms CPU", "x argon2id", "", "note")
    print_row(
        "login",
        f"{cost * 1000:.1f}",
        f"{cost / hashed:.2f}",
        "",
        f"{load.rate:.0f}/s, p99 {load.p99:.0f} ms; PostgreSQL {database * 1000:.2f} ms",
    )


if __name__ == "__main__":
    main()
