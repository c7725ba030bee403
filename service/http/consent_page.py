"""GET and POST /consent: the user decides what a client may have. AUTHZ-17, Core §3.1.2.4."""

from service.http.authorize import Asked, find_asked, find_step, grant, refuse, request_over
from service.http.page import Reply, Visit
from service.http.page_parts import asking, form_action_for, person_of
from service.http.sign_in_pages import show_other_sign_in
from service.oauth.authorization_request import AuthorizationRequest
from service.oauth.errors import AccessDenied, InvalidRequest
from service.oauth.interaction import Step
from service.oauth.sign_on import SignOn
from service.pages import paths
from service.pages.views import AskedScope, Consent
from service.sql.authorization_requests import answer_request


async def show_consent(visit: Visit) -> Reply:
    """What the client asks for; who is not signed on signs in first."""
    asked = await find_asked(visit)
    if asked is None:
        return request_over(visit)
    sign_on = await visit.sign_on(asked.client.id)
    try:
        request = asked.read()
        step = await find_step(visit, asked, request, sign_on)
    except Exception as error:  # noqa: BLE001 (the client hears of it: AUTHZ-8)
        return refuse(visit, asked, error)
    if sign_on is None or step is Step.SIGN_IN:
        return _sign_in_first(visit)
    return _page(visit, asked, request, sign_on)


async def decide(visit: Visit) -> Reply:
    """The code, or the refusal; for exactly the request that the page was about."""
    sign_on = await visit.check_form()
    asked = await find_asked(visit)
    if asked is None:
        return request_over(visit)
    if sign_on is None:
        return _sign_in_first(visit)
    match visit.form.get("decision"):
        case "switch":
            return await show_other_sign_in(visit, asked)
        case "deny":
            return await _deny(visit, asked)
        case "allow":
            return await _allow(visit, asked, sign_on)
        case _:
            raise InvalidRequest("send allow, deny or switch as the decision")


async def _allow(visit: Visit, asked: Asked, sign_on: SignOn) -> Reply:
    try:
        request = asked.read()
        if await find_step(visit, asked, request, sign_on) is Step.SIGN_IN:
            return _sign_in_first(visit)
        if visit.form.get("scope") != " ".join(request.scope):
            # The client's registration changed: nothing is allowed that was not read.
            return _page(visit, asked, request, sign_on)
        return await grant(visit, asked, request, sign_on, consents=True)
    except Exception as error:  # noqa: BLE001 (the client hears of it: AUTHZ-8)
        return refuse(visit, asked, error)


async def _deny(visit: Visit, asked: Asked) -> Reply:
    if asked.waiting is None:
        return request_over(visit)
    async with visit.services.database.connection() as connection:
        if not await answer_request(connection, asked.waiting.digest):
            return request_over(visit)
    return refuse(visit, asked, AccessDenied("the user did not allow it"))


def _page(visit: Visit, asked: Asked, request: AuthorizationRequest, sign_on: SignOn) -> Reply:
    application = asking(asked)
    if application is None:
        raise AssertionError("a consent is always for a client")
    return Reply(
        page=Consent(
            csrf=visit.csrf(visit.handle),
            request=visit.handle,
            application=application,
            person=person_of(sign_on),
            scopes=tuple(AskedScope(value=value) for value in request.scope),
        ),
        form_action=form_action_for(asked),
    )


def _sign_in_first(visit: Visit) -> Reply:
    return Reply(location=f"{visit.services.path}{paths.SIGN_IN}?request={visit.handle}")
