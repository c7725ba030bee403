"""The map of /api: each path, its methods, and what answers them."""

from litestar.types import ASGIApp

from service.http.account_sessions import end_session, end_sessions, list_sessions
from service.http.accounts import change_me, change_password, register, show_me
from service.http.api import Action, api_endpoint
from service.http.login import log_in, log_out, refresh
from service.http.services import Services

ACTIONS: dict[str, dict[str, Action]] = {
    "/api/register": {"POST": register},
    "/api/login": {"POST": log_in},
    "/api/refresh": {"POST": refresh},
    "/api/logout": {"POST": log_out},
    "/api/me": {"GET": show_me, "PATCH": change_me},
    "/api/password": {"POST": change_password},
    "/api/sessions": {"GET": list_sessions, "DELETE": end_sessions},
    "/api/sessions/{id}": {"DELETE": end_session},
}


def api_endpoints(services: Services) -> dict[str, ASGIApp]:
    """All of them by path."""
    return {path: api_endpoint(services, actions) for path, actions in ACTIONS.items()}
