"""What a client may register for the authorization code flow: AUTHZ-4, CONF-3, RFC 8252 §8."""

import re
from typing import Protocol

from service.oauth.redirect_uri import assures_identity, redirect_uri_fault

MAX_REDIRECT_URIS = 20

# A member of a registration, and a sentence on what is wrong with it.
Fault = tuple[str, str]


class CodeClient(Protocol):
    """What of a registration the flow is about."""

    @property
    def type(self) -> str: ...
    @property
    def grant_types(self) -> tuple[str, ...]: ...
    @property
    def scopes(self) -> tuple[str, ...]: ...
    @property
    def redirect_uris(self) -> tuple[str, ...]: ...
    @property
    def post_logout_redirect_uris(self) -> tuple[str, ...]: ...
    @property
    def require_pkce(self) -> bool: ...
    @property
    def consent(self) -> str: ...


def redirect_faults(client: CodeClient) -> list[Fault]:
    """What is wrong with where browsers are sent, and with whom nobody need ask."""
    native = client.type == "public"
    kinds = {
        "redirect_uris": client.redirect_uris,
        "post_logout_redirect_uris": client.post_logout_redirect_uris,
    }
    faults = [
        (member, f"no redirect URI: {uri!r}; {fault}")
        for member, uris in kinds.items()
        for uri in uris
        if (fault := redirect_uri_fault(uri, native=native))
    ]
    faults += [
        (member, f"a client has at most {MAX_REDIRECT_URIS} redirect URIs of a kind")
        for member, uris in kinds.items()
        if len(uris) > MAX_REDIRECT_URIS
    ]
    if client.consent not in {"ask", "skip"}:
        faults.append(("consent", "consent is ask or skip"))
    if client.consent == "skip" and native and not all(map(assures_identity, client.redirect_uris)):
        fault = "another app could pass for one on a device: let its users consent"
        faults.append(("consent", fault))
    return faults


def code_faults(client: CodeClient) -> list[Fault]:
    """What is wrong with the grant, its scopes and the waiver of PKCE."""
    faults: list[Fault] = []
    has_codes = "authorization_code" in client.grant_types
    if has_codes and not client.redirect_uris:
        fault = "authorization_code needs a redirect URI: where the codes are sent"
        faults.append(("redirect_uris", fault))
    if has_codes and not client.scopes:
        faults.append(("scopes", "authorization_code needs a scope: what users are asked for"))
    if "openid" in client.scopes and not has_codes:
        faults.append(("scopes", "the scope openid needs the grant authorization_code"))
    continues = has_codes and "refresh_token" in client.grant_types
    if "offline_access" in client.scopes and not continues:
        fault = "the scope offline_access needs the grants authorization_code and refresh_token"
        faults.append(("scopes", fault))
    proves_nonce = has_codes and client.type == "confidential" and "openid" in client.scopes
    if not client.require_pkce and not proves_nonce:
        fault = (
            "only a confidential client with authorization_code and the scope openid can be "
            "without PKCE"
        )
        faults.append(("require_pkce", fault))
    return faults


def warnings(client: CodeClient) -> list[str]:
    """What can be registered and is worth a second thought, each a sentence."""
    found: list[str] = []
    # RFC 8252 §8.3
    if any(re.fullmatch(r"http://localhost([:/?].*)?", uri) for uri in client.redirect_uris):
        found.append("localhost may be another machine by its name; 127.0.0.1 never is")
    if not client.require_pkce:
        found.append("without PKCE the client's nonce alone guards its codes")
    return found
