"""The outermost layer: plain http, proxies, hosts, and the headers that every answer has."""

from dataclasses import replace
from ipaddress import ip_network

import httpx
import msgspec
import pytest

from service.app import App, create_app
from service.http.edge import ENDPOINTS
from service.http.request import Request, identify
from tests.conftest import MakeClient, http_to
from tests.http.refusals import GRANT, assert_refused

PROBES = ["/healthz", "/readyz", "/metrics"]
DOCUMENT = "/.well-known/oauth-authorization-server"
OUTSIDE = ("203.0.113.7", 4711)
PROXY = ("10.1.2.3", 4711)
PROXIES = (ip_network("10.0.0.0/8"), ip_network("2001:db8:f::/48"))


def at(app: App, issuer: str, **settings: object) -> App:
    """The same pod under another issuer and other settings."""
    members = {"issuer": issuer, "trusted_proxies": PROXIES, **settings}
    settings = msgspec.structs.replace(app.services.settings, **members)
    services = replace(app.services, settings=settings)
    return App(asgi=create_app(services), services=services)


@pytest.fixture(scope="module")
def public(app: App) -> App:
    """The pod as it would be on the internet, behind proxies in 10.0.0.0/8."""
    return at(app, "https://auth.example")


async def get(app: App, url: str, peer: tuple[str, int], *headers: tuple) -> httpx.Response:
    async with http_to(app, client=peer) as http:
        return await http.get(url, headers=list(headers))


@pytest.mark.parametrize("path", [DOCUMENT, "/.well-known/jwks.json", "/nowhere", "/healthz/x"])
async def test_plain_http_from_a_stranger_is_refused(public: App, path: str) -> None:
    """TOK-18: whatever it says of a proxy (ATK-91)."""
    for headers in ((), (("x-forwarded-proto", "https"),), (("forwarded", "proto=https"),)):
        answer = await get(public, f"http://auth.example{path}", OUTSIDE, *headers)
        assert_refused(answer, "invalid_request")


@pytest.mark.parametrize("path", PROBES)
async def test_probes_are_answered_in_clear_and_by_address(public: App, path: str) -> None:
    """The node's probes have neither TLS nor our name."""
    answer = await get(public, f"http://10.9.8.7:8000{path}", OUTSIDE)
    assert answer.status_code == 200


async def test_tls_from_anyone_is_welcome(public: App) -> None:
    """TOK-18: TLS may end here; X-Forwarded-Proto then means nothing (ATK-91)."""
    for headers in ((), (("x-forwarded-proto", "http"),)):
        answer = await get(public, f"https://auth.example{DOCUMENT}", OUTSIDE, *headers)
        assert answer.status_code == 200


@pytest.mark.parametrize(
    ("protos", "status"),
    [
        ([], 200),
        (["https"], 200),
        (["http"], 400),
        (["ws"], 400),
        ([""], 400),
        (["https,http"], 400),
        (["https", "http"], 400),
        (["https", "https"], 400),
    ],
    ids=str,
)
async def test_a_proxy_says_whether_the_client_came_over_tls(
    public: App, protos: list[str], status: int
) -> None:
    """TOK-18, ATK-91: what is not plainly https is not."""
    headers = [("x-forwarded-proto", proto) for proto in protos]
    answer = await get(public, f"http://auth.example{DOCUMENT}", PROXY, *headers)
    assert answer.status_code == status


async def test_on_loopback_a_proxy_may_forward_plain_http(http: httpx.AsyncClient) -> None:
    """TOK-18: development needs no certificate."""
    answer = await http.get(DOCUMENT, headers={"x-forwarded-proto": "http"})
    assert answer.status_code == 200


HOSTS = {
    "auth.example": 200,
    "AUTH.example": 200,
    "auth.example:443": 200,
    "evil.example": 421,
    "auth.example.evil.example": 421,
    "evil.example:443": 421,
    "auth.example:443:443": 421,
    "auth.example.": 421,
    "xauth.example": 421,
    "localhost": 421,
    "127.0.0.1": 421,
    "[::1]": 421,
    "": 421,
    "auth.example@evil.example": 421,
    "äuth.example": 421,
}


