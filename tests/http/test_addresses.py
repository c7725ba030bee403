"""Addresses as proxies write them: what reaches the audit trail and the limits."""

import pytest
from litestar.types import Scope

from service.http.request import identify
from service.settings import load_settings

TRUSTED = load_settings(
    {
        "WATCHWORD_ISSUER": "http://localhost:8000",
        "WATCHWORD_DATABASE_URL": "postgresql://localhost/x",
        "WATCHWORD_REDIS_URL": "redis://localhost",
    }
).trusted_proxies


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("203.0.113.9:5555", "203.0.113.9"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("unknown", "127.0.0.1"),
        ("203.0.113.9:99999999", "127.0.0.1"),
    ],
)
def test_an_address_is_read_without_port_and_zone(written: str, address: str) -> None:
    """ATK-92: what no proxy can have written ends the chain; the database takes what is left."""
    scope: Scope = {  # pyright: ignore[reportAssignmentType]
        "headers": [(b"x-forwarded-for", written.encode())],
        "client": ("127.0.0.1", 1),
    }
    assert identify(scope, TRUSTED).address == address
