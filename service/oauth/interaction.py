"""What a person has to do before a client gets a code: nothing, sign in, or decide. AUTHZ-10."""

from datetime import datetime
from enum import Enum, auto
from uuid import UUID

from service.oauth.authorization_request import AuthorizationRequest
from service.oauth.client import Client
from service.oauth.errors import ConsentRequired, LoginRequired
from service.oauth.redirect_uri import assures_identity
from service.oauth.sign_on import SignOn

ASK = "ask"
_OFFLINE = "offline_access"


class Step(Enum):
    """What comes next for a request."""

    GRANT = auto()
    SIGN_IN = auto()
    CONSENT = auto()


def next_step(
    request: AuthorizationRequest,
    client: Client,
    sign_on: SignOn | None,
    *,
    asked_at: datetime | None,
    hinted_user: UUID | None,
) -> Step:
    """What has to be done next. `asked_at`: when the request was stored; None: it comes just now.

    Who signed in since then has done what `prompt=login` and `max_age` ask for.
    `hinted_user`: whom a proven `id_token_hint` names. Raises LoginRequired and ConsentRequired
    where `prompt=none` forbids to ask (Core §3.1.2.6).
    """
    silent = "none" in request.prompt
    proven = sign_on is not None and asked_at is not None and sign_on.auth_time >= asked_at
    if sign_on is None or not _will_do(request, sign_on, hinted_user, proven=proven):
        if silent:
            raise LoginRequired("the user has to sign in")
        if proven:
            raise LoginRequired("another user signed in than id_token_hint names")
        return Step.SIGN_IN
    if _needs_consent(request, client, sign_on):
        if silent:
            raise ConsentRequired("the user has to consent")
        return Step.CONSENT
    return Step.GRANT


def needs_allowing(client: Client, scope: tuple[str, ...]) -> tuple[str, ...]:
    """What of the scope the user has to have allowed.

    Also where the operator answers for users: access that outlives their sign-on (Core §11).
    """
    return scope if client.consent == ASK else tuple(it for it in scope if it == _OFFLINE)


def asks_for_password(
    request: AuthorizationRequest, sign_on: SignOn, hinted_user: UUID | None
) -> bool:
    """Whether the one who is signed on has to prove it again, rather than who it is to be.

    Another user than the hint names never gets through, whatever is proven.
    """
    return "select_account" not in request.prompt and hinted_user in {None, sign_on.user_id}


def _will_do(
    request: AuthorizationRequest, sign_on: SignOn, hinted_user: UUID | None, *, proven: bool
) -> bool:
    if hinted_user is not None and hinted_user != sign_on.user_id:
        return False
    if proven:
        return True
    if request.prompt & {"login", "select_account"}:
        return False
    age = (sign_on.now - sign_on.auth_time).total_seconds()
    return request.max_age is None or age < request.max_age


def _needs_consent(request: AuthorizationRequest, client: Client, sign_on: SignOn) -> bool:
    if "consent" in request.prompt:
        return True
    needed = needs_allowing(client, request.scope)
    if not needed:
        return False
    allowed = set(sign_on.consented or ())
    return not assures_identity(request.redirect_uri) or not set(needed) <= allowed
