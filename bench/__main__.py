"""make bench: every figure beside the yardstick of the same run, and their ratio."""

import json
import statistics
import sys
import time
from collections.abc import Callable

from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from bench.load import Load, request, run_load, send_one
from bench.servers import Pod, running_pod

_ROUNDS = 5
_REQUESTS = 2_000
_SIGNATURES = 1_000


def main() -> None:
    """Print the table."""
    with running_pod() as pod:
        print_row("what", "ms CPU", "x signature", "target", "note")
        token_request = request(pod, "/token", {"grant_type": "client_credentials"})
        token = json.loads(send_one(token_request))["access_token"]
        introspection = request(pod, "/introspect", {"token": token})
        sign = signer()
        measure(pod, "client_credentials token", token_request, 1.6, sign, b"access_token")
        measure(pod, "introspection", introspection, 0.9, sign, b'"active":true')
        print_row("what", "figure", "", "target", "")
        print_row("resident memory, MiB", f"{pod.resident_mib():.0f}", "", "120", "after the load")
        print_row("start to ready, s", f"{pod.started_in:.2f}", "", "2", "keys exist")


def measure(
    pod: Pod, name: str, message: bytes, target: float, sign: Callable[[], None], expect: bytes
) -> None:
    """Rounds of load and yardstick in turn; the median of the rounds' ratios."""
    run_load(message, _REQUESTS // 4, expect=expect)
    costs: list[float] = []
    ratios: list[float] = []
    loads: list[Load] = []
    for number in range(_ROUNDS):
        progress(f"{name}: round {number + 1} of {_ROUNDS}")
        before = yardstick(sign)
        cpu = pod.cpu_seconds()
        loads.append(run_load(message, _REQUESTS, expect=expect))
        costs.append((pod.cpu_seconds() - cpu) / _REQUESTS)
        ratios.append(costs[-1] / statistics.mean((before, yardstick(sign))))
    progress("")
    rate = statistics.median(load.rate for load in loads)
    p99 = statistics.median(load.p99 for load in loads)
    print_row(
        name,
        f"{statistics.median(costs) * 1000:.3f}",
        f"{statistics.median(ratios):.2f}",
        f"{target}",
        f"{min(ratios):.2f} to {max(ratios):.2f}; {rate:.0f}/s, p99 {p99:.1f} ms",
    )


def signer() -> Callable[[], None]:
    """One raw RSA-2048 signature, the cost that can't be avoided."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    scheme, digest, message = padding.PKCS1v15(), SHA256(), b"x" * 400

    def sign() -> None:
        key.sign(message, scheme, digest)

    return sign


def yardstick(sign: Callable[[], None]) -> float:
    """CPU seconds of one signature."""
    began = time.process_time()
    for _ in range(_SIGNATURES):
        sign()
    return (time.process_time() - began) / _SIGNATURES


def progress(text: str) -> None:
    """Say on a terminal what is under way."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def print_row(*cells: str) -> None:
    """A row of the table."""
    widths = (26, 8, 12, 7, 0)
    print("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip())


if __name__ == "__main__":
    main()
