"""Asking the issuer about one token, where revocations are stale: RFC 7662."""

from watchword_verifier._errors import Malformed, RevocationsStale, Revoked
from watchword_verifier._fetch import Fetcher, Unreachable
from watchword_verifier._jws import parse_json_object

_MAX_ANSWER = 64 * 1024
_MAX_DEPTH = 16


async def confirm(fetcher: Fetcher, token: str) -> None:
    """Return if the issuer says that the token, which was verified here, is active.

    Raises Revoked when it says that it is not, RevocationsStale when it can't be asked.
    """
    try:
        answer = await fetcher.post("/introspect", {"token": token}, max_length=_MAX_ANSWER)
        active = parse_json_object(answer.body, max_depth=_MAX_DEPTH)["active"]
    except (Unreachable, Malformed, KeyError):
        raise RevocationsStale("revocations are stale, and the issuer can't be asked") from None
    if active is not True:
        raise Revoked("the issuer says that it is not active")