@pytest.mark.parametrize(("host", "status"), HOSTS.items(), ids=HOSTS)
async def test_only_our_host_is_served(public: App, host: str, status: int) -> None:
    """ATK-90."""
    for path in (DOCUMENT, "/nowhere"):
        url = f"https://auth.example{path}"
        answer = await get(public, url, OUTSIDE, (b"host", host.encode()))
        if status == 421:
            assert_refused(answer, "invalid_request", 421)
        else:
            assert answer.status_code == {DOCUMENT: 200, "/nowhere": 404}[path]


async def test_headers_that_name_another_host_change_nothing(
    public: App, make_client: MakeClient
) -> None:
    """ATK-90, ATK-91, ATK-94: issuer and links are the configuration's, byte for byte."""
    plain = await get(public, f"https://auth.example{DOCUMENT}", OUTSIDE)
    names = ("x-forwarded-host", "x-forwarded-port", "x-forwarded-prefix", "x-original-url")
    headers = [(name, "evil.example") for name in (*names, "x-rewrite-url", "x-host", "origin")]
    headers += [("forwarded", "host=evil.example;proto=http"), ("cookie", "a=evil.example")]
    for peer in (OUTSIDE, PROXY):
        answer = await get(public, f"https://auth.example{DOCUMENT}?x=evil", peer, *headers)
        assert answer.content == plain.content
        assert "evil" not in str(answer.headers)
    assert plain.json()["token_endpoint"] == "https://auth.example/token"
    client = await make_client()
    async with http_to(public, client=OUTSIDE) as http:
        answer = await http.post("/token", data=GRANT, auth=client.auth, headers=headers)
    assert answer.status_code == 200


async def test_hosts_that_the_operator_allows(app: App) -> None:
    """ATK-90: names inside a cluster; an issuer's port belongs to its name."""
    pod = at(app, "https://auth.example:8443", allowed_hosts=("watchword", "Watchword.AUTH.svc"))
    for host, status in {
        "auth.example:8443": 200,
        "auth.example": 421,
        "auth.example:443": 421,
        "watchword": 200,
        "watchword:8000": 200,
        "watchword.auth.svc:8000": 200,
        "other": 421,
    }.items():
        url = f"https://auth.example{DOCUMENT}"
        answer = await get(pod, url, OUTSIDE, ("host", host))
        assert (host, answer.status_code) == (host, status)
    anyone = at(app, "https://auth.example", allowed_hosts=("*",))
    assert (await get(anyone, f"https://any.example{DOCUMENT}", OUTSIDE)).status_code == 200


async def test_an_issuer_with_a_path_has_everything_under_it(
    app: App, make_client: MakeClient
) -> None:
    """ATK-94: and nothing beside it but the probes and RFC 8414's document."""
    pod, client = at(app, "https://example.com/auth"), await make_client()
    async with http_to(pod, client=OUTSIDE) as http:
        url = "https://example.com"
        answer = await http.post(f"{url}/auth/token", data=GRANT, auth=client.auth)
        assert answer.status_code == 200
        answer = await http.post(f"{url}/token", data=GRANT, auth=client.auth)
        assert answer.status_code == 404
        for path in ("/auth/.well-known/jwks.json", f"{DOCUMENT}/auth", "/healthz"):
            assert (await http.get(url + path)).status_code == 200


def identified(peer: str | None, *headers: tuple[bytes, bytes]) -> Request:
    scope = {"headers": list(headers), "client": peer and (peer, 1)}
    return identify(scope, PROXIES)  # pyright: ignore[reportArgumentType]


