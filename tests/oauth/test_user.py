"""Users: what one may be called, and what is refused why. ATK-99."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.oauth.user import (
    MAX_ROLES,
    Profile,
    email_fault,
    name_fault,
    roles_fault,
    url_fault,
    username_fault,
)


@pytest.mark.parametrize("text", ["abc", "anna.ek", "a_b-c.d", "0x7", "___", "a" * 32])
def test_a_username_is_3_to_32_plain_characters(text: str) -> None:
    assert username_fault(text) is None


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "ab",
            "a" * 33,
            "Anna",
            "an na",
            "anna@example.com",
            "änna",
            "анна",
            "anna\n",
            "an\0na",
        ),
        *("\nanna", "anna/", "an+na", "ａｎｎａ", "ann\u0430", "\u202eanna", "anna\ud800"),  # noqa: RUF001 (look-alikes)
    ],
    ids=ascii,
)
def test_anything_else_is_no_username(text: str) -> None:
    """ATK-99: no look-alike, and never what could be taken for an address."""
    assert username_fault(text) == "3 to 32 of a-z 0-9 . _ -"


@pytest.mark.parametrize(
    "text",
    [
        *("anna@example.com", "ANNA@EXAMPLE.COM", "a@b.co", "anna+shop@mail.example.com"),
        *("o'hara@example.ie", "a.b.c@x-y.example", "1@1.example", "anna@xn--bcher-kva.example"),
        "a" * 64 + "@" + ".".join(["b" * 61] * 3) + ".cc",
    ],
    ids=lambda text: text[:30],
)
def test_an_address_is_what_mail_goes_to(text: str) -> None:
    """RFC 5321 §4.5.3.1: up to 64 before the sign, 254 in all."""
    assert email_fault(text) is None


@pytest.mark.parametrize(
    "text",
    [
        *("", "anna", "@", "anna@", "@example.com", "anna@example", "anna@localhost", "a@b@c.de"),
        *(
            "a b@example.com",
            " a@example.com",
            "a@example.com ",
            "a@example.com\n",
            "a@exa mple.com",
        ),
        *(".a@example.com", "a.@example.com", "a..b@example.com", "a@.com", "a@b..com", "a@b.com."),
        *(
            '"a b"@example.com',
            "a@[127.0.0.1]",
            "a@127.0.0.1",
            "a@example.1com",
            "a@example.com,b@c.de",
        ),
        *("ä@example.com", "a@bücher.example", "a\0@example.com", "a@example.com\r\nBcc: b@c.de"),
        *(
            "a(x)@example.com",
            "a<b>@example.com",
            "a;b@example.com",
            "a@ex_ample.com",
            "\u202ea@b.cd",
        ),
        *(
            "a" * 65 + "@example.com",
            "a@" + "b" * 64 + ".com",
            "a@" + ".".join(["b" * 60] * 5) + ".com",
        ),
    ],
    ids=lambda text: f"{text!a:.30}",
)
def test_anything_else_is_no_address(text: str) -> None:
    """ATK-95, ATK-99: no header can be smuggled into a mail by it."""
    assert email_fault(text) == "an e-mail address such as anna@example.com"


@pytest.mark.parametrize(
    "text",
    ["A", "Anna Ek", "Ñandú O'Hara-Lee", "李小龍", "محمد", "ไทย", "x" * 200, "Dr. 🦊", "-", "0"],
)
def test_a_name_is_what_can_be_printed(text: str) -> None:
    assert name_fault(text) is None


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            " ",
            " Anna",
            "Anna ",
            "\u3000Anna",
            "An\0na",
            "An\nna",
            "An\tna",
            "An\x7fna",
            "An\x85na",
        ),
        *(
            "An\u202ena",
            "An\u2066na",
            "An\u200bna",
            "An\u200fna",
            "\ufeffAnna",
            "An\u2028na",
            "\ud800",
        ),
        *("An\ue000na", "An\uffffna", "An\u00a0na", "x" * 201),
    ],
    ids=ascii,
)
def test_what_turns_or_hides_text_is_no_name(text: str) -> None:
    """ATK-99: overrides, zero widths, line ends, halves of a pair, private use."""
    assert name_fault(text) == "1 to 200 printable characters, without spaces around them"


@pytest.mark.parametrize(
    "text",
    [
        *(
            "https://a.example",
            "https://a.example/x.png?size=64&v=2#top",
            "https://a.example:8443/x",
        ),
        *("https://[2001:db8::1]/x", "HTTPS://A.EXAMPLE/x", "https://a.example/%20x"),
        "https://a.example/" + "x" * 1982,
    ],
    ids=lambda text: text[:30],
)
def test_a_picture_is_at_an_https_url(text: str) -> None:
    assert url_fault(text) is None


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "x",
            "//a.example/x",
            "http://a.example/x",
            "javascript:alert(1)",
            "data:image/png,x",
        ),
        *("https:", "https://", "https:///x", "https:a.example", "https://?x", "https://:443/x"),
        *("https://a@b.example/x", "https://a:b@c.example/x", "https://a.example\\@evil.example/"),
        *(
            "https://a.example/ x",
            "https://a.example/\n",
            "https://a.example/\0",
            "https://ä.example/",
        ),
        *('https://a.example/"onload="x', "https://a.example/<x>", "https://a.example/`x`"),
        *(
            "https://a.example:x/",
            "https://a.example:0/",
            "https://a.example:65536/",
            "https://[::1/",
        ),
        *("https://[x]/", " https://a.example/", "https://a.example/\u202ex", "\ud800"),
        "https://a.example/" + "x" * 1983,
    ],
    ids=lambda text: f"{text!a:.30}",
)
def test_anything_else_is_no_picture(text: str) -> None:
    """ATK-74, ATK-99: it will stand in pages as the source of an image."""
    assert url_fault(text) == "an https URL of at most 2000 characters"


@pytest.mark.parametrize(
    "roles", [(), ("admin",), ("orders:read", "https://example.com/role", "!#[]~"), ("x" * 64,)]
)
def test_roles_are_words_of_a_token(roles: tuple[str, ...]) -> None:
    """RFC 9068 §2.2.3.1."""
    assert roles_fault(roles) is None
    assert roles_fault(("r",) * MAX_ROLES) is None


@pytest.mark.parametrize(
    "roles",
    [("",), ("a b",), ('a"',), ("a\\",), ("ä",), ("a\n",), ("x" * 65,), ("r",) * 33],
    ids=str,
)
def test_anything_else_is_no_role(roles: tuple[str, ...]) -> None:
    """RFC 9068 §2.2.3.1."""
    assert roles_fault(roles)


def test_a_profile_names_each_member_at_fault_and_no_other() -> None:
    assert Profile().faults() == {}
    good = Profile(username="anna", email="anna@example.com", full_name="Anna", avatar_url=None)
    assert good.faults() == {}
    bad = Profile(username="A", email="a", full_name="", avatar_url="http://a.example")
    assert set(bad.faults()) == {"username", "email", "full_name", "avatar_url"}
    assert set(Profile(username="anna", email="").faults()) == {"email"}


@given(st.text(max_size=300))
def test_no_text_is_a_fault_of_ours(text: str) -> None:
    """ATK-99, ATK-100: a sentence or nothing, for whatever is sent."""
    profile = Profile(username=text, email=text, full_name=text, avatar_url=text)
    faults = profile.faults()
    assert all(faults.values())
    if "full_name" not in faults:
        assert text.isprintable()
    if "avatar_url" not in faults:
        assert text.isascii()
    assert roles_fault((text,)) is None or roles_fault((text,))


@pytest.mark.parametrize("text", ["a." * 40_000 + "@", "a@" + "b." * 40_000, "a@" + "b-" * 40_000])
def test_no_text_takes_long(text: str) -> None:
    """ATK-100: ReDoS; this test would take hours."""
    assert email_fault(text)
    assert url_fault(f"https://{text}")
    assert username_fault(text)
