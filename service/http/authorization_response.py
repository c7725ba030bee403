"""Authorization responses: RFC 6749 §4.1.2, RFC 9207, and OAuth 2.0 Form Post Response Mode."""

import secrets
from collections.abc import Sequence

from service.http.page import Reply
from service.oauth.authorization_request import QUERY, Target
from service.oauth.client import Client
from service.oauth.errors import OAuthError
from service.oauth.redirect_uri import form_action_of, origin_of, with_parameters
from service.pages.views import Application, FormPost


def answer_code(issuer: str, target: Target, client: Client, code: str) -> Reply:
    """The code, in the way that the request asked for."""
    return _answer(issuer, target, [("code", code)], client.name)


def answer_refusal(issuer: str, target: Target, refusal: OAuthError) -> Reply:
    """The refusal, in the same way (RFC 6749 §4.1.2.1)."""
    members = [("error", refusal.code), ("error_description", refusal.description)]
    return _answer(issuer, target, members, target.client_id)


def _answer(
    issuer: str, target: Target, members: Sequence[tuple[str, str]], client_name: str
) -> Reply:
    state = [("state", target.state)] if target.state is not None else []
    # RFC 9207 §2: so that the client knows whose answer it is (AC-10).
    fields = (*members, *state, ("iss", issuer))
    if target.response_mode == QUERY:
        return Reply(location=with_parameters(target.redirect_uri, fields))
    nonce, uri = secrets.token_urlsafe(16), target.redirect_uri
    page = FormPost(
        action=uri,
        fields=fields,
        nonce=nonce,
        application=Application(name=client_name, host=origin_of(uri)),
    )
    return Reply(page=page, form_action=form_action_of(uri), nonce=nonce)
