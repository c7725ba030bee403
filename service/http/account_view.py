"""What the account page shows of a user: sessions, browsers that are signed on, and consents."""

from typing import Any

from service.http.page import Reply, Visit
from service.http.page_parts import application_of, person_of
from service.oauth.sign_on import SignOn
from service.pages.views import Account, AskedScope, GivenConsent, Notice, ShownSession
from service.sql.consents import Consent, list_consents
from service.sql.session_ends import ShownSession as StoredSession
from service.sql.session_ends import list_sessions_of_user
from service.sql.sign_ons import ShownSignOn, list_sign_ons_of_user

# What tells a browser's sign-on from an application's session in a form.
SIGN_ON_PREFIX = "sign-on-"
_MOST = 200


async def show(
    visit: Visit, sign_on: SignOn, *, notice: Notice | None = None, **typed: Any
) -> Reply:
    """The page; `typed` is what was typed and what is wrong with it, as the view has them."""
    services, user_id = visit.services, sign_on.user_id
    async with services.database.connection() as connection:
        sign_ons = await list_sign_ons_of_user(connection, user_id, _MOST)
        sessions = await list_sessions_of_user(connection, user_id, _MOST)
        consents = await list_consents(connection, user_id)
    names = {it.client_id: await _name(visit, it.client_id) for it in sessions}
    ours = services.settings.brand_name
    page = Account(
        csrf=visit.csrf(),
        person=person_of(sign_on),
        now=sign_on.now,
        sessions=(
            *(_of_browser(it, ours, current=it.id == sign_on.id) for it in sign_ons),
            *(_of_application(it, names[it.client_id]) for it in sessions),
        ),
        consents=tuple(map(_consent, consents)),
        notice=notice,
        **typed,
    )
    faulty = any(name.endswith("faults") for name in typed)
    return Reply(page=page, status=400 if faulty else 200)


async def _name(visit: Visit, client_id: str) -> str:
    client = await visit.services.clients.find(client_id)
    return client.name if client else client_id


def _of_browser(it: ShownSignOn, name: str, *, current: bool) -> ShownSession:
    return ShownSession(
        id=f"{SIGN_ON_PREFIX}{it.id}",
        application=name,
        device=it.device,
        created_at=it.created_at,
        last_used_at=it.last_used_at,
        current=current,
        ended_at=it.ended_at,
        ended_because=it.ended_because,
    )


def _of_application(it: StoredSession, name: str) -> ShownSession:
    return ShownSession(
        id=str(it.id),
        application=name,
        device=it.device,
        created_at=it.created_at,
        last_used_at=it.last_used_at,
        ended_at=it.ended_at,
        ended_because=it.ended_because,
    )


def _consent(it: Consent) -> GivenConsent:
    return GivenConsent(
        client_id=it.client_id,
        application=application_of(it.client_name, *it.redirect_uris[:1]),
        scopes=tuple(AskedScope(value=value) for value in it.scopes),
        given_at=it.given_at,
    )
