"""Every Prometheus metric. What each means for who watches: docs/reference/metrics.md.

Label values that are known beforehand stand at 0 from the start, so that `increase()` sees a pod's
first event. No label is called like one that Prometheus' own discovery sets (job, instance, pod,
namespace, service, container, endpoint): such a one would be renamed there.
"""

import itertools
from collections.abc import Sequence

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)

# One more series for each counter and histogram, that nobody asks for.
disable_created_metrics()

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
# A quantile can't be told beyond the last one: they reach as far as an alert may ask.
_UNTIL_SEEN = (*_SECONDS[3:], 10.0, 30.0, 60.0, 300.0)
_LAG = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)

GRANTS = ("authorization_code", "client_credentials", "refresh_token", "login", "refresh")
OTHER_GRANT = "other"
_COMMON = ("invalid_request", "invalid_client", "temporarily_unavailable", "server_error")
_OF_A_GRANT = (*_COMMON, "unauthorized_client", "invalid_scope", "invalid_target")
# The refusals of each grant that there are beforehand; by how it is asked for.
REFUSALS = {
    "authorization_code": (*_OF_A_GRANT, "invalid_grant"),
    "client_credentials": _OF_A_GRANT,
    "refresh_token": (*_OF_A_GRANT, "invalid_grant"),
    "login": (*_COMMON, "access_denied", "invalid_credentials"),
    "refresh": (*_COMMON, "access_denied", "invalid_grant", "invalid_scope", "invalid_target"),
    OTHER_GRANT: (*_COMMON, "unsupported_grant_type"),
}
_VERDICTS = (
    *("rotated", "retried", "healed", "reuse", "impossible", "wrong_client"),
    *("malformed", "dead", "beyond", "followed"),
)
PURPOSES = ("token", "feed")
KEY_STATES = ("pending", "active", "retiring")
_LIMITS = (
    *("client_id", "client_address", "login", "login_pool", "registration"),
    *("authorization", "code"),
)


