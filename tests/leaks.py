"""ATK-96: what the run issued, and whether a log or a metric holds any of it."""

import re
import sys
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, BinaryIO

import pytest
import structlog
from prometheus_client import CollectorRegistry, generate_latest

from service import telemetry
from service.embedded.home import Home
from service.flows import (
    authorization_requests,
    client_credentials,
    issue_code,
    manage_clients,
    session_tokens,
)
from service.hashing import PasswordHasher
from service.http import page
from service.keys import master_keys
from service.metrics import Metrics
from service.oauth.refresh_token import RefreshTokens
from service.oauth.sign_on import SignOnCookie

_WIDTH = 24
_SHORTEST_PASSWORD = 12
_RUN = re.compile(rb"[A-Za-z0-9+/_-]{%d,}" % _WIDTH)
# What child processes issued is known by its shape: a client secret, a refresh token, a code, a
# signed token, and whatever a cookie of ours has.
_SHAPES = re.compile(
    rb"ww[src]_[A-Za-z0-9_-]{16,}|eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{16,}"
    rb"|__Host-watchword_[a-z]+=[A-Za-z0-9_-]{16,}"
)


class Issued:
    """Every secret of the run, by fragments that give it away: its end, and that in base64."""

    def __init__(self) -> None:
        self._fragments: dict[bytes, str] = {}
        self._passwords: set[bytes] = set()
        self.registries: list[CollectorRegistry] = []

    def note(self, kind: str, secret: str) -> str:
        """Remember the secret; the same again."""
        raw = secret.encode()
        # Within a Basic header the same bytes have three spellings, by what stands before them.
        encoded = (b64encode(b"\0" * before + raw).rstrip(b"=") for before in range(3))
        for text in (raw, *encoded):
            self._fragments[text[-_WIDTH:]] = kind
        return secret

    def note_password(self, password: str) -> None:
        """Remember a password, which may have spaces in it; a short one might stand anywhere."""
        if len(password) >= _SHORTEST_PASSWORD:
            self._passwords.add(password.encode(errors="replace"))

    def leaks(self, lines: Iterable[bytes]) -> Iterator[str]:
        """What is given away by which line, without giving it away again."""
        passwords = re.compile(b"|".join(map(re.escape, self._passwords)) or b"(?!)")
        for number, line in enumerate(lines, start=1):
            found = {
                self._fragments.get(piece) for run in _RUN.findall(line) for piece in _cut(run)
            }
            if _SHAPES.search(line):
                found.add("something shaped like a secret")
            if passwords.search(line):
                found.add("password")
            for kind in sorted(found - {None}, key=str):
                masked = _RUN.sub(b"(masked)", line).decode(errors="replace")
                yield f"{number}: {kind}: {masked.strip()[:400]}"


def _cut(run: bytes) -> Iterator[bytes]:
    return (run[start : start + _WIDTH] for start in range(len(run) - _WIDTH + 1))


@contextmanager
def watched_logs(folder: Path) -> Iterator[Issued]:
    """Log as in production, into `folder`, and fail if any log or metric there has a secret.

    Each file there that ends in .log is one: of the pods in this process, of child processes.
    """
    issued = Issued()
    with pytest.MonkeyPatch.context() as patch, (folder / "suite.log").open("wb") as file:
        _note_secrets(patch, issued)
        structlog.configure(
            processors=telemetry._processors(),
            wrapper_class=structlog.make_filtering_bound_logger(0),
            logger_factory=structlog.BytesLoggerFactory(file=_Both(file)),  # pyright: ignore[reportArgumentType]
            # And so for good: a command that a test runs here can't take it over.
            cache_logger_on_first_use=True,
        )
        telemetry.log.debug("suite_begins")
        yield issued
    found = [
        f"{path.relative_to(folder)}:{leak}"
        for path in sorted(folder.rglob("*.log"))
        for leak in issued.leaks(path.read_bytes().splitlines())
    ]
    for registry in issued.registries:
        found += [f"metric {leak}" for leak in issued.leaks(generate_latest(registry).splitlines())]
    if found:
        heading = f"{len(found)} lines of logs give secrets away (ATK-96), of which the first are:"
        pytest.fail("\n".join([heading, *found[:20]]), pytrace=False)


def _note_secrets(patch: pytest.MonkeyPatch, issued: Issued) -> None:
    """Listen where secrets are made."""

    def listen(owner: Any, name: str, note: Callable[[Any, tuple[Any, ...]], object]) -> None:
        make = getattr(owner, name)

        @wraps(make)
        def heard(*args: Any, **kwargs: Any) -> Any:
            made = make(*args, **kwargs)
            note(made, args)
            return made

        patch.setattr(owner, name, heard)

    listen(manage_clients, "new_secret", lambda made, _: issued.note("client secret", made))
    listen(client_credentials, "sign", lambda made, _: issued.note("access token", made))
    listen(session_tokens, "sign", lambda made, _: issued.note("access token", made))
    listen(RefreshTokens, "write", lambda made, _: issued.note("refresh token", made))
    listen(SignOnCookie, "write", lambda made, _: issued.note("sign-on cookie", made))
    listen(issue_code, "encode_base64url", lambda made, _: issued.note("code", made))
    listen(authorization_requests, "encode_base64url", lambda made, _: issued.note("handle", made))
    # CSRF tokens, and the cookie that they are made of.
    listen(page, "encode_base64url", lambda made, _: issued.note("form secret", made))
    for name in ("hash", "verify"):
        listen(PasswordHasher, name, lambda _, args: issued.note_password(args[-1]))
    listen(Home, "keep_password", lambda _, args: issued.note("server password", args[1]))
    listen(master_keys, "_write", lambda _, args: issued.note("master key", args[1]))
    listen(Metrics, "__init__", lambda _, args: issued.registries.append(args[0].registry))


class _Both:
    """The suite's log, and standard error, which pytest shows beside a failure."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(self, line: bytes) -> None:
        self._file.write(line)
        sys.stderr.write(line.decode(errors="replace"))

    def flush(self) -> None:
        self._file.flush()
