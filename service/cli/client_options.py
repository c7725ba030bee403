"""The options that say what a client is: the same to register it and to change it."""

import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import click

from service.oauth.signing_key import TOKEN_ALGORITHMS

# No more digits than a timedelta takes; what is too long for a session, its rules say.
_DURATION = re.compile(r"([0-9]{1,7})([smhd])")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


class Duration(click.ParamType[timedelta]):
    """A duration such as 12h; its unit must be said."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        if not (parts := _DURATION.fullmatch(value)):
            self.fail("write a duration such as 90m, 12h or 30d", param, ctx)
        return timedelta(seconds=int(parts[1]) * _UNITS[parts[2]])


def _seconds(_: click.Context, __: click.Parameter, value: int | None) -> timedelta | None:
    return None if value is None else timedelta(seconds=value)


_SECONDS: dict[str, Any] = {"type": click.IntRange(0, 86_400), "callback": _seconds}

# Each is called as the member of a Registration that it says.
_OPTIONS = (
    click.option("--name", help="What people read; the id if left out."),
    click.option(
        "--grant",
        "grant_types",
        multiple=True,
        help="Grant type: client_credentials (what a confidential client has if none is named), "
        "authorization_code or refresh_token; repeat for more.",
    ),
    click.option(
        "--redirect-uri",
        "redirect_uris",
        multiple=True,
        help="Where codes are sent, https://app.example/callback; repeat for more.",
    ),
    click.option(
        "--post-logout-redirect-uri",
        "post_logout_redirect_uris",
        multiple=True,
        help="Where its users may be sent after a logout; repeat for more.",
    ),
    click.option(
        "--pkce/--no-pkce",
        "require_pkce",
        default=None,
        help="Without PKCE only for a library that can't: of a confidential client, with openid.",
    ),
    click.option(
        "--consent",
        "consent",
        type=click.Choice(["ask", "skip"]),
        help="Whether users are asked (ask); skip is for applications that you answer for. "
        "offline_access is asked for even then.",
    ),
    click.option(
        "--audience",
        "audiences",
        multiple=True,
        help="API its tokens are for; the first is the default.",
    ),
    click.option(
        "--scope", "scopes", multiple=True, help="Scope value it may have; repeat for more."
    ),
    click.option(
        "--default-scope", "default_scopes", multiple=True, help="Scope when a request names none."
    ),
    click.option(
        "--serves", "serves", multiple=True, help="Audience whose tokens it may introspect."
    ),
    click.option(
        "--token-ttl",
        "access_token_ttl",
        help="Access token lifetime, seconds (300).",
        **_SECONDS,
    ),
    click.option(
        "--session-idle",
        "session_idle_ttl",
        type=Duration(),
        help="A session ends that is not used for so long (7d).",
    ),
    click.option(
        "--session-absolute",
        "session_absolute_ttl",
        type=Duration(),
        help="A session ends so long after its login (30d).",
    ),
    click.option(
        "--grace",
        "grace",
        help="How long a spent refresh token may be retried, seconds (30); 0: never.",
        **_SECONDS,
    ),
    click.option(
        "--first-party/--third-party",
        "first_party",
        default=None,
        help="A public client of this site: its users log in at /api.",
    ),
    click.option(
        "--refresh-delivery",
        "refresh_delivery",
        type=click.Choice(["body", "cookie"]),
        help="How a first-party client has its refresh tokens: in the body (native apps) or in a "
        "cookie (web).",
    ),
    click.option(
        "--allowed-origin",
        "allowed_origins",
        multiple=True,
        help="Web origin of a first-party client, https://app.example; repeat for more.",
    ),
    click.option(
        "--signing-alg",
        "signing_alg",
        type=click.Choice(TOKEN_ALGORITHMS),
        help="What its tokens are signed with (RS256).",
    ),
    click.option(
        "--administrator/--no-administrator",
        "administrator",
        default=None,
        help="It may use /admin: its tokens are for there, with the scope watchword:admin.",
    ),
)


def registration_options(run: Callable[..., Any]) -> Callable[..., Any]:
    """Each option as an argument by its member's name."""
    for option in reversed(_OPTIONS):
        run = option(run)
    return run


def named_members(options: Mapping[str, Any]) -> dict[str, Any]:
    """The members that the options name; an empty text in a list empties that list."""
    return {
        member: tuple(filter(None, value)) if isinstance(value, tuple) else value
        for member, value in options.items()
        if value not in (None, ())
    }
