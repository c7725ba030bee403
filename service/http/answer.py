"""What an action answers: JSON that nobody keeps, or an empty body."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from service.http.browser import Headers
from service.http.error_responses import Response
from service.http.headers import JSON, NO_STORE
from service.oauth.errors import MethodNotAllowed

SAFE = frozenset({"GET", "HEAD"})

_A = TypeVar("_A")
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What an action answers; `members` None is an empty body."""

    status: int = 200
    members: Any = None
    headers: Headers = ()


def action_of(method: str, actions: Mapping[str, _A]) -> _A:
    """What answers the method; HEAD is a GET. Raises MethodNotAllowed."""
    action = actions.get("GET" if method == "HEAD" else method)
    if action is None:
        raise MethodNotAllowed(sorted(actions))
    return action


def render_answer(answer: Answer) -> Response:
    """The response to send."""
    if answer.members is None:
        return Response(answer.status, (*NO_STORE, *answer.headers), b"")
    headers = (JSON, *NO_STORE, *answer.headers)
    return Response(answer.status, headers, _encode(answer.members))
