"""GET and POST /login and /register: the hosted pages that begin a sign-on. LOGIN-1 to LOGIN-5."""

from dataclasses import replace

from service.flows.own_account import register as register_user
from service.hashing import HashingBusy
from service.http.accounts import limit_names
from service.http.authorize import (
    CONTINUE,
    Asked,
    find_asked,
    find_hinted,
    refuse,
    request_over,
)
from service.http.device import describe_device
from service.http.error_responses import as_refusal, retry_after_header
from service.http.page import SIGN_ON_COOKIE, Reply, Visit, error_page
from service.http.page_parts import asking, form_action_for, in_order, person_of, profile_faults
from service.oauth.errors import (
    AccessDenied,
    InvalidRequest,
    LoginFailed,
    OAuthError,
    TemporarilyUnavailable,
    TooManyAttempts,
)
from service.oauth.interaction import asks_for_password
from service.oauth.sign_on import SignOn
from service.oauth.user import KnownUser, Profile
from service.pages import paths
from service.pages.views import Fault, Faults, Register, SignIn, SignInProblem, Trouble
from service.sql.users import NameTaken, get_known_user

_MAX_NAME = 254
_SWITCH = "switch"
# The fields of the form in their order.
_FIELDS = ("full_name", "email", "username", "password")
# What attempts at the page are counted under where no client asked.
_NO_CLIENT = "-"


async def show_sign_in(visit: Visit) -> Reply:
    """The page. Who is signed on and is not asked to prove it goes to the account."""
    asked = await find_asked(visit)
    if visit.handle and asked is None:
        return request_over(visit)
    sign_on = await visit.sign_on()
    if asked is None and sign_on is not None:
        return Reply(location=f"{visit.services.path}{paths.ACCOUNT}")
    return await _sign_in_page(visit, asked, sign_on)


async def sign_in(visit: Visit) -> Reply:
    """Sign on who proves a password, and go on with what was asked."""
    asked = await find_asked(visit)
    if visit.handle and asked is None:
        return request_over(visit)
    try:
        before = await visit.check_form()
    except AccessDenied as error:
        return await _again(visit, asked, None, error)
    if visit.form.get("decision") == _SWITCH:
        return await show_other_sign_in(visit, asked)
    try:
        user = await _prove(visit, asked)
        return await _sign_on(visit, user, before)
    except (OAuthError, HashingBusy) as error:
        return await _again(visit, asked, before, error)


async def show_other_sign_in(visit: Visit, asked: Asked | None) -> Reply:
    """The page for somebody else than who is signed on at this browser."""
    return await _sign_in_page(visit, asked, None)


async def show_register(visit: Visit) -> Reply:
    """The page, where registration is open."""
    if visit.services.settings.registration != "open":
        return _closed(visit)
    asked = await find_asked(visit)
    if visit.handle and asked is None:
        return request_over(visit)
    await visit.sign_on()
    return _register_page(visit, asked, Profile(), {})


async def register(visit: Visit) -> Reply:
    """Make an account and sign it on: the password has just been chosen."""
    if visit.services.settings.registration != "open":
        return _closed(visit)
    asked, before, form = await find_asked(visit), await visit.check_form(), visit.form
    if visit.handle and asked is None:
        return request_over(visit)
    profile = Profile(
        username=form.get("username"), email=form.get("email"), full_name=form.get("full_name")
    )
    faults = profile_faults(profile)
    password = form.get("password")
    if password is None:
        faults["password"] = Fault.MISSING
    if faults or password is None:
        return _register_page(visit, asked, profile, faults)
    try:
        user = await _make_account(visit, profile, password)
    except NameTaken as error:
        return _register_page(visit, asked, profile, {error.member: Fault.TAKEN})
    except InvalidRequest as error:
        return _register_page(visit, asked, profile, dict(error.fields or {}))
    return await _sign_on(visit, user, before)


async def _prove(visit: Visit, asked: Asked | None) -> KnownUser:
    """The same proof as at /api/login: one implementation of what a login is."""
    name, password = visit.form.get("username"), visit.form.get("password")
    if not name or not password or len(name) > _MAX_NAME:
        raise LoginFailed("unknown user or wrong password", reason="no name or no password")
    return await visit.services.proof.prove(
        name,
        password,
        client_id=asked.client.id if asked else _NO_CLIENT,
        address=visit.request.limit_address,
        origin=visit.origin,
    )


