"""What settings can't say, alone or together."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from service.environment import variable
from service.oauth.client import is_client_id
from service.oauth.issuer import is_loopback, issuer_faults
from service.oauth.key_life import key_faults

# OWASP's floor for argon2id: 19 MiB in two passes, or as much work in one.
_ARGON2_FLOOR = 38

_SCHEMES = {
    "database_url": ("postgresql", "postgres"),
    "migrate_database_url": ("postgresql", "postgres"),
    "redis_url": ("redis", "rediss"),
}
_HARDWARE = ("pkcs11_module", "pkcs11_token", "pkcs11_pin")
_RSA_STEP = 1024
SECRETS = frozenset((*_SCHEMES, "pkcs11_pin"))
_HOST = r"(?:[^][@:,/?#\s]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?"
# Checked before a driver sees it: one that finds / ? or # in a password takes the piece before it
# for the port, and prints it.
_ADDRESS = re.compile(
    rf"[a-z]+://(?:[^/?#]*@)?({_HOST}(?:,{_HOST})*)(?:/[^@?#]*)?(?:\?[^@#]*)?", re.ASCII
)


def contradictions(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> list[str]:
    """What the given values say that can't be, alone or together: a sentence for each fault."""
    faults: list[str] = []
    if "issuer" in values:
        faults += [f"{variable('issuer')} {fault}" for fault in issuer_faults(values["issuer"])]
    for field, schemes in _SCHEMES.items():
        if field in values and (fault := _url_fault(values[field].reveal(), schemes)):
            faults.append(f"{variable(field)} {fault}")
    client_id = values.get("first_party_client_id")
    if client_id and not is_client_id(client_id):
        faults.append(f"{variable('first_party_client_id')} is no client's id")
    memory, passes = values.get("password_memory_mib", 19), values.get("password_passes", 2)
    if memory * passes < _ARGON2_FLOOR:
        faults.append(
            f"{variable('password_passes')} 1 needs {variable('password_memory_mib')} of at least "
            f"{_ARGON2_FLOOR}"
        )
    faults += _key_faults({**defaults, "issuer": "", **values})
    if ("tls_certificate" in values) != ("tls_private_key" in values):
        faults.append("WATCHWORD_TLS_CERTIFICATE and WATCHWORD_TLS_PRIVATE_KEY go together")
    return faults


def _is_loopback(issuer: str) -> bool:
    try:
        return is_loopback(urlsplit(issuer).hostname or "")
    except ValueError:  # no URL, which is said elsewhere
        return False


def _key_faults(given: Mapping[str, Any]) -> list[str]:
    faults = key_faults(
        rotation=given["key_rotation"],
        publication=given["key_publication"],
        retirement=given["key_retirement"],
        jwks_max_age=given["jwks_max_age"],
        has_floors=not _is_loopback(given["issuer"]),
    )
    if given["rsa_bits"] % _RSA_STEP:
        faults.append(("rsa_bits", "must be 2048, 3072 or 4096"))
    hardware = [field for field in _HARDWARE if not given[field]]
    if 0 < len(hardware) < len(_HARDWARE):
        faults += [(field, "is needed to use a PKCS#11 token") for field in hardware]
    return [f"{variable(field)} {fault}" for field, fault in faults]


def _url_fault(url: str, schemes: tuple[str, ...]) -> str | None:
    """What is wrong with the address of PostgreSQL or Redis, without a word of it."""
    if url.partition("://")[0] not in schemes:
        return f"must begin with {schemes[0]}://"
    parts = _ADDRESS.fullmatch(url)
    if parts and all(int(port) < 1 << 16 for port in re.findall(r":(\d+)(?=,|$)", parts[1])):
        return None
    return (
        f"can't be read: write {schemes[0]}://user:password@host:port/name, "
        "with special characters in the password percent-encoded"
    )
