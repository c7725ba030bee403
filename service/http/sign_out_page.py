"""GET and POST /logout: OpenID Connect RP-Initiated Logout 1.0, and the button of our own pages.

Nobody is signed out by another site without a proof or a question (logout CSRF, ATK-76).
"""

from dataclasses import dataclass

from service.flows.read_hint import read_hint
from service.http.page import SIGN_ON_COOKIE, Reply, Visit
from service.http.page_parts import application_of, person_of
from service.oauth.client import Client, is_client_id
from service.oauth.errors import InvalidRequest
from service.oauth.id_token import IdTokenHint
from service.oauth.redirect_uri import with_parameters
from service.oauth.sign_on import SignOn
from service.pages import paths
from service.pages.views import Application, ConfirmSignOut, SignedOut

_MAX_STATE = 2048
_PARAMETERS = ("id_token_hint", "client_id", "post_logout_redirect_uri", "state")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What is proven of a client's request: whom it is about, and where it wants the browser."""

    client: Client | None = None
    hint: IdTokenHint | None = None
    redirect_uri: str | None = None
    state: str | None = None

    @property
    def application(self) -> Application | None:
        """The client as its users see it."""
        if self.client is None or self.redirect_uri is None:
            return None
        return application_of(self.client.name, self.redirect_uri)

    @property
    def location(self) -> str | None:
        """Where the browser may be sent, with the state."""
        if self.redirect_uri is None or not self.state:
            return self.redirect_uri
        return with_parameters(self.redirect_uri, [("state", self.state)])

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """The request once more, without the hint: to be proven anew with the user's decision."""
        if self.client is None or self.redirect_uri is None:
            return ()
        sent = {"client_id": self.client.id, "post_logout_redirect_uri": self.redirect_uri}
        return tuple(sent.items()) + ((("state", self.state),) if self.state else ())


async def end_session(visit: Visit) -> Reply:
    """Sign out at a client's word where its ID Token is the user's; else ask the user."""
    return await _answer(visit, await _read(visit))


async def end_session_by_form(visit: Visit) -> Reply:
    """The same by POST (RPL-1), or what the user decided on a page of ours.

    A client's POST comes from its own site, where browsers leave Lax cookies out: nobody would seem
    to be signed on. So the browser comes back with them.
    """
    decision = visit.form.get("decision")
    if decision is None:
        sent = [(name, value) for name in _PARAMETERS if (value := visit.form.get(name))]
        here = f"{visit.services.path}{paths.SIGN_OUT}"
        return Reply(location=with_parameters(here, sent) if sent else here)
    visit.check_site()
    sign_on = await visit.check_form()
    if decision == "stay":
        return Reply(location=f"{visit.services.path}{paths.ACCOUNT}")
    if decision != "sign_out":
        raise InvalidRequest("send sign_out or stay as the decision")
    if sign_on is not None:
        await _sign_out(visit, sign_on)
    asked = await _read(visit)
    return Reply(page=SignedOut(application=asked.application, continue_url=asked.location))


async def _answer(visit: Visit, asked: _Asked) -> Reply:
    sign_on, hint = await visit.sign_on(), asked.hint
    if sign_on is not None and (hint is None or hint.user_id != sign_on.user_id):
        page = ConfirmSignOut(
            csrf=visit.csrf(),
            person=person_of(sign_on),
            application=asked.application,
            asked=asked.pairs,
        )
        return Reply(page=page)
    if sign_on is not None:
        await _sign_out(visit, sign_on)
    if hint is not None:
        _note_ends(visit, await visit.services.sign_ons.end_hinted(hint, visit.origin))
    return _go_back(asked)


async def _sign_out(visit: Visit, sign_on: SignOn) -> None:
    _note_ends(visit, await visit.services.sign_ons.end(sign_on, visit.origin))
    visit.keep(SIGN_ON_COOKIE, "", 0)


def _note_ends(visit: Visit, ended: int) -> None:
    """Have the ends published and counted."""
    if ended:
        visit.services.metrics.revocations.labels("sid").inc(ended)
        visit.services.keeper.nudge()


def _go_back(asked: _Asked) -> Reply:
    """To the client, where that is proven and registered; else a page, and no redirect."""
    return Reply(page=SignedOut()) if asked.location is None else Reply(location=asked.location)


async def _read(visit: Visit) -> _Asked:
    """What of the request is proven; all else counts as not sent."""
    form, services = visit.form, visit.services
    sent = form.get("id_token_hint")
    hint = (
        await read_hint(sent, services.keyring, services.database, services.issuer)
        if sent
        else None
    )
    client_id = form.get("client_id") or (hint.client_id if hint else None)
    # A hint that proves nothing, or is another client's, makes the whole request nobody's.
    if sent and (hint is None or hint.client_id != client_id):
        return _Asked()
    client = (
        await services.clients.find(client_id) if client_id and is_client_id(client_id) else None
    )
    if client is None or not client.enabled:
        return _Asked(hint=hint)
    uri, state = form.get("post_logout_redirect_uri"), form.get("state")
    registered = uri if uri in client.post_logout_redirect_uris else None
    kept = state if state and len(state) <= _MAX_STATE else None
    return _Asked(client=client, hint=hint, redirect_uri=registered, state=kept)