async def _make_account(visit: Visit, profile: Profile, password: str) -> KnownUser:
    services = visit.services
    await limit_names(services, visit.request.limit_address)
    made = await register_user(
        services.database, services.passwords, profile, password, visit.origin
    )
    async with services.database.connection() as connection:
        user = await get_known_user(connection, made.id)
    if user is None:
        raise TemporarilyUnavailable("the account is gone again", reason="deleted at once")
    return user


async def _sign_on(visit: Visit, user: KnownUser, before: SignOn | None) -> Reply:
    services = visit.services
    cookie = await services.sign_ons.begin(
        user, before, visit.origin, device=describe_device(visit.scope, None)
    )
    if cookie is None:
        raise LoginFailed("unknown user or wrong password", reason="the user changed meanwhile")
    services.keeper.nudge()
    visit.keep(SIGN_ON_COOKIE, cookie.write(), services.sign_ons.max_age)
    if visit.handle:
        return Reply(location=f"{services.path}{CONTINUE}?request={visit.handle}")
    return Reply(location=f"{services.path}{paths.ACCOUNT}")


async def _sign_in_page(visit: Visit, asked: Asked | None, sign_on: SignOn | None) -> Reply:
    try:
        view = await _sign_in_view(visit, asked, sign_on)
    except Exception as error:
        if asked is None:
            raise
        return refuse(visit, asked, error)  # the client hears of it: AUTHZ-8
    return Reply(page=view, form_action=form_action_for(asked))


async def _sign_in_view(visit: Visit, asked: Asked | None, sign_on: SignOn | None) -> SignIn:
    request = asked.read() if asked else None
    again = (
        sign_on is not None
        and request is not None
        and asks_for_password(request, sign_on, await find_hinted(visit, request))
    )
    hint = request.login_hint if request else None
    return SignIn(
        csrf=visit.csrf(visit.handle),
        request=visit.handle,
        application=asking(asked),
        person=person_of(sign_on) if again and sign_on is not None else None,
        username=visit.form.get("username") or hint or "",
        registration_open=visit.services.settings.registration == "open",
    )


async def _again(
    visit: Visit, asked: Asked | None, before: SignOn | None, error: Exception
) -> Reply:
    """The page once more, saying what was wrong; the same for all that must not be told apart."""
    refusal = as_refusal(error)
    if isinstance(refusal, LoginFailed | InvalidRequest):
        problem, status = SignInProblem.WRONG, 401
    elif isinstance(refusal, TooManyAttempts):
        problem, status = SignInProblem.THROTTLED, 429
    elif isinstance(refusal, TemporarilyUnavailable):
        problem, status = SignInProblem.BUSY, 503
    elif isinstance(refusal, AccessDenied):
        problem, status = SignInProblem.STALE, 403
    else:
        return error_page(visit, error)
    visit.request.error, visit.request.reason = refusal.code, refusal.reason
    reply = await _sign_in_page(visit, asked, before)
    if not isinstance(reply.page, SignIn):
        return reply
    late = isinstance(refusal, TemporarilyUnavailable)
    return replace(
        reply,
        page=replace(reply.page, problem=problem, retry_after=refusal.retry_after),
        status=status,
        headers=(retry_after_header(refusal),) if late else (),
    )


def _register_page(visit: Visit, asked: Asked | None, profile: Profile, faults: Faults) -> Reply:
    page = Register(
        csrf=visit.csrf(visit.handle),
        request=visit.handle,
        application=asking(asked),
        username=profile.username or "",
        email=profile.email or "",
        full_name=profile.full_name or "",
        faults=in_order(faults, _FIELDS),
    )
    return Reply(page=page, status=400 if faults else 200, form_action=form_action_for(asked))


def _closed(visit: Visit) -> Reply:
    error = AccessDenied("registration is closed here; ask the operator for an account")
    return error_page(visit, error, Trouble.REGISTRATION_CLOSED)
