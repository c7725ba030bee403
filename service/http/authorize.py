"""GET and POST /authorize, GET /authorize/continue: RFC 6749 §4.1.1, Core §3.1.2.1.

Until client and redirect URI are proven, a fault is a page here; after that, the client hears of it
(RFC 6749 §4.1.2.1).
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from service.flows.authorization_requests import (
    WaitingRequest,
    find_waiting_request,
    keep_request,
)
from service.flows.grant_code import AlreadyAnswered, grant_code
from service.flows.issue_code import Grant
from service.flows.read_hint import find_hinted_user
from service.http.authorization_response import answer_code, answer_refusal
from service.http.device import describe_device
from service.http.error_responses import as_refusal
from service.http.form import read_pairs
from service.http.page import Reply, Visit, error_page
from service.oauth.authorization_request import (
    PARAMETERS,
    AuthorizationRequest,
    Pairs,
    Target,
    read_client_id,
    read_request,
    read_target,
)
from service.oauth.client import Client, is_client_id
from service.oauth.errors import InvalidRequest, TooManyAttempts
from service.oauth.interaction import Step, next_step
from service.oauth.sign_on import SignOn
from service.pages import paths
from service.pages.views import Trouble

CONTINUE = "/authorize/continue"
USERINFO = "/userinfo"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request whose client and redirect URI are proven; `waiting`: as it was stored, if so."""

    pairs: Pairs
    client: Client
    target: Target
    waiting: WaitingRequest | None = None

    @property
    def asked_at(self) -> datetime | None:
        """Since when it waits."""
        return self.waiting.asked_at if self.waiting else None

    def read(self) -> AuthorizationRequest:
        """The whole request. Raises OAuthError, which is for the client."""
        return read_request(self.pairs, self.target, self.client)


async def authorize(visit: Visit) -> Reply:
    """Answer at once where nobody has to be asked, else ask."""
    return await _proceed(visit, await _prove(visit, read_pairs(visit.raw, PARAMETERS)))


async def authorize_by_form(visit: Visit) -> Reply:
    """Keep the request, and let the browser come back with its cookies (AUTHZ-1)."""
    asked = await _prove(visit, read_pairs(visit.raw, PARAMETERS))
    try:
        asked.read()
        handle = await _keep(visit, asked, None)
    except Exception as error:  # noqa: BLE001 (the client hears of it: AUTHZ-8)
        return refuse(visit, asked, error)
    return Reply(location=f"{visit.services.path}{CONTINUE}?request={handle}")


async def continue_authorization(visit: Visit) -> Reply:
    """Go on with a stored request: somebody signed in, or came back."""
    asked = await find_asked(visit)
    return request_over(visit) if asked is None else await _proceed(visit, asked)


async def find_asked(visit: Visit) -> Asked | None:
    """The stored request that this browser's page or form is about; None if it is over."""
    handle = visit.handle
    waiting = handle and await find_waiting_request(
        visit.services.database, handle, visit.browser_digest
    )
    if not waiting:
        return None
    asked = await _prove(visit, waiting.pairs)
    return Asked(pairs=asked.pairs, client=asked.client, target=asked.target, waiting=waiting)


def request_over(visit: Visit) -> Reply:
    """The page for who comes too late, a second time, or from another browser."""
    error = InvalidRequest("the request is over, was answered, or is another browser's")
    return error_page(visit, error, Trouble.REQUEST_OVER)


async def grant(
    visit: Visit, asked: Asked, request: AuthorizationRequest, sign_on: SignOn, *, consents: bool
) -> Reply:
    """The code, on its way to the client. Raises TooManyAttempts: each begins a session."""
    services = visit.services
    if retry_after := await services.code_limit.hit("code", str(sign_on.user_id)):
        raise TooManyAttempts("too many sign-ins; try again later", retry_after=retry_after)
    try:
        code = await grant_code(
            services.database,
            Grant(
                request=request,
                client=asked.client,
                sign_on=sign_on,
                userinfo=f"{services.issuer}{USERINFO}",
                device=describe_device(visit.scope, None),
            ),
            handle_digest=asked.waiting.digest if asked.waiting else None,
            consents=consents,
        )
    except AlreadyAnswered:
        return request_over(visit)
    return answer_code(services.issuer, asked.target, asked.client, code)


async def find_step(
    visit: Visit, asked: Asked, request: AuthorizationRequest, sign_on: SignOn | None
) -> Step:
    """What has to be done next. Raises LoginRequired, ConsentRequired, DatabaseUnavailable."""
    hinted = await find_hinted(visit, request)
    return next_step(request, asked.client, sign_on, asked_at=asked.asked_at, hinted_user=hinted)


async def find_hinted(visit: Visit, request: AuthorizationRequest) -> UUID | None:
    """Whom a proven `id_token_hint` names. Raises DatabaseUnavailable."""
    services = visit.services
    return await find_hinted_user(
        request.id_token_hint, services.keyring, services.database, services.issuer
    )


def refuse(visit: Visit, asked: Asked, error: Exception) -> Reply:
    """The refusal, on its way to the client (AUTHZ-8)."""
    refusal = as_refusal(error)
    if isinstance(refusal, TooManyAttempts):
        # For the person whose address it is: clients would send the browser again at once.
        return error_page(visit, refusal)
    visit.request.error, visit.request.reason = refusal.code, refusal.reason
    return answer_refusal(visit.services.issuer, asked.target, refusal)


async def _proceed(visit: Visit, asked: Asked) -> Reply:
    try:
        request = asked.read()
        sign_on = await visit.sign_on(asked.client.id)
        step = await find_step(visit, asked, request, sign_on)
        if step is Step.GRANT and sign_on is not None:
            return await grant(visit, asked, request, sign_on, consents=False)
        waiting = asked.waiting
        handle = waiting.handle if waiting else await _keep(visit, asked, visit.browser_digest)
    except Exception as error:  # noqa: BLE001 (the client hears of it: AUTHZ-8)
        return refuse(visit, asked, error)
    path = paths.SIGN_IN if step is Step.SIGN_IN else paths.CONSENT
    visit.keep_browser()
    return Reply(location=f"{visit.services.path}{path}?request={handle}")


async def _keep(visit: Visit, asked: Asked, browser_digest: bytes | None) -> str:
    """The handle of the request, which is kept. Raises TooManyAttempts: anybody can ask."""
    services = visit.services
    address = visit.request.limit_address
    if retry_after := await services.authorization_limit.hit("authorization", address):
        raise TooManyAttempts(
            "too many requests from this address; try again later", retry_after=retry_after
        )
    return await keep_request(
        services.database, asked.client.id, asked.pairs, browser_digest=browser_digest
    )


async def _prove(visit: Visit, pairs: Pairs) -> Asked:
    """The proven client and redirect URI. Raises InvalidRequest, for a page (AUTHZ-2)."""
    client_id = read_client_id(pairs)
    clients = visit.services.clients
    client = await clients.find(client_id) if is_client_id(client_id) else None
    if client is None:
        raise InvalidRequest("there is no such client", reason="an unknown client")
    visit.request.client_id = client.id
    return Asked(pairs=pairs, client=client, target=read_target(pairs, client))
