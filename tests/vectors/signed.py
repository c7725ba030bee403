"""What the feed's test vectors are made of: keys that are thrown away, and what they signed."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.hashes import SHA512

from service.keys.sign import sign
from service.keys.signer import PrivateKey
from service.oauth.feed import ENTRY_TYP, HEARTBEAT_TYP, Head, genesis, next_head
from service.oauth.jws import decode_base64url, encode_base64url

ROOT = Path(__file__).parents[2]
CONTRACT = ROOT / "docs/reference/revocation-feed.md"

ISSUER = "https://auth.example"
EPOCH = "01920f3c-8a00-7c3e-9d41-5b7f2e6a1c08"
LATER_EPOCH = "01920f4a-0000-7111-8222-333344445555"
LATEST_EPOCH = "01920f5b-0000-7111-8222-333344445555"
KILLED = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"

# Of the contract's heartbeat, and of the facts in its entries.
TIME = 1_727_000_301_250
EXPIRY = 1_727_000_720

SECOND, THIRD, STRANGER = (PrivateKey.generate() for _ in range(3))


def _printed(pattern: str, count: int) -> list[str]:
    section = CONTRACT.read_text().partition("\n## Test vectors\n")[2]
    found = re.findall(rf"^    ({pattern})$", section, re.MULTILINE)
    assert len(found) == count, f"the contract prints {len(found)} of {pattern}"
    return found


(_JWK,) = _printed(r"\{.*\}", 1)
FIRST_KEY: dict[str, Any] = json.loads(_JWK)
ENTRY_1, ENTRY_2, HEARTBEAT_2 = _printed(r"eyJ[\w-]+\.[\w-]+\.[\w-]+", 3)

KEYS = {"first": FIRST_KEY, "second": SECOND.public_jwk, "third": THIRD.public_jwk}

HEAD_0 = genesis(EPOCH)
HEAD_1 = next_head(HEAD_0, ENTRY_1)
HEAD_2 = next_head(HEAD_1, ENTRY_2)


def entry(
    head: Head,
    facts: object,
    /,
    *,
    key: PrivateKey = SECOND,
    typ: str = ENTRY_TYP,
    **members: object,
) -> str:
    """The entry that follows a head, or one with other members; one that is None is left out."""
    claims = {"iss": ISSUER, "epoch": head.epoch, "n": head.number + 1, "prev": digest(head)}
    return sign(key, typ, _present({**claims, "facts": facts, **members}))


def heartbeat(
    head: Head,
    /,
    *,
    floor: object = 1,
    time: int = TIME + 1000,
    killed: Sequence[str] = (KILLED,),
    key: PrivateKey = SECOND,
    typ: str = HEARTBEAT_TYP,
    **members: object,
) -> str:
    """The heartbeat over a head, or one with other members; one that is None is left out."""
    claims = {
        "iss": ISSUER,
        "epoch": head.epoch,
        "head": head.number,
        "digest": digest(head),
        "floor": floor,
        "time": time,
        "database_read_at": time - 250,
        "killed_kids": list(killed),
        **members,
    }
    return sign(key, typ, _present(claims))


def _present(claims: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in claims.items() if value is not None}


def digest(head: Head) -> str:
    return encode_base64url(head.digest)


def under_the_name_of(key: PrivateKey, forger: PrivateKey) -> PrivateKey:
    """A signer with one's `kid` and the other's private half."""
    forged = PrivateKey(forger._key)
    forged.kid = key.kid
    return forged


def with_algorithm(jws: str, alg: str) -> str:
    """The same claims under `none`, or under RS512 by the right key."""
    head, payload, _ = jws.split(".")
    header = json.loads(_decoded(head)) | {"alg": alg}
    message = f"{encode_base64url(json.dumps(header).encode())}.{payload}"
    if alg == "none":
        return f"{message}.AA"
    signature = SECOND._key.sign(message.encode(), padding.PKCS1v15(), SHA512())
    return f"{message}.{encode_base64url(signature)}"


def claims_of(jws: str) -> dict[str, Any]:
    return json.loads(_decoded(jws.split(".")[1]))


def _decoded(segment: str) -> bytes:
    return decode_base64url(segment) or b""
