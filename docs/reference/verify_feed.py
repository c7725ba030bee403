"""Check a revocation feed by docs/reference/revocation-feed.md; exit 1 with a reason on a fault.

    python verify_feed.py ISSUER REDIS_URL [PREFIX]    (needs redis and pyjwt[crypto])
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

KINDS = {"jti", "sid", "client", "kid", "stale"}
issuer, url, prefix = (*sys.argv[1:], "ww")[:3]
with urllib.request.urlopen(f"{issuer}/.well-known/watchword-feed-keys.json", timeout=10) as page:  # noqa: S310
    keys = {key.key_id: key for key in jwt.PyJWKSet.from_dict(json.load(page)).keys}


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
        require(header["typ"] == typ, f"the typ is {header['typ']}, not {typ}")
        require(header["kid"] in keys, f"no published feed key is called {header['kid']}")
        return jwt.decode(jws, keys[header["kid"]], algorithms=["RS256"], issuer=issuer)
    except (jwt.PyJWTError, KeyError) as error:
        sys.exit(f"fault: a {typ} can't be proven: {error!r}")


client = redis.Redis.from_url(url, decode_responses=True, encoding_errors="replace")
heartbeat, text = {"epoch": "", "killed_kids": []}, None
while True:  # until heartbeat and stream are of one moment
    stream = f"{{{prefix}}}:feed:{heartbeat['epoch']}:entries"
    both = client.pipeline(transaction=True).get(f"{{{prefix}}}:feed:heartbeat").xrange(stream)
    before, (text, rows) = text, both.execute()
    require(text, "there is no heartbeat")
    if text == before:
        break
    heartbeat = prove(text, "revocation-heartbeat+jwt")
age = time.time() - heartbeat["time"] / 1000
require(-30 <= age <= 30, f"stale: the heartbeat's time is {age:.0f} s ago")
for kid in heartbeat["killed_kids"]:
    require(keys.pop(kid, None) is None, f"the key set still has the killed key {kid}")

number, facts = heartbeat["floor"] - 1, []
last = digest(heartbeat["epoch"]) if number == 0 else None
for id_, fields in rows:
    if int(id_.split("-")[0]) < heartbeat["floor"]:
        continue
    number += 1
    entry = prove(fields.get("jws", ""), "revocation-feed+jwt")
    require((entry["epoch"], entry["n"]) == (heartbeat["epoch"], number), f"{id_} is not {number}")
    require(id_ == f"{number}-0", f"entry {number} has the id {id_}")
    require(last in (None, entry["prev"]), f"entry {number} does not chain to the one before")
    for fact in entry["facts"]:
        require(len(KINDS & fact.keys()) == 1, f"entry {number} has a fact of unknown kind: {fact}")
    facts += entry["facts"]
    last = digest(fields["jws"])
    if number == heartbeat["head"]:
        require(last == heartbeat["digest"], "the head is another entry than the heartbeat says")
require(number >= heartbeat["head"], f"the head is {heartbeat['head']}, the stream ends at {number}")
if heartbeat["head"] == 0:
    require(heartbeat["digest"] == digest(heartbeat["epoch"]), "the empty epoch's digest is wrong")
print(json.dumps({**heartbeat, "last": number, "age": round(age, 3), "facts": facts}))
