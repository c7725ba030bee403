"""Resource indicators: RFC 8707 §2."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.oauth.errors import InvalidTarget
from service.oauth.resource import choose_audience

AUDIENCES = ("https://orders.example", "urn:example:stock", "billing", "https://a.example/#x")


def test_without_a_resource_the_first_audience_is_chosen() -> None:
    """AT-3."""
    assert choose_audience((), AUDIENCES) == "https://orders.example"
    assert choose_audience((), ("billing",)) == "billing"
    with pytest.raises(InvalidTarget):
        choose_audience((), ())


@pytest.mark.parametrize("resource", AUDIENCES[:2])
def test_an_allowed_resource_is_chosen(resource: str) -> None:
    """RES-1."""
    assert choose_audience((resource,), AUDIENCES) == resource


@pytest.mark.parametrize(
    "resource",
    [
        "https://other.example",
        "https://orders.example/",
        "https://ORDERS.example",
        "https://orders.exampl",
        "https://orders.example\n",
        "https://a.example/#x",
        "billing",
        "//orders.example",
        "",
    ],
)
def test_another_resource_is_refused(resource: str) -> None:
    """RES-1: also one that is allowed and has a fragment, or is no absolute URI."""
    with pytest.raises(InvalidTarget):
        choose_audience((resource,), AUDIENCES)


@pytest.mark.parametrize("resources", [AUDIENCES[:2], (AUDIENCES[0],) * 2])
def test_two_resources_are_refused(resources: tuple[str, ...]) -> None:
    """RES-1: one resource per access token."""
    with pytest.raises(InvalidTarget):
        choose_audience(resources, AUDIENCES)


@settings(deadline=None)
@given(st.lists(st.text(max_size=20), max_size=3), st.lists(st.text(max_size=20), max_size=3))
def test_the_audience_is_always_one_of_the_clients(
    resources: list[str], audiences: list[str]
) -> None:
    """RES-1: whatever is asked; nothing but InvalidTarget is ever raised."""
    try:
        chosen = choose_audience(tuple(resources), tuple(audiences))
    except InvalidTarget:
        return
    assert chosen in audiences
    assert resources in ([], [chosen])


@pytest.mark.parametrize("sign", list('# "<>\\^`{|}\x7fé\t\0'))
def test_no_sign_that_a_uri_can_not_have(sign: str) -> None:
    """RES-1: RFC 3986 §2; no fragment, also where the client has such an audience."""
    resource = f"https://orders.example/{sign}"
    with pytest.raises(InvalidTarget):
        choose_audience((resource,), (resource,))


@pytest.mark.parametrize("sign", list("!$&'()*+,;=:@/?-._~%[]"))
def test_every_sign_that_a_uri_can_have(sign: str) -> None:
    """RES-1: RFC 3986 §2."""
    resource = f"a+b.c-1:{sign}"
    assert choose_audience((resource,), (resource,)) == resource
