"""Every setting: one frozen struct, read once from the environment, checked all at once."""

import ipaddress
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import msgspec

from service.environment import (
    Network,
    Secret,
    doc,
    process_environment,
    read_environment,
)
from service.oauth.issuer import is_loopback
from service.oauth.key_life import SHORTEST_PUBLICATION, KeyTimes, least_retirement
from service.oauth.signing_key import MAX_RSA_BITS, RSA_BITS
from service.setting_faults import SECRETS, contradictions


class SettingsError(Exception):
    """The settings can't be used. `faults` has one sentence for each fault, never a secret."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


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
    key_rotation: Annotated[
        timedelta, doc("How long a signing key signs before the next one takes its place.")
    ] = timedelta(days=30)
    key_publication: Annotated[
        timedelta,
        doc(
            "How long a signing key is published before it signs, unless every verifier reports "
            "that it has it; at least 1h."
        ),
    ] = timedelta(hours=24)
    key_retirement: Annotated[
        timedelta | None,
        doc(
            "How long a key that signs no more stays published; unset, the least: the longest "
            "token, 12 minutes, and WATCHWORD_JWKS_MAX_AGE."
        ),
    ] = None
    jwks_max_age: Annotated[
        timedelta, doc("How long anybody may cache the key sets (`Cache-Control`).")
    ] = timedelta(minutes=5)
    all_verifiers_report: Annotated[
        str,
        doc(
            "`yes`: every service that verifies tokens sends receipts, so a key may sign as soon "
            "as all of them have it, without the least hour.",
            pattern="^(yes|no)$",
        ),
    ] = "no"
    rsa_bits: Annotated[
        int,
        doc(
            "Bits of new RSA keys that sign tokens: 2048, 3072 or 4096.",
            ge=RSA_BITS,
            le=MAX_RSA_BITS,
        ),
    ] = RSA_BITS
    pkcs11_module: Annotated[
        Path | None,
        doc(
            "PKCS#11 library of a hardware security module: new keys that sign tokens are made "
            "there, and never leave it."
        ),
    ] = None
    pkcs11_token: Annotated[str, doc("Label of the token in it.")] = ""
    pkcs11_pin: Annotated[Secret | None, doc("PIN of the token's user.")] = None
    sign_on_idle: Annotated[
        timedelta, doc("A browser is signed out that was not used for so long at this server.")
    ] = timedelta(hours=1)
    sign_on_absolute: Annotated[
        timedelta, doc("A browser is signed out so long after the password was given.")
    ] = timedelta(hours=24)
    brand_name: Annotated[str, doc("Whose pages people see: at most 40 characters.")] = "Watchword"
    brand_logo: Annotated[
        Path | None, doc("Logo of the pages: PNG, JPEG, WebP or SVG of at most 128 KiB.")
    ] = None
    brand_accent: Annotated[
        str, doc("Colour of buttons and links, `#rrggbb`; refused if people could not read it.")
    ] = "#0b6157"
    brand_background: Annotated[
        str, doc("Colour behind the pages in their light theme, `#rrggbb`.")
    ] = "#f5f6f8"
    brand_privacy: Annotated[str, doc("https URL of your privacy notice.")] = ""
    brand_terms: Annotated[str, doc("https URL of your terms.")] = ""
    brand_help: Annotated[str, doc("https URL or `mailto:` where people find help.")] = ""
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
    rotation_commit: Annotated[
        str,
        doc(
            "`async`: a refresh does not wait for the disk; a crash may forget the last ones, and "
            "the sessions heal. `sync`: it waits.",
            pattern="^(async|sync)$",
        ),
    ] = "async"
    revocations_over_http: Annotated[
        str,
        doc(
            "Who may follow the revocation feed at `/revocations`: `open`: anybody (its facts name "
            "no person); `clients`: confidential clients, by HTTP Basic; `closed`: nobody.",
            pattern="^(open|clients|closed)$",
        ),
    ] = "open"
    first_party_client_id: Annotated[
        str, doc("First-party client that a request to `/api` means when it names none.")
    ] = ""
    registration: Annotated[
        str,
        doc(
            "`open`: anybody may register at `/api/register`; `closed`.", pattern="^(open|closed)$"
        ),
    ] = "open"
    password_memory_mib: Annotated[
        int, doc("Memory of one argon2id hash, MiB; 19 is OWASP's floor.", ge=19, le=4096)
    ] = 19
    password_passes: Annotated[int, doc("Passes of argon2id over its memory.", ge=1, le=64)] = 2
    password_lanes: Annotated[int, doc("Lanes (parallelism) of argon2id.", ge=1, le=64)] = 1
    password_hashes: Annotated[
        int,
        doc(
            "Password hashes at once per pod, each on a thread of lowest priority; their memory "
            "comes on top of the pod's. More than one where the pod has more than two cores.",
            ge=1,
            le=64,
        ),
    ] = 1
    password_queue: Annotated[
        int, doc("Logins that may wait for a hash; more are answered 503.", ge=0, le=10_000)
    ] = 32
    login_failures: Annotated[
        int,
        doc("Failed logins in 15 minutes per account and address, before 429.", ge=1),
    ] = 10
    login_failures_per_address: Annotated[
        int, doc("Failed logins in 15 minutes per address, before 429.", ge=1)
    ] = 100
    login_attempts: Annotated[
        int,
        doc("Logins in 15 minutes per account and address, right or wrong, before 429.", ge=1),
    ] = 60
    registrations_per_address: Annotated[
        int,
        doc("Attempts at a new name in an hour, per address (and user), before 429.", ge=1),
    ] = 20
    authorizations_per_address: Annotated[
        int,
        doc(
            "Authorization requests in a minute, per address, that are kept because somebody has "
            "to be asked, before 429.",
            ge=1,
        ),
    ] = 600
    codes_per_user: Annotated[
        int,
        doc(
            "Authorization codes in a minute, per user, before 429; each begins a session. Each "
            "pod lets a tenth more pass before it counts together with the others.",
            ge=1,
        ),
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

    @property
    def key_times(self) -> KeyTimes:
        """The times of a signing key's life."""
        everybody = self.all_verifiers_report == "yes"
        shortest = timedelta(0) if everybody else min(SHORTEST_PUBLICATION, self.key_publication)
        return KeyTimes(
            rotation=self.key_rotation,
            publication=self.key_publication,
            shortest_publication=shortest,
            retirement=self.key_retirement or least_retirement(self.jwks_max_age),
        )


def is_secret(field: str) -> bool:
    """Whether the setting is never shown, and may come from the file that NAME_FILE names."""
    return field in SECRETS


def load_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """The settings from WATCHWORD_* variables; NAME_FILE names a file with a secret's value.

    Raises SettingsError with every fault at once.
    """
    environment = process_environment() if environment is None else environment
    values, faults = read_environment(Settings, SECRETS, environment)
    defaults = {it.name: it.default for it in msgspec.structs.fields(Settings)}
    faults += contradictions(values, defaults)
    if faults:
        raise SettingsError(faults)
    return Settings(**values)
