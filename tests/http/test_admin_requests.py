"""What may stand in a query and in a body under /admin. ATK-97, ATK-99, ATK-100."""

import json
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.app import App
from service.http.admin_endpoints import ADMIN_ACTIONS
from tests.http.administrators import (
    UNKNOWN_ID,
    Administrator,
    assert_admin_refusal,
    make_administrator,
)

FILTERS = {
    "clients": ["enabled", "type", "first_party", "administrator"],
    "users": ["username", "email", "role", "disabled", "administrator"],
    "sessions": ["user_id", "client_id", "living"],
    "revocations": ["kind", "subject"],
    "audit": ["event", "client_id", "user_id", "session_id", "since", "until"],
}
EACH_FILTER = [
    (path, name) for path, names in FILTERS.items() for name in (*names, "limit", "after")
]
TEXTS = {"username", "email", "role", "client_id", "subject", "event"}
ATTACKS = [
    *(
        "'",
        "' OR 1=1--",
        "'; DROP TABLE users;--",
        '"',
        "\\",
        "%",
        "_",
        "$1",
        "{x}",
        "NULL",
        "null",
    ),
    *("\u202e", "\N{SNOWMAN}", "\U0010ffff", "-1", "0", "1e9", "9" * 30, "1.0", " 1", "1 ", "+1"),
    *("٣", "TRUE", "yes", "[]", "a" * 3000, "../x", "\r\nx: y", "2026-13-01T00:00:00Z"),
    *("2026-01-01", "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", "infinity", "now"),
    "2026-01-01T00:00:60Z",
]
CHANGES = [
    (method, path.removeprefix("/admin/").replace("{id}", UNKNOWN_ID))
    for path, actions in ADMIN_ACTIONS.items()
    for method in actions
    if method != "GET"
]


@pytest.fixture(scope="module")
async def administrator(app: App, http: httpx.AsyncClient) -> Administrator:
    return await make_administrator(app, http)


@pytest.mark.parametrize(("path", "name"), EACH_FILTER)
async def test_whatever_a_filter_is_asked_for_nothing_breaks(
    administrator: Administrator, path: str, name: str
) -> None:
    """ATK-97, ATK-99: an empty answer or a fault of that parameter."""
    for text in ATTACKS:
        answer = await administrator.get(path, **{name: text})
        if name in TEXTS:
            assert answer.status_code == 200, (name, text)
            (found,) = answer.json().values()
            assert found == []
        elif answer.status_code != 200:
            assert_admin_refusal(answer, "invalid_request", 400, fields={name})
    answer = await administrator.ask("GET", f"{path}?{name}=a%00b")
    assert_admin_refusal(answer, "invalid_request", 400)
    for raw in ("%ff", "%", "%zz", "%ed%a0%80"):
        answer = await administrator.ask("GET", f"{path}?{name}={raw}")
        assert_admin_refusal(answer, "invalid_request", 400)
    answer = await administrator.ask("GET", f"{path}?{name}=1&{name}=1")
    assert_admin_refusal(answer, "invalid_request", 400, fields={name})


@pytest.mark.parametrize("path", FILTERS)
async def test_a_page_has_up_to_200(administrator: Administrator, path: str) -> None:
    """And what is none of its parameters is refused by its name."""
    for limit in (1, 50, 200):
        assert (await administrator.get(path, limit=limit)).status_code == 200
    for limit in ("0", "201", "-1", "1.0", "x", "00001", "٣"):
        answer = await administrator.get(path, limit=limit)
        assert_admin_refusal(answer, "invalid_request", 400, fields={"limit"})
    for after in ("'", "x y", "-1", "1" * 65):
        answer = await administrator.get(path, after=after)
        assert_admin_refusal(answer, "invalid_request", 400, fields={"after"})
    answer = await administrator.get(path, limits="1", order="id")
    assert_admin_refusal(answer, "invalid_request", 400, fields={"limits", "order"})
    answer = await administrator.get(path, **{"a'b": "1"})
    assert_admin_refusal(answer, "invalid_request", 400, fields={"(a member)"})
    assert (await administrator.ask("GET", f"{path}?limit=&after=")).status_code == 200


