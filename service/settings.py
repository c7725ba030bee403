"""Every setting: one frozen struct, read once from the environment, checked all at once."""

import difflib
import ipaddress
import os
import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, get_type_hints
from urllib.parse import urlsplit

import msgspec

from service.oauth.issuer import is_loopback, issuer_faults

PREFIX = "WATCHWORD_"

_LONGEST = timedelta(days=36_500)

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# Kubernetes makes these for a Service that is called watchword; no setting of ours looks so.
_KUBERNETES = re.compile(
    r"WATCHWORD_(\w+_)?(SERVICE_HOST|SERVICE_PORT\w*|PORT(_\d+_(TCP|UDP|SCTP)\w*)?)"
)

_SCHEMES = {
    "database_url": ("postgresql", "postgres"),
    "migrate_database_url": ("postgresql", "postgres"),
    "redis_url": ("redis", "rediss"),
}
_HOST = r"(?:[^][@:,/?#\s]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?"
# Checked before a driver sees it: one that finds / ? or # in a password takes the piece before it
# for the port, and prints it.
_ADDRESS = re.compile(
    rf"[a-z]+://(?:[^/?#]*@)?({_HOST}(?:,{_HOST})*)(?:/[^@?#]*)?(?:\?[^@#]*)?", re.ASCII
)


class SettingsError(Exception):
    """The settings can't be used. `faults` has one sentence for each fault, never a secret."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


class Secret:
    """A value that never shows itself in a log, a message or a repr."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value itself."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(…)"


def doc(text: str, **bounds: Any) -> msgspec.Meta:
    """A field's line in docs/reference/settings.md, and its bounds."""
    return msgspec.Meta(description=text, **bounds)


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The service's settings; `WATCHWORD_` and the upper-case name is the variable of each."""

    issuer: Annotated[
        str,
        doc(
            "Public base URL of this server, the `iss` of every token: https, no trailing slash "
            "(plain http only for a loopback host)."
        ),
    ]
    database_url: Annotated[Secret, doc("PostgreSQL, `postgresql://user:password@host/name`.")]
    redis_url: Annotated[Secret, doc("Redis, `redis://user:password@host:6379/0` or `rediss://…`.")]
    migrate_database_url: Annotated[
        Secret | None,
        doc("PostgreSQL as the role that owns the schema, for `watchword migrate` alone."),
    ] = None
    listen: Annotated[
        tuple[str, ...],
        doc("Addresses to listen on, with commas between: `127.0.0.1:8000,[::1]:8000`."),
    ] = ("0.0.0.0:8000",)
    allowed_hosts: Annotated[
        tuple[str, ...],
        doc(
            "Host names that requests may use beside the issuer's, with commas between "
            "(in a cluster: `watchword,watchword.auth.svc`); `*` allows any."
        ),
    ] = ()
    trusted_proxies: Annotated[
        tuple[Network, ...],
        doc(
            "Networks of the proxies that end TLS, with commas between. Only they may send plain "
            "http, and only their `X-Forwarded-For` and `X-Forwarded-Proto` are believed."
        ),
    ] = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))
    tls_certificate: Annotated[
        Path | None, doc("PEM certificate chain, to end TLS here instead of at an ingress.")
    ] = None
    tls_private_key: Annotated[Path | None, doc("PEM private key of that certificate.")] = None
    keys_dir: Annotated[
        Path, doc("Folder of the master keys (`watchword keys init` makes them).")
    ] = Path("keys")
    redis_prefix: Annotated[
        str, doc("Hash tag that all keys in Redis share.", pattern=r"^[A-Za-z0-9_.-]{1,64}$")
    ] = "ww"
    database_connections: Annotated[
        int, doc("Connections to PostgreSQL that a pod opens at most.", ge=2, le=200)
    ] = 10
    database_statement_cache: Annotated[
        int,
        doc("Prepared statements kept per connection; 0 behind PgBouncer 1.20 and older.", ge=0),
    ] = 100
    client_failures_per_minute: Annotated[
        int,
        doc(
            "Failed client authentications in a minute, per client and per address, after which "
            "failures are answered 429. A right secret is never refused.",
            ge=1,
        ),
    ] = 30
    max_connections: Annotated[
        int, doc("Open connections per pod; more are answered 503.", ge=1)
    ] = 4096
    drain: Annotated[
        timedelta,
        doc("After SIGTERM: how long a pod goes on serving while it reports itself unready."),
    ] = timedelta(seconds=5)
    grace: Annotated[
        timedelta, doc("After that: how long requests under way may take to finish.")
    ] = timedelta(seconds=20)
    audit_retention: Annotated[timedelta, doc("How long `watchword purge` keeps audit events.")] = (
        timedelta(days=90)
    )
    log_level: Annotated[
        str, doc("`debug`, `info`, `warning` or `error`.", pattern="^(debug|info|warning|error)$")
    ] = "info"

    @property
    def is_loopback(self) -> bool:
        """Whether the issuer is a loopback URL: development, where floors do not hold."""
        return is_loopback(urlsplit(self.issuer).hostname or "")


