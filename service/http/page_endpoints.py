"""The map of the hosted pages: each path, its methods, and what answers them."""

from litestar.types import ASGIApp, Receive, Scope, Send

from service.http.account_page import (
    change_names,
    change_password,
    change_profile,
    end_sessions,
    show_account,
    withdraw,
)
from service.http.authorize import (
    CONTINUE,
    authorize,
    authorize_by_form,
    continue_authorization,
)
from service.http.consent_page import decide, show_consent
from service.http.endpoint import send_response
from service.http.error_responses import Response, render_error
from service.http.page import Action, page_endpoint
from service.http.services import Services
from service.http.sign_in_pages import register, show_register, show_sign_in, sign_in
from service.http.sign_out_page import end_session, end_session_by_form
from service.oauth.errors import NotFound
from service.pages import paths

AUTHORIZE = "/authorize"

PAGE_ACTIONS: dict[str, dict[str, Action]] = {
    AUTHORIZE: {"GET": authorize, "POST": authorize_by_form},
    CONTINUE: {"GET": continue_authorization},
    paths.SIGN_IN: {"GET": show_sign_in, "POST": sign_in},
    paths.REGISTER: {"GET": show_register, "POST": register},
    paths.CONSENT: {"GET": show_consent, "POST": decide},
    paths.SIGN_OUT: {"GET": end_session, "POST": end_session_by_form},
    paths.ACCOUNT: {"GET": show_account},
    paths.PROFILE: {"POST": change_profile},
    paths.NAMES: {"POST": change_names},
    paths.PASSWORD: {"POST": change_password},
    paths.SESSIONS: {"POST": end_sessions},
    paths.CONSENTS: {"POST": withdraw},
}
# Clients post here from their own sites.
_FOREIGN = frozenset({AUTHORIZE, paths.SIGN_OUT})


def page_endpoints(services: Services) -> dict[str, ASGIApp]:
    """All of them by path, and the files that they load."""
    pages = {
        path: page_endpoint(services, actions, foreign=path in _FOREIGN)
        for path, actions in PAGE_ACTIONS.items()
    }
    return {**pages, paths.ASSETS: _assets(services)}


def _assets(services: Services) -> ASGIApp:
    """The style sheet and the logo, which never change under their paths."""
    files = {
        f"{services.path}{asset.path}": Response(
            200,
            (
                (b"content-type", asset.media_type.encode()),
                (b"cache-control", b"public, max-age=31536000, immutable"),
                (b"content-security-policy", asset.policy.encode()),
                (b"cross-origin-resource-policy", b"same-origin"),
            ),
            asset.body,
        )
        for asset in (services.pages.style, services.pages.logo)
    }

    async def assets(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 (ASGI)
        found = files.get(scope["path"])
        missing = NotFound("there is no such file")
        await send_response(send, found or render_error(missing, challenge=False))

    return assets
