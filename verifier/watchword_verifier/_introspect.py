"""Asking the issuer about one token, where revocations are stale: RFC 7662."""

import json

from watchword_verifier._errors import RevocationsStale, Revoked
from watchword_verifier._fetch import Fetcher, Unreachable

_MAX_ANSWER = 64 * 1024


async def confirm(fetcher: Fetcher, token: str) -> None:
    """Return if the issuer says that the token, which was verified here, is active.

    Raises Revoked when it says that it is not, RevocationsStale when it can't be asked.
    """
    try:
        answer = await fetcher.post("/introspect", {"token": token}, max_length=_MAX_ANSWER)
        active = json.loads(answer.body)["active"]
    except (Unreachable, ValueError, TypeError, KeyError):
        raise RevocationsStale("revocations are stale, and the issuer can't be asked") from None
    if active is not True:
        raise Revoked("the issuer says that it is not active")
