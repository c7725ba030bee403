"""Every page in every state: what its forms send, what it says, and nothing from elsewhere."""

import re

import pytest

from service.pages import views
from service.pages.brand import Brand
from service.pages.render import Pages
from tests.pages.markup import Document
from tests.pages.samples import (
    ANNA,
    BIDI,
    CSRF,
    HANDLE,
    HOSTILE,
    LONG,
    MARKS,
    NONCE,
    NOW,
    PAGES,
    SCRIPT,
    account,
    consent,
    form_post,
    session,
    sign_in,
)

ALL = {**PAGES, **HOSTILE}
HTML = Pages(Brand(privacy="https://example.com/privacy"))
KNOWN_AUTOCOMPLETE = {"username", "current-password", "new-password", "email", "name"}

every_page = pytest.mark.parametrize("name", ALL)


def read(page: object, pages: Pages = HTML) -> Document:
    return Document(pages.render(page))


@every_page
def test_each_page_has_one_heading_one_main_part_and_a_language(name: str) -> None:
    document = read(ALL[name])
    assert document.one("html").attributes == {"lang": "en", "dir": "ltr"}
    assert document.one("h1").inside("main") is document.one("main")
    assert document.one("title").text.endswith(" · \u2068Watchword\u2069")
    ids = [each.attributes["id"] for each in document.elements if "id" in each.attributes]
    assert len(set(ids)) == len(ids)


@every_page
def test_nothing_is_inline_and_nothing_comes_from_elsewhere(name: str) -> None:
    """AUTHZ-16: the pages keep to a policy without 'unsafe-inline' and without other hosts."""
    document = read(ALL[name])
    for element in document.elements:
        assert element.tag not in {"style", "iframe", "object", "base", "embed", "template"}
        assert not [each for each in element.attributes if each == "style" or each[:2] == "on"]
        for loaded in ("src", "srcset", "background", "poster"):
            assert element.attributes.get(loaded, HTML.logo.path) == HTML.logo.path
    assert {each.attributes["href"] for each in document.all("link")} == {
        HTML.style.path,
        HTML.logo.path,
    }
    scripts = [each.attributes for each in document.all("script")]
    assert scripts == ([{"nonce": NONCE}] if "form_post" in name else [])


@every_page
def test_every_form_is_posted_with_its_token_and_its_request(name: str) -> None:
    """LOGIN-4 and AUTHZ-17; but for what goes to the client, which must have neither."""
    page, document = ALL[name], read(ALL[name])
    for form in document.all("form"):
        assert form.attributes["method"] == "post"
        inputs = [each for each in document.all("input") if each.inside("form") is form]
        sent = {
            each.attributes["name"]: each.attributes["value"]
            for each in inputs
            if each.attributes["type"] == "hidden"
        }
        if isinstance(page, views.FormPost):
            assert CSRF not in sent.values()
        elif isinstance(page, views.Account):
            assert sent == {"csrf": CSRF}
            assert form.attributes["action"].startswith("/")
        elif isinstance(page, views.Consent):
            shown = " ".join(scope.value for scope in page.scopes)
            assert sent == {"csrf": CSRF, "request": HANDLE, "scope": shown}
            assert form.attributes["action"].startswith("/")
        else:
            assert sent == {"csrf": CSRF, "request": HANDLE}
            assert form.attributes["action"].startswith("/")


@every_page
def test_every_input_has_a_label_an_autocomplete_and_its_descriptions(name: str) -> None:
    document = read(ALL[name])
    ids = {each.attributes.get("id") for each in document.elements}
    labels = {each.attributes["for"] for each in document.all("label")}
    for element in document.all("input"):
        attributes = element.attributes
        if attributes["type"] == "hidden":
            continue
        assert attributes["autocomplete"] in KNOWN_AUTOCOMPLETE
        if "aria-hidden" not in attributes:
            assert attributes["id"] in labels
        described = set(attributes.get("aria-describedby", "").split())
        assert described <= ids
        if "aria-invalid" in attributes:
            assert f"{attributes['id']}-fault" in described
    for link in document.all("a"):
        target = link.attributes["href"]
        assert not target.startswith("#") or target[1:] in ids


@pytest.mark.parametrize("name", [name for name in HOSTILE if name != "hostile_form_post"])
def test_hostile_texts_are_shown_as_texts_without_what_is_unseen(name: str) -> None:
    """ATK-74: scripts, attributes, templates, overrides of direction, towers of marks."""
    source = HTML.render(HOSTILE[name])
    assert SCRIPT.lower() not in source.lower()
    assert "&lt;script&gt;" in source or "evil.example" in source
    assert not set(BIDI) & {"\u202e", "\u202c"} & set(source)
    assert "\u0335\u0321\u034f" * 2 not in source
    for element in Document(source).elements:
        assert "onfocus" not in element.attributes
    assert LONG not in source


def test_marks_beyond_four_on_a_letter_are_left_out() -> None:
    page = consent(application=views.Application(name="x", host="h.example", owner=MARKS))
    assert len(re.findall("[\u0335\u0321\u034f]", HTML.render(page))) == 4


def test_what_goes_to_the_client_goes_byte_for_byte() -> None:
    """AUTHZ-15: whatever `state` is."""
    state = f"{LONG} \u200b\u0000é"
    document = read(form_post(fields=(("code", "c"), ("state", state))))
    sent = {
        each.attributes["name"]: each.attributes["value"]
        for each in document.all("input")
        if each.inside("form") is not None
    }
    assert sent == {"code": "c", "state": state}
    assert document.one("form").attributes["action"] == "https://notes.example.com/callback"
    assert document.one("button").inside("form") is document.one("form")