@pytest.mark.parametrize(
    ("path", "bad"),
    [
        ("clients?enabled=1", {"enabled"}),
        ("clients?type=machine&first_party=no", {"type", "first_party"}),
        ("users?disabled=True", {"disabled"}),
        (f"sessions?user_id={UNKNOWN_ID.upper()}", {"user_id"}),
        ("sessions?user_id=anna&living=2", {"user_id", "living"}),
        ("revocations?kind=session", {"kind"}),
        ("audit?since=yesterday&until=2026-01-01T00:00:00", {"since", "until"}),
        ("audit?user_id=1&session_id=2", {"user_id", "session_id"}),
        ("keys?limit=1", {"limit"}),
        (f"users/{UNKNOWN_ID}?x=1", {"x"}),
        (f"sessions/{UNKNOWN_ID}?x=1", {"x"}),
        ("clients/unknown-client?x=1", {"x"}),
        ("keys/unknown?x=1", {"x"}),
    ],
)
async def test_a_bad_parameter_is_named(
    administrator: Administrator, path: str, bad: set[str]
) -> None:
    answer = await administrator.ask("GET", path)
    assert_admin_refusal(answer, "invalid_request", 400, fields=bad)


@pytest.mark.parametrize(("method", "path"), CHANGES)
async def test_a_body_is_json_and_nothing_is_read_from_the_query(
    administrator: Administrator, method: str, path: str
) -> None:
    """ATK-105: what a form of another page can send is no JSON."""
    for content_type in (
        *("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"),
        *("application/json, text/plain", "application/json; charset=latin-1", None, ""),
    ):
        answer = await administrator.ask(method, path, content=b"{}", content_type=content_type)
        assert_admin_refusal(answer, "invalid_request", 415)
    for content in (b"[]", b"{", b"1", b'{"a":1,"a":2}', b'{"a":NaN}', b"\xff", b'{"a":' * 9):
        answer = await administrator.ask(method, path, content=content)
        assert_admin_refusal(answer, "invalid_request", 400)
    answer = await administrator.ask(method, path, content=b"{}", content_encoding="gzip")
    assert_admin_refusal(answer, "invalid_request", 400)
    answer = await administrator.ask(method, path, content=b" " * 70_000)
    assert_admin_refusal(answer, "invalid_request", 413)
    answer = await administrator.ask(method, path, params={"id": "x"})
    assert_admin_refusal(answer, "invalid_request", 400, fields={"id"})


@pytest.mark.parametrize(("method", "path"), CHANGES)
async def test_a_member_that_is_not_known_is_refused(
    administrator: Administrator, method: str, path: str
) -> None:
    """What would be ignored was meant for something."""
    if "/clients/" in f"/{path}":
        path = path.replace(UNKNOWN_ID, administrator.client.id)
    answer = await administrator.ask(method, path, {"surprise": 1})
    assert answer.status_code == 400
    assert "surprise" in answer.json()["fields"]
    assert (await administrator.get("clients")).status_code == 200


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
MEMBERS = st.dictionaries(
    st.sampled_from(
        [
            *("id", "name", "type", "audiences", "scopes", "grace", "first_party", "administrator"),
            *("username", "email", "full_name", "avatar_url", "roles", "password", "token", "on"),
            *("purpose", "private_key", "wait", "now", "overlap_hours", "session_idle_ttl"),
        ]
    ),
    JSON,
)


@pytest.mark.parametrize(("method", "path"), [each for each in CHANGES if each[1] != "keys/rotate"])
@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(members=MEMBERS)
async def test_no_body_makes_it_fail(
    administrator: Administrator, method: str, path: str, members: dict[str, Any]
) -> None:
    """ATK-97: 4xx or done, never a 500."""
    answer = await administrator.ask(method, path, content=json.dumps(members).encode())
    assert answer.status_code < 500, answer.text
