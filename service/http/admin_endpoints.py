"""The map of /admin: each path, its methods, and what answers them."""

from litestar.types import ASGIApp

from service.http import (
    admin_clients,
    admin_histories,
    admin_keys,
    admin_sessions,
    admin_users,
)
from service.http.admin import AdminAction, admin_endpoint
from service.http.services import Services

ADMIN_ACTIONS: dict[str, dict[str, AdminAction]] = {
    "/admin/clients": {
        "GET": admin_clients.list_clients,
        "POST": admin_clients.register_client,
    },
    "/admin/clients/{id}": {
        "GET": admin_clients.show_one,
        "PATCH": admin_clients.change_client,
    },
    "/admin/clients/{id}/secret": {"POST": admin_clients.give_secret},
    "/admin/clients/{id}/disable": {"POST": admin_clients.disable_client},
    "/admin/clients/{id}/enable": {"POST": admin_clients.enable_client},
    "/admin/clients/{id}/revoke": {"POST": admin_clients.revoke_tokens},
    "/admin/clients/{id}/shadow": {"POST": admin_clients.change_shadow_mode},
    "/admin/users": {"GET": admin_users.list_users, "POST": admin_users.make_user},
    "/admin/users/{id}": {
        "GET": admin_users.show_one,
        "PATCH": admin_users.change_user,
        "DELETE": admin_users.delete_user,
    },
    "/admin/users/{id}/disable": {"POST": admin_users.disable_user},
    "/admin/users/{id}/enable": {"POST": admin_users.enable_user},
    "/admin/users/{id}/revoke": {"POST": admin_users.end_sessions},
    "/admin/users/{id}/password": {"PUT": admin_users.set_password},
    "/admin/sessions": {"GET": admin_sessions.list_sessions},
    "/admin/sessions/{id}": {
        "GET": admin_sessions.show_one,
        "DELETE": admin_sessions.end_session,
    },
    "/admin/revocations": {
        "GET": admin_histories.list_revocations,
        "POST": admin_histories.revoke,
    },
    "/admin/audit": {"GET": admin_histories.list_audit_events},
    "/admin/keys": {"GET": admin_keys.list_all, "POST": admin_keys.take_key},
    "/admin/keys/rotate": {"POST": admin_keys.rotate},
    "/admin/keys/{id}": {"GET": admin_keys.show_one},
    "/admin/keys/{id}/kill": {"POST": admin_keys.kill},
}


def admin_endpoints(services: Services) -> dict[str, ASGIApp]:
    """All of them by path."""
    return {path: admin_endpoint(services, actions) for path, actions in ADMIN_ACTIONS.items()}
