"""Write docs/reference/feed-vectors.json anew: `python -m tests.vectors.make`.

What the contract prints stays as it is. The other keys are made for one run and thrown away, so
each run changes what they sign, and nothing else.
"""

import json
from typing import Any

from tests.vectors.cases import TOKENS, all_cases
from tests.vectors.signed import (
    ENTRY_1,
    ENTRY_2,
    EPOCH,
    FIRST_KEY,
    HEAD_0,
    HEAD_1,
    HEAD_2,
    HEARTBEAT_2,
    ISSUER,
    KEYS,
    ROOT,
    claims_of,
    digest,
)

FILE = ROOT / "docs/reference/feed-vectors.json"


def vectors() -> dict[str, Any]:
    return {
        "about": "Test vectors of the revocation feed, described in revocation-feed.md.",
        "max_staleness_seconds": 30,
        "leeway_seconds": 60,
        "feed": {
            "issuer": ISSUER,
            "keys": {"keys": [FIRST_KEY]},
            "epoch": EPOCH,
            "epoch_digest": digest(HEAD_0),
            "entries": [
                {"jws": jws, "digest": digest(head), "claims": claims_of(jws)}
                for jws, head in ((ENTRY_1, HEAD_1), (ENTRY_2, HEAD_2))
            ],
            "heartbeat": {"jws": HEARTBEAT_2, "claims": claims_of(HEARTBEAT_2)},
        },
        "keys": KEYS,
        "tokens": TOKENS,
        "cases": all_cases(),
    }


if __name__ == "__main__":
    FILE.write_text(json.dumps(vectors(), indent=1) + "\n")
