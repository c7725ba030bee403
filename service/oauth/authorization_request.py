"""The authorization request: RFC 6749 §4.1.1, OpenID Connect Core §3.1.2.1; read in two stages.

Until the client and its redirect URI are proven, a refusal is shown here and sent nowhere
(RFC 6749 §4.1.2.1): that is what `read_client_id` and `read_target` raise. What `read_request`
raises goes to the redirect URI of the target, in its mode and with its state.

Parameters come as the pairs that were sent, decoded; an empty value is an absent one, and unknown
names are ignored (RFC 6749 §3.1).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from service.oauth.client import Client
from service.oauth.errors import (
    InvalidRequest,
    OAuthError,
    RegistrationNotSupported,
    RequestNotSupported,
    RequestUriNotSupported,
    UnauthorizedClient,
    UnsupportedResponseType,
)
from service.oauth.pkce import challenge_fault
from service.oauth.redirect_uri import matches, takes_post
from service.oauth.resource import choose_audience
from service.oauth.scope import grant_user_scope

Pairs = Sequence[tuple[str, str]]

QUERY = "query"
FORM_POST = "form_post"
RESPONSE_MODES = (QUERY, FORM_POST)
PROMPTS = frozenset({"none", "login", "consent", "select_account"})
MAX_STATE = 2048
MAX_NONCE = 255
MAX_MAX_AGE = 1 << 31

# Longer than a username or an e-mail address can be; a hint beyond is none.
_MAX_HINT = 320
_MAX_PREFERENCES = 10
# A request may have to be kept, and whoever sends it need not be known.
_MAX_TOGETHER = 16 * 1024
_SECONDS = re.compile(r"0|[1-9][0-9]{0,9}")
_LOCALE = re.compile(r"[A-Za-z0-9-]{1,35}")
_ACR = re.compile(r"[\x21-\x7E]{1,255}")

# Each can be sent once; `resource` may repeat (RFC 8707 §2).
_ONCE = frozenset(
    {
        *("client_id", "redirect_uri", "response_type", "response_mode", "scope", "state"),
        *("code_challenge", "code_challenge_method", "nonce", "prompt", "max_age"),
        *("login_hint", "ui_locales", "acr_values", "id_token_hint"),
        *("request", "request_uri", "registration"),
    }
)
# All that is read of a request, and so all that need be kept of one.
PARAMETERS = _ONCE | {"resource"}


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Target:
    """Where the answer goes, be it a code or a refusal, and how.

    `state` is as it was sent; None too where it can't be answered with: repeated or too long.
    """

    client_id: str
    redirect_uri: str
    redirect_uri_sent: bool
    response_mode: str
    state: str | None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class AuthorizationRequest:
    """What a client asks a user for, each member checked.

    `scope`: what of it the client may have. `resource`: None where none was named. `max_age`:
    seconds. `code_challenge`: None for a client with the waiver of PKCE alone. `login_hint` and
    `id_token_hint` are what was sent, and prove nothing.
    """

    client_id: str
    redirect_uri: str
    redirect_uri_sent: bool
    response_mode: str
    state: str | None
    scope: tuple[str, ...]
    resource: str | None
    nonce: str | None
    code_challenge: str | None
    prompt: frozenset[str]
    max_age: int | None
    login_hint: str | None
    ui_locales: tuple[str, ...]
    acr_values: tuple[str, ...]
    id_token_hint: str | None

    @property
    def is_openid(self) -> bool:
        """Whether an ID Token is asked for (Core §3.1.2.1)."""
        return "openid" in self.scope


def read_client_id(pairs: Pairs) -> str:
    """Who asks, not yet known to be anybody. Raises InvalidRequest, for a page (AUTHZ-2)."""
    client_id = _one(pairs, "client_id")
    if client_id is None:
        raise InvalidRequest("client_id is missing")
    return client_id


def read_target(pairs: Pairs, client: Client) -> Target:
    """Where the answer goes: to the registered redirect URI that the request names (AUTHZ-3).

    Raises InvalidRequest, for a page (AUTHZ-2): also where the redirect URI is left out and could
    be several, or where OpenID Connect asks for it (Core §3.1.2.1).
    """
    if not client.enabled or read_client_id(pairs) != client.id:
        raise InvalidRequest("there is no such client", reason="a disabled or another client")
    sent = _one(pairs, "redirect_uri")
    uri = _only_uri(pairs, client) if sent is None else _registered_uri(sent, client)
    return Target(
        client_id=client.id,
        redirect_uri=uri,
        redirect_uri_sent=sent is not None,
        response_mode=_mode_to_answer_in(pairs, uri),
        state=_state_to_answer_with(pairs),
    )


def read_request(pairs: Pairs, target: Target, client: Client) -> AuthorizationRequest:
    """The request of a proven client. Raises the refusals of AUTHZ-8, for the target.

    UnauthorizedClient: the client has no authorization code grant. InvalidTarget: RFC 8707 §2.
    """
    once = _read_once(pairs)
    _refuse_request_objects(once)
    _check_response(once, target)
    if "authorization_code" not in client.grant_types:
        raise UnauthorizedClient("the client may not use the authorization code grant")
    scope = grant_user_scope(
        once.get("scope"), allowed=client.scopes, default=client.default_scopes
    )
    resources = tuple(value for name, value in pairs if name == "resource" and value)
    return AuthorizationRequest(
        client_id=client.id,
        redirect_uri=target.redirect_uri,
        redirect_uri_sent=target.redirect_uri_sent,
        response_mode=target.response_mode,
        state=target.state,
        scope=scope,
        resource=choose_audience(resources, client.audiences) if resources else None,
        nonce=_nonce(once.get("nonce")),
        code_challenge=_code_challenge(once, client, scope),
        prompt=_prompt(once.get("prompt")),
        max_age=_max_age(once.get("max_age")),
        login_hint=_login_hint(once.get("login_hint")),
        ui_locales=_preferences(once.get("ui_locales"), _LOCALE),
        acr_values=_preferences(once.get("acr_values"), _ACR),
        id_token_hint=once.get("id_token_hint"),
    )


def _values(pairs: Pairs, name: str) -> list[str]:
    return [value for each, value in pairs if each == name]


def _one(pairs: Pairs, name: str) -> str | None:
    values = _values(pairs, name)
    if len(values) > 1:
        raise InvalidRequest(f"the parameter {name} is repeated")
    return values[0] or None if values else None


def _only_uri(pairs: Pairs, client: Client) -> str:
    is_openid = any("openid" in scope.split(" ") for scope in _values(pairs, "scope"))
    if len(client.redirect_uris) != 1 or is_openid:
        raise InvalidRequest("redirect_uri is missing")
    return client.redirect_uris[0]


def _registered_uri(sent: str, client: Client) -> str:
    if not any(matches(uri, sent, native=client.is_public) for uri in client.redirect_uris):
        raise InvalidRequest("redirect_uri is not one of the client's")
    return sent


def _mode_to_answer_in(pairs: Pairs, uri: str) -> str:
    """The response mode where it is a good one, else the default: for refusals of it too."""
    return (
        FORM_POST if _values(pairs, "response_mode") == [FORM_POST] and takes_post(uri) else QUERY
    )


def _state_to_answer_with(pairs: Pairs) -> str | None:
    values = _values(pairs, "state")
    return values[0] or None if len(values) == 1 and len(values[0]) <= MAX_STATE else None


def _read_once(pairs: Pairs) -> dict[str, str]:
    """The parameters that can be sent once, without the empty ones (AUTHZ-5)."""
    names = [name for name, _ in pairs if name in _ONCE]
    if len(names) != len(set(names)):
        raise InvalidRequest("a parameter is repeated")
    once = {name: value for name, value in pairs if name in _ONCE and value}
    if len(once.get("state", "")) > MAX_STATE:
        raise InvalidRequest(f"state is longer than {MAX_STATE} characters")
    if sum(len(value) for _, value in pairs) > _MAX_TOGETHER:
        raise InvalidRequest("the parameters are longer than 16 KiB together")
    return once


def _refuse_request_objects(once: dict[str, str]) -> None:
    refusals: tuple[tuple[str, OAuthError], ...] = (
        ("request", RequestNotSupported("send the parameters themselves, not request")),
        ("request_uri", RequestUriNotSupported("send the parameters themselves, not request_uri")),
        ("registration", RegistrationNotSupported("the operator registers clients")),
    )
    for name, refusal in refusals:
        if name in once:
            raise refusal


def _check_response(once: dict[str, str], target: Target) -> None:
    if once.get("response_mode", QUERY) != target.response_mode:
        raise InvalidRequest("response_mode must be query, or form_post to a web address")
    response_type = once.get("response_type")
    if response_type is None:
        raise InvalidRequest("response_type is missing")
    if response_type != "code":
        raise UnsupportedResponseType("response_type must be code")


def _code_challenge(once: dict[str, str], client: Client, scope: tuple[str, ...]) -> str | None:
    """The challenge of AC-2; what is waived is sending it, never what it has to be (CONF-3)."""
    challenge, method = once.get("code_challenge"), once.get("code_challenge_method")
    waived = not (client.require_pkce or client.is_public) and "openid" in scope
    if waived and challenge is None and method is None:
        return None
    if fault := challenge_fault(challenge, method):
        raise InvalidRequest(fault)
    return challenge


def _nonce(sent: str | None) -> str | None:
    if sent is not None and len(sent) > MAX_NONCE:
        raise InvalidRequest(f"nonce is longer than {MAX_NONCE} characters")
    return sent


def _prompt(sent: str | None) -> frozenset[str]:
    prompt = frozenset() if sent is None else frozenset(sent.split(" "))
    if not prompt <= PROMPTS:
        raise InvalidRequest("prompt must be of none, login, consent and select_account")
    if "none" in prompt and len(prompt) > 1:
        raise InvalidRequest("prompt=none can't be combined with another value")
    return prompt


def _max_age(sent: str | None) -> int | None:
    if sent is None:
        return None
    if not _SECONDS.fullmatch(sent) or int(sent) > MAX_MAX_AGE:
        raise InvalidRequest("max_age must be a whole number of seconds")
    return int(sent)


def _login_hint(sent: str | None) -> str | None:
    return sent if sent is not None and len(sent) <= _MAX_HINT else None


def _preferences(sent: str | None, form: re.Pattern[str]) -> tuple[str, ...]:
    """What a client would like best, in its order; what can't be one is passed over (AUTHZ-13)."""
    values = [value for value in (sent or "").split() if form.fullmatch(value)]
    return tuple(values[:_MAX_PREFERENCES])