@pytest.mark.parametrize("action", ["javascript:alert(1)", "com.example.app:/cb", "data:,x", "//x"])
def test_a_form_goes_to_http_alone(action: str) -> None:
    with pytest.raises(ValueError, match="http"):
        form_post(action=action)


def test_no_page_shows_its_token_in_a_log() -> None:
    assert CSRF not in repr(sign_in()) + repr(account())
    assert HANDLE not in repr(sign_in())
    assert "wwc_8s7" not in repr(form_post())


def test_the_consent_page_says_who_asks_for_what_and_whose_account_it_is() -> None:
    """AUTHZ-17: name, owner, host, each scope in words."""
    document = read(PAGES["consent"])
    said = " ".join(document.one("main").text.split())
    for text in ("Notebook asks for access", "Paper & Pine Ltd", "notes.example.com", "Not you?"):
        assert text in said
    asked = [" ".join(each.text.split()) for each in document.all("li") if each.inside("main")]
    assert asked == [
        "Know that it is you",
        "See your name and username",
        "See your e-mail address",
        "Keep this access while you are away",
        "Use orders:read",
    ]
    buttons = [
        (each.attributes["name"], each.attributes["value"]) for each in document.all("button")
    ]
    assert buttons == [("decision", "switch"), ("decision", "deny"), ("decision", "allow")]


def test_a_client_on_a_device_is_not_said_to_be_of_a_host() -> None:
    """AUTHZ-17, RFC 8252 §8.6: and the page warns."""
    said = read(PAGES["consent_on_device"]).one("main").text
    assert "127.0.0.1" not in said
    assert "can't prove who it is" in said


def test_a_scope_is_described_by_its_resource_server_but_standard_ones_by_us() -> None:
    scopes = (
        views.AskedScope(value="email", description="Nothing at all"),
        views.AskedScope(value="orders", description="See your orders"),
        views.AskedScope(value="unknown"),
    )
    document = read(consent(scopes=scopes))
    asked = [" ".join(each.text.split()) for each in document.all("li") if each.inside("main")]
    assert asked == ["See your e-mail address", "See your orders", "Use unknown"]


def test_signing_in_again_is_for_the_same_person() -> None:
    document = read(PAGES["sign_in_again"])
    (name,) = [each for each in document.all("input") if each.attributes["name"] == "username"]
    assert name.attributes["value"] == ANNA.username
    assert "readonly" in name.attributes
    assert "Use another account" in document.one("main").text


def test_the_link_to_registration_is_there_when_it_is_open_and_keeps_the_request() -> None:
    links = [each.attributes["href"] for each in read(PAGES["sign_in"]).all("a")]
    assert f"/register?request={HANDLE}" in links
    assert "/register" not in HTML.render(sign_in())


def test_a_fault_comes_first_and_leads_to_its_field() -> None:
    document = read(PAGES["register_faults"])
    form = document.one("form")
    inside = [each for each in document.elements if form in each.parents]
    assert inside[0].attributes == {
        "class": "alert",
        "role": "alert",
        "tabindex": "-1",
        "autofocus": "",
    }
    leads = [each.attributes["href"] for each in document.all("a") if form in each.parents]
    assert leads == ["#email", "#username", "#password"]
    focused = [each.tag for each in document.elements if "autofocus" in each.attributes]
    assert focused == ["div"]


def test_the_account_shows_sessions_the_current_one_first_and_why_others_ended() -> None:
    document = read(PAGES["account"])
    lines = [" ".join(each.text.split()) for each in document.all("li") if each.inside("section")]
    assert lines[0].startswith("Safari on macOS This one Notebook · used just now End the session")
    assert lines[1].startswith("Firefox on Linux Notebook · used 27 minutes ago End")
    assert lines[4] == (
        "Unknown device Notebook · its token was used twice, so it may have been stolen"
        " · 40 minutes ago"
    )
    assert lines[5] == "Edge on Windows Notebook · all sessions of the application were ended"
    values = [
        each.attributes["value"] for each in document.all("button") if "name" in each.attributes
    ]
    assert values == [
        "sign_out",
        *(each.id for each in PAGES["account"].living),
        "all",
        "notes",
        "cli",
    ]


def test_a_hundred_sessions_are_there_and_all_but_five_folded() -> None:
    document = read(account(sessions=tuple(session(n, "curl") for n in range(100))))
    ends = [each for each in document.all("button") if each.attributes.get("name") == "session"]
    assert len(ends) == 101
    assert len([each for each in ends if each.inside("details") is None]) == 6


def test_what_was_typed_comes_back_but_no_password() -> None:
    document = read(PAGES["account_faults"])
    values = {
        each.attributes.get("id"): each.attributes.get("value") for each in document.all("input")
    }
    assert values["names-username"] == "a b"
    assert values["names-email"] == ANNA.email
    assert values["names-current_password"] is None


def test_an_error_says_what_to_do_and_its_request() -> None:
    page = views.ErrorPage(trouble=views.Trouble.BAD_REDIRECT, request_id="r-1", detail="why")
    said = " ".join(read(page).one("main").text.split())
    assert "tell the application's makers. For developers why Request r-1" in said


def test_all_paths_are_below_the_issuers() -> None:
    pages = Pages(Brand(), base_path="/auth")
    for page in ALL.values():
        for element in read(page, pages).elements:
            for name in ("href", "src", "action"):
                value = element.attributes.get(name, "/auth")
                assert value.startswith(("/auth", "#", "https://")), value


def test_the_times_of_a_page_can_be_read_by_machines_too() -> None:
    times = {each.attributes["datetime"] for each in read(PAGES["account"]).all("time")}
    assert NOW.strftime("%Y-%m-%dT%H:%M:%SZ") in times
