"""Check a revocation feed by docs/reference/revocation-feed.md; exit 1 with a reason on a fault.

Call it as `python verify_feed.py ISSUER REDIS_URL [PREFIX]`; it needs redis and pyjwt[crypto].
"""

# ruff: noqa: INP001, T201 (a script, which prints)

import json
import sys
import time
import urllib.request
from base64 import urlsafe_b64encode
from hashlib import sha256

import jwt
import redis

KINDS, MAX_STALENESS = {"jti", "sid", "client", "kid", "stale"}, 30
ENTRY, HEARTBEAT = "revocation-feed+jwt", "revocation-heartbeat+jwt"


def require(statement: object, reason: str) -> None:
    """End with the reason unless the statement holds."""
    if not statement:
        sys.exit(f"fault: {reason}")


def digest(text: str) -> str:
    """SHA-256 as unpadded base64url."""
    return urlsafe_b64encode(sha256(text.encode()).digest()).rstrip(b"=").decode()


def prove(jws: str, typ: str) -> dict:
    """The claims, once type, key, signature and issuer are proven."""
    try:
        header = jwt.get_unverified_header(jws)
        require(header["typ"] == typ, f"{header['typ']} stands where {typ} belongs")
        return jwt.decode(jws, keys[header["kid"]], algorithms=["RS256"], issuer=issuer)
    except (jwt.PyJWTError, KeyError) as error:
        sys.exit(f"fault: a {typ} can't be proven: {error!r}")


issuer, url, prefix = (*sys.argv[1:], "ww")[:3]
with urllib.request.urlopen(f"{issuer}/.well-known/watchword-feed-keys.json", timeout=10) as page:  # noqa: S310
    keys = {key.key_id: key for key in jwt.PyJWKSet.from_dict(json.load(page)).keys}
client = redis.Redis.from_url(url, decode_responses=True, encoding_errors="replace")

text, before, rows = client.get(f"{{{prefix}}}:feed:heartbeat"), None, []
while text != before:  # until the heartbeat is the same before and after
    require(text, "there is no heartbeat")
    rows = client.xrange(f"{{{prefix}}}:feed:{prove(text, HEARTBEAT)['epoch']}:entries")
    before, text = text, client.get(f"{{{prefix}}}:feed:heartbeat")
for kid in prove(text, HEARTBEAT)["killed_kids"]:
    keys.pop(kid, None)
beat = prove(text, HEARTBEAT)  # once more, without the killed keys
epoch, head, floor = beat["epoch"], beat["head"], beat["floor"]
age = time.time() - beat["time"] / 1000
require(abs(age) <= MAX_STALENESS, f"stale: the heartbeat is of {age:.0f} seconds ago")

number, facts = floor - 1, []
last = beat["digest"] if number == head else digest(epoch) if number == 0 else None
for id_, fields in rows:
    if int(id_.split("-")[0]) < floor:
        continue  # about to be trimmed
    number, entry = number + 1, prove(fields.get("jws", ""), ENTRY)
    require(id_ == f"{number}-0", f"{id_} stands where {number}-0 belongs")
    require((entry["epoch"], entry["n"]) == (epoch, number), f"{id_} is another entry")
    require(last in (None, entry["prev"]), f"{id_} does not chain to the entry before it")
    require(all(len(KINDS & fact.keys()) == 1 for fact in entry["facts"]), f"{id_}: unknown kinds")
    facts, last = facts + entry["facts"], digest(fields["jws"])
    require(number != head or last == beat["digest"], "the heartbeat names another head")
require(number >= head, f"the stream ends at {number} before the head, {head}")
print(json.dumps({**beat, "last": number, "age": round(age, 3), "facts": facts}))