def variable(field: str) -> str:
    """The environment variable of a setting."""
    return PREFIX + field.upper()


def is_secret(field: str) -> bool:
    """Whether the setting is never shown, and may come from the file that NAME_FILE names."""
    return field in _SCHEMES


def load_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """The settings from WATCHWORD_* variables; NAME_FILE names a file with a secret's value.

    Raises SettingsError with every fault at once.
    """
    environment = os.environ if environment is None else environment
    faults = _unknown_names(environment)
    values: dict[str, Any] = {}
    hints = get_type_hints(Settings, include_extras=True)
    for field in msgspec.structs.fields(Settings):
        try:
            text = _read(environment, field.name)
            if text is not None:
                values[field.name] = _convert(text, hints[field.name])
            elif field.required:
                (meta,) = hints[field.name].__metadata__
                faults.append(f"{variable(field.name)} is missing: {meta.description}")
        except (ValueError, OSError) as error:
            faults.append(f"{variable(field.name)}: {error}")
    faults += _contradictions(values)
    if faults:
        raise SettingsError(faults)
    return Settings(**values)


def _read(environment: Mapping[str, str], field: str) -> str | None:
    """A setting's text, from its variable or, for a secret, from the file that NAME_FILE names."""
    name = variable(field)
    # Without white space around it: what is made from a file often ends in a newline.
    text = environment.get(name, "").strip()
    file = environment.get(name + "_FILE") if is_secret(field) else None
    if text and file:
        raise ValueError(f"set either it or {name}_FILE, not both")
    if not file:
        return text or None
    try:
        text = Path(file).read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        cause = getattr(error, "strerror", None) or "not a file of UTF-8 text"
        raise ValueError(f"the file that {name}_FILE names can't be read: {cause}") from None
    if not text:
        raise ValueError(f"the file that {name}_FILE names is empty")
    return text


def _convert(text: str, hint: Any) -> Any:
    """A setting's value. Raises ValueError, whose text never has the value of a secret in it."""
    convert = _CONVERTERS.get(hint.__origin__)
    if convert:
        return convert(text)
    if hint.__origin__ is int and not re.fullmatch(r"-?[0-9]{1,9}", text):
        raise ValueError("must be a whole number")
    try:
        return msgspec.convert(text, hint, strict=False)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None


def _seconds(text: str) -> timedelta:
    number = re.fullmatch(r"([0-9]{1,9}) ?([smhd]?)", text)
    if not number:
        raise ValueError("must be a duration such as 30s, 5m, 12h or 90d")
    unit = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}[number[2]]
    duration = timedelta(seconds=int(number[1]) * unit)
    if duration > _LONGEST:
        raise ValueError(f"must be at most {_LONGEST.days}d")
    return duration


def _words(text: str) -> tuple[str, ...]:
    return tuple(word for word in (part.strip() for part in text.split(",")) if word)


def _names(text: str) -> tuple[str, ...]:
    if not (names := _words(text)):
        raise ValueError("must name at least one")
    return names


def _networks(text: str) -> tuple[Network, ...]:
    try:
        return tuple(ipaddress.ip_network(word) for word in _words(text))
    except ValueError as error:
        raise ValueError(f"{error}; write networks such as 10.0.0.0/8, with commas") from None


_CONVERTERS: dict[Any, Callable[[str], Any]] = {
    Secret: Secret,
    Secret | None: Secret,
    Path: Path,
    Path | None: Path,
    timedelta: _seconds,
    tuple[str, ...]: _names,
    tuple[Network, ...]: _networks,
}


def _unknown_names(environment: Mapping[str, str]) -> list[str]:
    """A fault for each WATCHWORD_ name that is no setting, with the nearest that is."""
    fields = [field.name for field in msgspec.structs.fields(Settings)]
    known = {field.upper() for field in fields}
    known |= {field.upper() + "_FILE" for field in fields if is_secret(field)}
    faults: list[str] = []
    for name in sorted(environment):
        prefix, ours, rest = name.partition(PREFIX)
        if prefix or not ours or rest in known or _KUBERNETES.fullmatch(name):
            continue
        nearest = difflib.get_close_matches(rest.upper(), known, n=1)
        hint = f"; did you mean {PREFIX}{nearest[0]}?" if nearest else ""
        # A name may hold anything; what is printed stays one line.
        shown = name if name.isprintable() else ascii(name)
        faults.append(f"{shown} is no setting{hint}")
    return faults


def _contradictions(values: Mapping[str, Any]) -> list[str]:
    faults: list[str] = []
    if "issuer" in values:
        faults += [f"{variable('issuer')} {fault}" for fault in issuer_faults(values["issuer"])]
    for field, schemes in _SCHEMES.items():
        if field in values and (fault := _url_fault(values[field].reveal(), schemes)):
            faults.append(f"{variable(field)} {fault}")
    if ("tls_certificate" in values) != ("tls_private_key" in values):
        faults.append("WATCHWORD_TLS_CERTIFICATE and WATCHWORD_TLS_PRIVATE_KEY go together")
    return faults


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
