"""GET /account and the forms of it: profile, password, sessions, consents. LOGIN-3, AUTHZ-17."""

from uuid import UUID

from service.flows.manage_users import end_everywhere
from service.flows.own_account import change_own_password, end_own_session
from service.flows.own_account import change_profile as save_profile
from service.flows.own_sign_ons import end_own_sign_on, withdraw_consent
from service.http.account_view import SIGN_ON_PREFIX, show
from service.http.accounts import limit_names
from service.http.page import SIGN_ON_COOKIE, Reply, Visit
from service.http.page_parts import in_order, profile_faults
from service.oauth.errors import InvalidRequest, LoginFailed, NotFound
from service.oauth.sign_on import SignOn
from service.oauth.user import KnownUser, Profile
from service.oauth.uuid7 import read_uuid
from service.pages import paths
from service.pages.views import Fault, Faults, Notice, SignedOut
from service.sql.users import NameTaken

_ALL = "all"
_NO_CLIENT = "-"
_NAMES = ("username", "email")


async def show_account(visit: Visit) -> Reply:
    """The page, for who is signed on."""
    sign_on = await visit.sign_on()
    if sign_on is None:
        return _sign_in_first(visit)
    done = visit.form.get("done")
    notice = Notice(done) if done in set(Notice) else None
    return await show(visit, sign_on, notice=notice)


async def change_profile(visit: Visit) -> Reply:
    """Save the name that people read."""
    sign_on = await visit.check_form()
    if sign_on is None:
        return _sign_in_first(visit)
    profile = Profile(full_name=visit.form.get("full_name"))
    faults = profile_faults(profile, ("full_name",))
    if faults:
        typed = {"full_name": profile.full_name or ""}
        return await show(visit, sign_on, typed=typed, profile_faults=faults)
    await save_profile(
        visit.services.database, sign_on.user_id, profile, visit.origin, version=None
    )
    return _done(visit, Notice.PROFILE_SAVED)


async def change_names(visit: Visit) -> Reply:
    """Save what the user signs in with, once the password is proven (ATK-76)."""
    sign_on = await visit.check_form()
    if sign_on is None:
        return _sign_in_first(visit)
    form, services = visit.form, visit.services
    profile = Profile(username=form.get("username"), email=form.get("email"))
    faults = {**profile_faults(profile, _NAMES), **_missing(visit, "current_password")}
    try:
        if not faults:
            user = await _prove(visit, sign_on)
            await limit_names(services, visit.request.limit_address, str(sign_on.user_id))
            await save_profile(
                services.database,
                sign_on.user_id,
                profile,
                visit.origin,
                version=user.credential_version,
            )
    except LoginFailed:
        faults = {"current_password": Fault.WRONG}
    except NameTaken as error:
        faults = {error.member: Fault.TAKEN}
    if faults:
        typed = {"username": profile.username or "", "email": profile.email or ""}
        faults = in_order(faults, (*_NAMES, "current_password"))
        return await show(visit, sign_on, typed=typed, names_faults=faults)
    services.keeper.nudge()
    return _done(visit, Notice.NAMES_SAVED)


async def change_password(visit: Visit) -> Reply:
    """Change the password: every session ends, and this browser goes on under another cookie."""
    sign_on = await visit.check_form()
    if sign_on is None:
        return _sign_in_first(visit)
    services, new_password = visit.services, visit.form.get("new_password")
    faults = _missing(visit, "current_password", "new_password")
    if faults or new_password is None:
        return await _show_password(visit, sign_on, faults)
    try:
        user = await _prove(visit, sign_on)
        ended = await change_own_password(
            services.database,
            services.passwords,
            user,
            new_password,
            visit.origin,
            session_id=sign_on.id,  # of a browser: it spares no session
        )
    except LoginFailed:
        return await _show_password(visit, sign_on, {"current_password": Fault.WRONG})
    except InvalidRequest as error:
        return await _show_password(visit, sign_on, dict(error.fields or {}))
    services.metrics.revocations.labels("sid").inc(ended)
    services.keeper.nudge()
    cookie = await services.sign_ons.renew(sign_on, user.credential_version + 1)
    visit.keep(SIGN_ON_COOKIE, cookie.write(), services.sign_ons.max_age)
    return _done(visit, Notice.PASSWORD_CHANGED)


async def end_sessions(visit: Visit) -> Reply:
    """End one session, another browser's sign-on, or everything."""
    sign_on = await visit.check_form()
    if sign_on is None:
        return _sign_in_first(visit)
    services, named = visit.services, visit.form.get("session") or ""
    if named == _ALL:
        ended = await end_everywhere(
            services.database, sign_on.user_id, "logged_out_everywhere", visit.origin
        )
    elif named.startswith(SIGN_ON_PREFIX):
        sign_on_id = _read_id(named.removeprefix(SIGN_ON_PREFIX))
        ended = await end_own_sign_on(services.database, sign_on.user_id, sign_on_id, visit.origin)
    else:
        ended = await end_own_session(
            services.database, sign_on.user_id, _read_id(named), visit.origin
        )
    services.metrics.revocations.labels("sid").inc(int(ended))
    services.keeper.nudge()
    if named not in {_ALL, f"{SIGN_ON_PREFIX}{sign_on.id}"}:
        return _done(visit, Notice.SESSION_ENDED)
    visit.keep(SIGN_ON_COOKIE, "", 0)
    return Reply(page=SignedOut(everywhere=named == _ALL))


async def withdraw(visit: Visit) -> Reply:
    """Take back what a client was allowed."""
    sign_on = await visit.check_form()
    if sign_on is None:
        return _sign_in_first(visit)
    client_id = visit.form.get("client") or ""
    ended = await withdraw_consent(
        visit.services.database, sign_on.user_id, client_id, visit.origin
    )
    visit.services.metrics.revocations.labels("sid").inc(ended)
    visit.services.keeper.nudge()
    return _done(visit, Notice.CONSENT_WITHDRAWN)


async def _prove(visit: Visit, sign_on: SignOn) -> KnownUser:
    """The user, whose password was typed again; throttled like a login.

    Raises LoginFailed, also for what no password can be; TooManyAttempts, HashingBusy.
    """
    try:
        user = await visit.services.proof.prove(
            sign_on.username,
            visit.form.get("current_password") or "",
            client_id=_NO_CLIENT,
            address=visit.request.limit_address,
            origin=visit.origin,
        )
    except InvalidRequest:
        raise LoginFailed("wrong password", reason="what no password can be") from None
    if user.id != sign_on.user_id:
        raise LoginFailed("wrong password", reason="the name passed to somebody else meanwhile")
    return user


def _missing(visit: Visit, *fields: str) -> dict[str, Fault | str]:
    return {name: Fault.MISSING for name in fields if visit.form.get(name) is None}


async def _show_password(visit: Visit, sign_on: SignOn, faults: Faults) -> Reply:
    ordered = in_order(faults, ("current_password", "new_password"))
    return await show(visit, sign_on, password_faults=ordered)


def _read_id(text: str) -> UUID:
    session_id = read_uuid(text)
    if session_id is None:
        raise NotFound("there is no such session")
    return session_id


def _done(visit: Visit, notice: Notice) -> Reply:
    return Reply(location=f"{visit.services.path}{paths.ACCOUNT}?done={notice}")


def _sign_in_first(visit: Visit) -> Reply:
    return Reply(location=f"{visit.services.path}{paths.SIGN_IN}")
