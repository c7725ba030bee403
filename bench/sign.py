"""python -m bench sign: one token signed, by each algorithm and kind of key."""

import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.table import print_row, progress
from bench.yardstick import Yardstick
from service.keys.hardware import HardwareKeys
from service.keys.jwk import Verifier
from service.keys.pkcs11_token import Address
from service.keys.sign import sign
from service.keys.signer import PrivateKey, Signer
from service.oauth.signing_key import ES256, RS256

_ROUNDS = 5
_SIGNATURES = 400
_MODULE = Path("/usr/lib/softhsm/libsofthsm2.so")
_CLAIMS = {"iss": "https://auth.example", "sub": "x" * 36, "scope": "orders:read", "jti": "y" * 36}


def measure_signing() -> None:
    """CPU of one signed token, and how long it holds the pod's loop."""
    print_row("what", "ms CPU", "x signature", "", "note")
    for bits in (2048, 3072, 4096):
        _measure(f"RS256, {bits} bits", PrivateKey.generate(RS256, bits))
    _measure("ES256", PrivateKey.generate(ES256))
    with _softhsm() as hardware:
        if hardware is None:
            print_row("RS256 and ES256 in SoftHSM", "", "", "", "not installed")
            return
        for name, alg in (("RS256, 2048 bits, in SoftHSM", RS256), ("ES256, in SoftHSM", ES256)):
            signer = hardware.open(hardware.generate(alg, 2048))
            assert signer is not None
            _measure(name, signer)


def _measure(name: str, signer: Signer) -> None:
    yardstick = Yardstick(count=_SIGNATURES)
    costs: list[float] = []
    ratios: list[float] = []
    times: list[float] = []
    for number in range(_ROUNDS):
        progress(f"{name}: round {number + 1} of {_ROUNDS}")
        before = yardstick.seconds()
        cpu, began = time.process_time(), time.perf_counter()
        for _ in range(_SIGNATURES):
            sign(signer, "at+jwt", _CLAIMS)
        times.append((time.perf_counter() - began) / _SIGNATURES)
        costs.append((time.process_time() - cpu) / _SIGNATURES)
        ratios.append(costs[-1] / statistics.mean((before, yardstick.seconds())))
    progress("")
    checked = _cost_of_verifying(signer)
    print_row(
        name,
        f"{statistics.median(costs) * 1000:.3f}",
        f"{statistics.median(ratios):.2f}",
        "",
        f"{min(ratios):.2f} to {max(ratios):.2f}; {min(times) * 1000:.3f} ms at the clock; "
        f"verified in {checked * 1000:.3f}",
    )


def _cost_of_verifying(signer: Signer) -> float:
    """CPU seconds of one raw verification: what each verifier pays."""
    verifier, message = Verifier(signer.public_jwk), b"x" * 400
    signature = signer.sign(message)
    began = time.process_time()
    for _ in range(_SIGNATURES):
        assert verifier.verify(message, signature)
    return (time.process_time() - began) / _SIGNATURES


@contextmanager
def _softhsm() -> Iterator[HardwareKeys | None]:
    """A token of SoftHSM, for as long as it is measured."""
    tool = shutil.which("softhsm2-util")
    if tool is None or not _MODULE.exists():
        yield None
        return
    with tempfile.TemporaryDirectory() as folder:
        settings = Path(folder, "softhsm2.conf")
        settings.write_text(f"directories.tokendir = {folder}\n")
        os.environ["SOFTHSM2_CONF"] = str(settings)
        command = [tool, "--init-token", "--free", "--label", "bench", "--pin", "1234"]
        subprocess.run([*command, "--so-pin", "123456"], check=True, capture_output=True)
        yield HardwareKeys(Address(module=str(_MODULE), token="bench", pin="1234"))  # noqa: S106
