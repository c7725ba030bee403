"""Passwords: argon2id (RFC 9106), parameters of OWASP's floor."""

from argon2 import PasswordHasher

_HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)


def hash_password(password: str) -> str:
    """The argon2id hash of a password, its salt and parameters in it; takes tens of ms of CPU."""
    return _HASHER.hash(password)
