"""The file in which keys outlive a process, for a start while the issuer is away."""

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile

from watchword_verifier._errors import Malformed
from watchword_verifier._jws import parse_json_object

_log = logging.getLogger("watchword_verifier")

_MAX_DEPTH = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedKeys:
    """Both JWK Sets as they were fetched, at `fetched_at` in seconds since 1970, and killed kids.

    Whoever can write this file decides who signs: keep it where only the service can.
    """

    issuer: str
    fetched_at: float
    tokens: bytes
    feed: bytes
    killed: tuple[str, ...]


def read_cache(path: Path, issuer: str) -> CachedKeys | None:
    """The cached keys of an issuer; None when there are none, or the file is damaged."""
    try:
        members = parse_json_object(path.read_bytes(), max_depth=_MAX_DEPTH)
    except FileNotFoundError:
        return None
    except (OSError, Malformed) as error:
        _log.warning("the key cache %s can't be read (%s): starting without", path, error)
        return None
    if members.get("issuer") != issuer:
        return None
    at, tokens, feed, killed = (
        members.get(it) for it in ("fetched_at", "tokens", "feed", "killed")
    )
    if not isinstance(at, float) or not isinstance(tokens, str) or not isinstance(feed, str):
        return None
    if not isinstance(killed, list) or not all(isinstance(kid, str) for kid in killed):
        return None
    return CachedKeys(
        issuer=issuer,
        fetched_at=at,
        tokens=tokens.encode(),
        feed=feed.encode(),
        killed=tuple(killed),
    )


def write_cache(path: Path, cached: CachedKeys) -> None:
    """Replace the file whole, readable by its owner alone; a failure is logged, no more."""
    members = {
        "issuer": cached.issuer,
        "fetched_at": cached.fetched_at,
        "tokens": cached.tokens.decode(),
        "feed": cached.feed.decode(),
        "killed": list(cached.killed),
    }
    made = None
    try:
        with NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}.", delete=False) as new:
            made = Path(new.name)
            json.dump(members, new)
        made.replace(path)
    except OSError as error:
        _log.warning("the key cache %s can't be written: %s", path, error)
        if made is not None:
            made.unlink(missing_ok=True)
