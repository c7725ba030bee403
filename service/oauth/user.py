"""A user: a resource owner with a password. What one may be called, and what is refused why."""

import re
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit
from uuid import UUID

_USERNAME = re.compile(r"[a-z0-9._-]{3,32}")
# What RFC 5321 lets through, without quoted local parts and address literals, which nobody has.
_EMAIL = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.)+[A-Za-z][A-Za-z0-9-]{0,62}"
)
_MAX_EMAIL = 254
_MAX_NAME = 200
_MAX_URL = 2000
_ROLE = re.compile(r"[\x21\x23-\x5B\x5D-\x7E]{1,64}")
MAX_ROLES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A user as shown to the user and the operator. `administrator`: whether it may use /admin."""

    id: UUID
    username: str | None
    email: str | None
    full_name: str | None
    avatar_url: str | None
    roles: tuple[str, ...]
    administrator: bool
    created_at: datetime
    disabled_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class KnownUser:
    """What a login needs, read in one statement: a change of the password raises the version."""

    id: UUID
    password_hash: str | None
    credential_version: int
    disabled: bool
    username: str | None = None
    email: str | None = None
    full_name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What a user says of themselves; None leaves a member out."""

    username: str | None = None
    email: str | None = None
    full_name: str | None = None
    avatar_url: str | None = None

    def faults(self) -> dict[str, str]:
        """Why it can't be: a sentence by member; empty when it can."""
        found = {
            "username": None if self.username is None else username_fault(self.username),
            "email": None if self.email is None else email_fault(self.email),
            "full_name": None if self.full_name is None else name_fault(self.full_name),
            "avatar_url": None if self.avatar_url is None else url_fault(self.avatar_url),
        }
        return {member: fault for member, fault in found.items() if fault}


@dataclass(frozen=True, slots=True, kw_only=True)
class Amendment:
    """What an operator changes of a user; None leaves it as it is."""

    profile: Profile = Profile()
    roles: tuple[str, ...] | None = None
    administrator: bool | None = None


def username_fault(text: str) -> str | None:
    """Why this can't be a username; None when it can."""
    return None if _USERNAME.fullmatch(text) else "3 to 32 of a-z 0-9 . _ -"


def email_fault(text: str) -> str | None:
    """Why this can't be an e-mail address; None when it can."""
    local = text.partition("@")[0]
    plain = _EMAIL.fullmatch(text) and len(text) <= _MAX_EMAIL
    if plain and ".." not in local and not local.startswith(".") and not local.endswith("."):
        return None
    return "an e-mail address such as anna@example.com"


def name_fault(text: str) -> str | None:
    """Why this can't be a person's name; RTL overrides and the like are no letters (ATK-99)."""
    if 1 <= len(text) <= _MAX_NAME and text.isprintable() and text == text.strip():
        return None
    return "1 to 200 printable characters, without spaces around them"


def url_fault(text: str) -> str | None:
    """Why this can't be the address of a picture; None when it can. It is never fetched here."""
    if len(text) <= _MAX_URL and _is_visible(text) and _is_https(text):
        return None
    return "an https URL of at most 2000 characters"


def roles_fault(roles: tuple[str, ...]) -> str | None:
    """Why these can't be a user's roles; None when they can (RFC 9068 §2.2.3.1)."""
    if len(roles) <= MAX_ROLES and all(map(_ROLE.fullmatch, roles)):
        return None
    return 'at most 32 roles, each of 1 to 64 printable ASCII characters but space, " and \\'


def _is_visible(text: str) -> bool:
    return text.isascii() and text.isprintable() and not set(text) & set(' "<>\\^`{|}@')


def _is_https(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme == "https" and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
