"""python -m bench verify: a token verified where it is used, beside one raw RSA verification."""

import asyncio
import base64
import json
import statistics
import time
import tracemalloc
import urllib.request
import warnings
from collections.abc import Callable
from datetime import timedelta
from uuid import uuid4

import jwt
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from joserfc import jwt as joserfc_jwt
from joserfc.jwk import KeySet as JoserfcKeySet
from watchword_verifier import Verifier
from watchword_verifier._facts import Fact, Facts

from bench.load import read_member, request, send_one
from bench.servers import AUDIENCE, Pod
from bench.table import print_row, progress

_TOKENS = 1_500
_ROUNDS = 5
_LIVE = 1_000_000
_AGAIN = 20

Check = Callable[[str], object]


def measure_verification(pod: Pod) -> None:
    """First and second verifications, ours and others', and the memory of a million revocations."""
    progress("fetching tokens")
    message = request(pod, "/token", {"grant_type": "client_credentials"})
    tokens = [read_member(send_one(message), "access_token") for _ in range(_TOKENS)]
    with urllib.request.urlopen(f"{pod.issuer}/.well-known/jwks.json") as answer:  # noqa: S310
        jwks = json.load(answer)
    asyncio.run(_measure(pod, tokens, jwks))


async def _measure(pod: Pod, tokens: list[str], jwks: dict[str, list[dict[str, str]]]) -> None:
    print_row("what", "us CPU", "x raw RSA", "target", "note")
    # What occupies the loop here keeps the verifier from hearing the feed, which is not measured.
    patience = timedelta(hours=1)
    async with Verifier(
        issuer=pod.issuer,
        audience=AUDIENCE,
        revocations=pod.redis_url,
        cache_size=4 * _TOKENS,
        max_staleness=patience,
    ) as verifier:
        engine = verifier._engine  # noqa: SLF001 (the clean slate before each round)
        raw = _raw_check(tokens[0], jwks)
        for live in (0, _LIVE):
            if live:
                _fill(engine._facts, live)  # noqa: SLF001
            await _compare_ours(verifier, tokens, raw, live)
    for name, note, check in _others(pod, jwks):
        _compare(name, check, tokens, raw, note)


async def _compare_ours(verifier: Verifier, tokens: list[str], raw: Check, live: int) -> None:
    ratios: list[float] = []
    firsts: list[float] = []
    again: list[float] = []
    for number in range(_ROUNDS):
        progress(f"verification: round {number + 1} of {_ROUNDS}")
        cache = verifier._engine._judge.cache  # noqa: SLF001
        cache._young.clear()  # noqa: SLF001
        cache._old.clear()  # noqa: SLF001
        yardstick = _cpu(raw, tokens)
        began = time.process_time()
        for token in tokens:
            await verifier.verify(token)
        firsts.append((time.process_time() - began) / len(tokens))
        began = time.process_time()
        for _ in range(_AGAIN):
            for token in tokens:
                await verifier.verify(token)
        again.append((time.process_time() - began) / len(tokens) / _AGAIN)
        ratios.append(firsts[-1] / statistics.mean((yardstick, _cpu(raw, tokens))))
    progress("")
    with_live = f", {live:,} live" if live else ""
    print_row(
        f"first verification{with_live}",
        f"{statistics.median(firsts) * 1e6:.1f}",
        f"{statistics.median(ratios):.2f}",
        "2.5",
        f"{min(ratios):.2f} to {max(ratios):.2f}",
    )
    print_row(
        f"verified again{', the same' if live else ''}",
        f"{statistics.median(again) * 1e6:.1f}",
        "",
        "5 us",
        f"{min(again) * 1e6:.1f} to {max(again) * 1e6:.1f}",
    )


def _fill(facts: Facts, count: int) -> None:
    """So many live facts; what they take, by the interpreter's own account."""
    progress(f"{count:,} revocations")
    expires_at = int(time.time()) + 700
    tracemalloc.start()
    for number in range(count):
        facts.add(Fact("jti", str(uuid4()), 0, expires_at + number % 600))
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    progress("")
    print_row("memory per live revocation, bytes", f"{used / count:.0f}", "", "150", f"{count:,}")


def _compare(name: str, check: Check, tokens: list[str], raw: Check, note: str) -> None:
    costs: list[float] = []
    ratios: list[float] = []
    for _ in range(_ROUNDS):
        yardstick = _cpu(raw, tokens)
        costs.append(_cpu(check, tokens))
        ratios.append(costs[-1] / statistics.mean((yardstick, _cpu(raw, tokens))))
    cost, ratio = statistics.median(costs), statistics.median(ratios)
    print_row(name, f"{cost * 1e6:.1f}", f"{ratio:.2f}", "", note)


def _cpu(check: Check, tokens: list[str]) -> float:
    """CPU seconds of one."""
    began = time.process_time()
    for token in tokens:
        check(token)
    return (time.process_time() - began) / len(tokens)


def _raw_check(token: str, jwks: dict[str, list[dict[str, str]]]) -> Check:
    """One raw verification of a real token's signature."""
    message, _, signature = token.rpartition(".")
    kid = jwt.get_unverified_header(token)["kid"]
    key = jwt.PyJWK(next(it for it in jwks["keys"] if it["kid"] == kid)).key
    assert isinstance(key, rsa.RSAPublicKey)
    scheme, digest = padding.PKCS1v15(), hashes.SHA256()
    signed, raw = message.encode(), base64.urlsafe_b64decode(signature + "==")
    return lambda _: key.verify(raw, signed, scheme, digest)


def _others(pod: Pod, jwks: dict[str, list[dict[str, str]]]) -> list[tuple[str, str, Check]]:
    """What others do: signature, iss, aud and exp; no revocation, and less of what RS-3 asks."""
    client = jwt.PyJWKClient(f"{pod.issuer}/.well-known/jwks.json")
    of_joserfc = JoserfcKeySet.import_key_set(jwks)  # pyright: ignore[reportArgumentType]
    claims_of_joserfc = joserfc_jwt.JWTClaimsRegistry(
        iss={"essential": True, "value": pod.issuer},
        aud={"essential": True, "value": AUDIENCE},
        exp={"essential": True},
    )

    def by_pyjwt(token: str) -> object:
        key = client.get_signing_key_from_jwt(token)
        return jwt.decode(
            token, key.key, algorithms=["RS256"], audience=AUDIENCE, issuer=pod.issuer
        )

    def by_joserfc(token: str) -> object:
        decoded = joserfc_jwt.decode(token, of_joserfc, algorithms=["RS256"])
        return claims_of_joserfc.validate(decoded.claims)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Authlib itself recommends joserfc
        from authlib.jose import JsonWebKey, JsonWebToken  # noqa: PLC0415

        of_authlib, authlib = JsonWebKey.import_key_set(jwks), JsonWebToken(["RS256"])
    options = {
        "iss": {"essential": True, "value": pod.issuer},
        "aud": {"essential": True, "value": AUDIENCE},
    }

    def by_authlib(token: str) -> object:
        return authlib.decode(token, of_authlib, claims_options=options).validate()

    return [
        ("PyJWKClient and jwt.decode", "no typ, duplicate names, revocation", by_pyjwt),
        ("joserfc", "no revocation", by_joserfc),
        ("Authlib", "no revocation", by_authlib),
    ]