class Metrics:
    """Every metric of one process, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self.build_info = self._gauge("build_info", "1; the release that runs.", version=())
        self.ready = self._gauge("ready", "1 while /readyz answers 200.")
        self._of_requests()
        self._of_tokens()
        self._of_people()
        self._of_the_feed()
        self._of_verifiers()
        self._of_keys()
        self._of_pools()

    def _of_requests(self) -> None:
        self.requests = self._counter("http_requests", "Requests.", route=(), status=())
        self.latency = self._histogram(
            "http_request_duration_seconds",
            "Time from a request's head to the end of its answer, less what it asked to wait for.",
            _SECONDS,
            "route",
        )
        self.refusals = self._counter("refusals", "Refusals by error code.", route=(), error=())
        self.rate_limited = self._counter(
            "rate_limited", "Requests answered 429, by limit.", limit=_LIMITS
        )
        self.loop_lag = self._histogram(
            "event_loop_lag_seconds", "How late a timer of the event loop fires.", _LAG
        )

    def _of_tokens(self) -> None:
        tokens = self._counter("access_tokens_issued", "Access tokens.", grant_type=GRANTS)
        self.tokens = tokens
        # Looking labels up costs more than counting.
        self.issued = {grant: tokens.labels(grant) for grant in GRANTS}
        self.tokens_refused = self._counter(
            "access_tokens_refused",
            "Refused requests for access tokens.",
            grant_type=(),
            error=(),
        )
        for grant, errors in REFUSALS.items():
            for error in errors:
                self.tokens_refused.labels(grant, error)
        self.refreshes = self._counter(
            "refreshes", "Presentations of refresh tokens by verdict.", verdict=_VERDICTS
        )
        self.revocations = self._counter("revocations", "Facts written.", kind=("jti", "sid"))

    def _of_people(self) -> None:
        self.logins = self._counter(
            "logins",
            "Proofs of passwords by result.",
            result=("proven", "failed", "limited", "busy"),
        )
        self.login_alarms = self._counter(
            "login_alarms",
            "Counts of failed logins that crossed their line, by counter.",
            counter=("account", "client", "all"),
        )
        states = ("running", "waiting")
        self.hashing = self._gauge("password_hashes", "Passwords by state.", state=states)
        self.hashing_max = self._gauge(
            "password_hashes_max", "Passwords that may be in that state at once.", state=states
        )

    def _of_the_feed(self) -> None:
        self.published = self._counter("feed_entries_published", "Entries signed by this pod.")
        self.publish_lag = self._histogram(
            "feed_publish_duration_seconds",
            "From the start of a publication to its copy in Redis.",
            _SECONDS,
        )
        self.feed_head = self._gauge("feed_head", "The newest number.")
        self.feed_repairs = self._counter(
            "feed_repairs", "Streams mended, by cause.", cause=("behind", "tampered", "heartbeat")
        )
        self.feed_followers = self._gauge(
            "feed_followers", "Followers that wait for news over HTTP."
        )
        self.feed_followers_max = self._gauge(
            "feed_followers_max", "Followers that may wait for news over HTTP."
        )
        self.heartbeat_at = self._gauge(
            "feed_heartbeat_timestamp_seconds",
            "Time of the newest heartbeat that this pod saw in Redis.",
        )
        self.away = self._gauge(
            "dependency_away", "1 while it is away.", dependency=("postgresql", "redis")
        )
        self.loss_unknown = self._gauge(
            "loss_unknown", "1 while it is unknown which revocations the database lost."
        )

    def _of_verifiers(self) -> None:
        self.revocation_seen = self._histogram(
            "revocation_seen_seconds",
            "From a fact's writing to a verifier's receipt, which may come up to a second late.",
            _UNTIL_SEEN,
        )
        self.receipts = self._counter(
            "feed_receipts", "Receipts of verifiers by result.", result=("noted", "refused")
        )
        self.verifiers = self._gauge(
            "verifiers",
            "Verifiers that report: current, behind for more than 5 s, or missing for 30 s.",
            state=("current", "behind", "missing"),
        )

    def _of_keys(self) -> None:
        self.keys_age = self._gauge(
            "keys_age_seconds", "Since PostgreSQL last confirmed the signing keys."
        )
        self.signing_keys = self._gauge(
            "signing_keys",
            "Signing keys in the database.",
            purpose=PURPOSES,
            state=KEY_STATES,
        )
        self.signing_keys_unusable = self._gauge(
            "signing_keys_unusable", "Signing keys that this pod can't unwrap."
        )
        self.signing_key_activation = self._gauge(
            "signing_key_activation_timestamp_seconds",
            "When the active key began to sign.",
            purpose=PURPOSES,
        )
        self.certificate_expiry = Gauge(
            "watchword_tls_certificate_expiry_timestamp_seconds",
            "When the certificate expires that this pod serves.",
            registry=None,  # until there is one: at 0 it would have expired long ago
        )

    def _of_pools(self) -> None:
        self.database_connections = self._gauge(
            "database_connections", "Open connections to PostgreSQL.", state=("in_use", "idle")
        )
        self.database_connections_max = self._gauge(
            "database_connections_max", "Connections to PostgreSQL that this pod may open."
        )
        self.database_waiting = self._gauge(
            "database_waiting", "Pieces of work that wait for a connection to PostgreSQL."
        )
        self.http_connections = self._gauge("http_connections", "Open HTTP connections.")
        self.http_connections_max = self._gauge(
            "http_connections_max", "HTTP connections beyond which more are answered 503."
        )

    def _counter(self, name: str, text: str, **known: Sequence[str]) -> Counter:
        """A counter with these labels, at 0 for each of their known values together."""
        counter = Counter(f"watchword_{name}", text, tuple(known), registry=self.registry)
        _begin(counter, known)
        return counter

    def _gauge(self, name: str, text: str, **known: Sequence[str]) -> Gauge:
        """The same."""
        gauge = Gauge(f"watchword_{name}", text, tuple(known), registry=self.registry)
        _begin(gauge, known)
        return gauge

    def _histogram(
        self, name: str, text: str, buckets: tuple[float, ...], *labels: str
    ) -> Histogram:
        return Histogram(f"watchword_{name}", text, labels, buckets=buckets, registry=self.registry)


def _begin(metric: Counter | Gauge, known: dict[str, Sequence[str]]) -> None:
    if known:
        for values in itertools.product(*known.values()):
            metric.labels(*values)