CHAINS = {
    "no header": ([], "10.1.2.3"),
    "one hop": ([b"192.0.2.1"], "192.0.2.1"),
    "proxies on the right": ([b"192.0.2.1, 10.2.2.2,10.3.3.3"], "192.0.2.1"),
    "spoofed on the left": ([b"198.51.100.1, 192.0.2.1"], "192.0.2.1"),
    "50 spoofed": ([b",".join([b"198.51.100.1"] * 50) + b",192.0.2.1"], "192.0.2.1"),
    "spoofed proxies on the left": ([b"10.9.9.9, 192.0.2.1"], "192.0.2.1"),
    "several headers": ([b"198.51.100.1", b"192.0.2.1", b"10.2.2.2"], "192.0.2.1"),
    "proxies alone": ([b"10.9.9.9, 10.2.2.2"], "10.9.9.9"),
    "nonsense": ([b"unknown"], "10.1.2.3"),
    "nonsense before a proxy": ([b"192.0.2.1, _hidden, 10.2.2.2"], "10.2.2.2"),
    "empty": ([b""], "10.1.2.3"),
    "high bytes": ([b"\xff\xfe"], "10.1.2.3"),
    "line break": ([b"192.0.2.1\r\nX: y"], "10.1.2.3"),
    "IPv6": ([b"2001:DB8:1::1"], "2001:db8:1::1"),
    "IPv6 through an IPv6 proxy": ([b"2001:db8:1::1, 2001:db8:f:1::2"], "2001:db8:1::1"),
    "IPv4 in IPv6": ([b"::ffff:192.0.2.1, ::ffff:10.2.2.2"], "192.0.2.1"),
}


@pytest.mark.parametrize(("values", "address"), CHAINS.values(), ids=CHAINS)
def test_the_rightmost_address_that_is_no_proxys(values: list[bytes], address: str) -> None:
    """ATK-92; ATK-91: a stranger's header is never read."""
    headers = [(b"x-forwarded-for", value) for value in values]
    assert identified("10.1.2.3", *headers).address == address
    assert identified("::ffff:10.1.2.3", *headers).address == address
    assert identified("203.0.113.7", *headers).address == "203.0.113.7"


def test_a_hop_beyond_the_last_fifty_is_not_read() -> None:
    """ATK-92, ATK-100: so that a long header costs little."""
    hops = b",".join([b"192.0.2.1", *[b"10.9.9.9"] * 50])
    assert identified("10.1.2.3", (b"x-forwarded-for", hops)).address == "10.9.9.9"


@pytest.mark.parametrize(
    ("peer", "subject"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("not an address", "0.0.0.0"),  # noqa: S104 (not a listener)
    ],
)
def test_failures_are_counted_under(peer: str, subject: str) -> None:
    """TOK-17: an IPv6 host commands its whole /64."""
    assert identified(peer).limit_address == subject


def test_a_peer_without_an_address_is_local() -> None:
    """A Unix socket, say: as trusted as loopback, which these proxies are not."""
    assert not identified(None).trusted_peer


@pytest.mark.parametrize("path", sorted(ENDPOINTS))
async def test_every_answer_has_the_common_headers(http: httpx.AsyncClient, path: str) -> None:
    """ATK-94: also refusals."""
    for answer in (await http.get(path), await http.post(path), await http.get(f"{path}/x.css")):
        assert answer.headers.get_list("x-content-type-options") == ["nosniff"]
        assert answer.headers.get_list("referrer-policy") == ["no-referrer"]
        assert answer.headers.get_list("strict-transport-security") == ["max-age=31536000"]
        assert len(answer.headers.get_list("x-request-id")) == 1
        assert "server" not in answer.headers


@pytest.mark.parametrize(
    ("method", "path", "status", "error"),
    [
        ("GET", "/", 404, "not_found"),
        ("POST", "/nowhere", 404, "not_found"),
        ("GET", "/token/x.css", 404, "not_found"),
        ("POST", "/token;.js", 404, "not_found"),
        ("GET", "/docs", 404, "not_found"),
        ("GET", "/schema/openapi.json", 404, "not_found"),
        ("POST", DOCUMENT, 405, "method_not_allowed"),
        ("DELETE", "/.well-known/jwks.json", 405, "method_not_allowed"),
        ("POST", "/metrics", 405, "method_not_allowed"),
    ],
)
async def test_nothing_there_is_said_in_json(
    http: httpx.AsyncClient, method: str, path: str, status: int, error: str
) -> None:
    """ATK-94, LIB-12: and is not stored."""
    answer = await http.request(method, path)
    assert (answer.status_code, answer.json()["error"]) == (status, error)
    assert set(answer.json()) == {"error", "error_description"}
    assert answer.headers.get_list("content-type") == ["application/json"]
    assert answer.headers.get_list("cache-control") == ["no-store"]
    assert ("allow" in answer.headers) == (status == 405)
