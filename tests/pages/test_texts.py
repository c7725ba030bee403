"""All texts are in one file, all of it is used, and a foreign text stays what it is."""

import re
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from markupsafe import Markup

from service.pages.texts import Texts, short, visible
from service.pages.times import age, duration
from service.pages.views import Fault, Notice, SignInProblem, Trouble

ROOM = Path(__file__).parents[2] / "service/pages"
TEMPLATES = {path.name: path.read_text() for path in (ROOM / "templates").glob("*.html")}
# What code puts together, with what it puts in.
BUILT = {
    "page.": ("privacy", "terms", "help"),
    "notice.": tuple(Notice),
    "sign_in.problem.": tuple(SignInProblem),
    "field.": (
        "login",
        "username",
        "email",
        "full_name",
        "password",
        "current_password",
        "new_password",
    ),
    "account.": tuple(
        f"{section}.{part}"
        for section in ("profile", "names", "password", "sessions", "consents")
        for part in ("heading", "lead")
    ),
    "error.": tuple(f"{trouble}.{part}" for trouble in Trouble for part in ("title", "what", "do")),
    "fault.": tuple(fault for fault in Fault if fault is not Fault.UNFIT),
    "fault.unfit.": (
        *("username", "email", "full_name", "password", "current_password", "new_password"),
    ),
    "scope.": ("openid", "profile", "email", "offline_access", "watchword:admin"),
    "month.": tuple(map(str, range(1, 13))),
}
NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)


@pytest.fixture(scope="module")
def texts() -> Texts:
    return Texts()


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_has_no_words_of_its_own(name: str) -> None:
    source = re.sub(r"\{#.*?#\}|\{%.*?%\}", "", TEMPLATES[name], flags=re.DOTALL)
    source = re.sub(r"<script.*?</script>", "", source, flags=re.DOTALL)
    shown = re.sub(r"<[^>]*>", " ", re.sub(r"\{\{.*?\}\}", "", source, flags=re.DOTALL))
    assert re.findall(r"\w+", shown) == []
    spoken = re.findall(r'\b(?:title|alt|aria-label|placeholder|content)="([^"{]+)"', source)
    assert set(spoken) <= {"width=device-width, initial-scale=1", "light dark", "noindex"}


def test_every_text_is_used_and_every_text_used_is_there(texts: Texts) -> None:
    code = "".join(path.read_text() for path in ROOM.glob("*.py"))
    everything = "".join(TEMPLATES.values()) + code
    literal = {key for key in texts.keys if re.search(rf"['\"]{re.escape(key)}['\"]", everything)}
    built = {prefix + name for prefix, names in BUILT.items() for name in names}
    counted = {
        f"{unit}.{form}"
        for unit in ("age.minute", "age.hour", "age.day", "duration.second", "duration.minute")
        for form in ("one", "other")
    }
    ended = {key for key in texts.keys if key.startswith("ended.")}
    assert built | counted <= texts.keys
    assert texts.keys - literal - built - counted - ended == set()
    called = set(re.findall(r"\bt(?:\.plain)?\('([\w.]+)'[,)]", "".join(TEMPLATES.values())))
    assert called <= texts.keys


def test_every_reason_of_the_api_has_its_words(texts: Texts) -> None:
    page = (ROOM.parents[1] / "docs/reference/http-api.md").read_text()
    table = page.partition("| `ended_because` | |")[2].partition("\n\n")[0]
    reasons = {
        word
        for row in table.splitlines()
        for word in re.findall(r"`(\w+)`", row.split("|")[1] if "|" in row else "")
    }
    assert len(reasons) == 20
    assert {key for key in texts.keys if key.startswith("ended.")} == {
        f"ended.{reason}" for reason in (*reasons, "unknown")
    }


def test_no_text_has_markup_or_a_nameless_place() -> None:
    source = tomllib.loads((ROOM / "en.toml").read_text())
    texts = str(source)
    assert "<" not in texts
    assert re.findall(r"\{\W|\{\d", texts.replace("{'", "")) == []


def test_a_value_is_escaped_and_isolated(texts: Texts) -> None:
    said = texts("sign_in.to_continue", application="<b>&\u202ex")
    assert said == "to continue to <bdi>&lt;b&gt;&amp;x</bdi>"
    plain = texts.plain("sign_in.to_continue", application='"<b>')
    assert plain == "to continue to \u2068&#34;&lt;b&gt;\u2069"
    assert texts("account.consents.given", age=Markup("<i>x</i>")) == "Allowed <i>x</i>"


def test_a_text_without_its_value_or_its_key_is_no_text(texts: Texts) -> None:
    for key in ("sign_in.to_continue", "no.such.key"):
        with pytest.raises(KeyError):
            texts(key)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\u202eb\u2066c\u200f\u061c", "abc"),
        ("a\nb\u2028c\x00", "a b c"),
        ("\ud800x\ufeff\u00ad\U000e0041", "x"),
        ("नमस्ते", "नमस्ते"),
        ("👩\u200d🚀 x\u200cy", "👩\u200d🚀 x\u200cy"),
        ("e" + "\u0301" * 9 + "e\u0301", "e" + "\u0301" * 4 + "e\u0301"),
    ],
)
def test_only_what_can_be_seen_is_shown(text: str, shown: str) -> None:
    """ATK-74."""
    assert visible(text) == shown


def test_a_long_name_is_cut() -> None:
    assert short("x" * 64) == "x" * 64
    assert short("x" * 65) == "x" * 63 + "…"


@pytest.mark.parametrize(
    ("passed", "said"),
    [
        (timedelta(seconds=-5), "just now"),
        (timedelta(seconds=59), "just now"),
        (timedelta(seconds=60), "1 minute ago"),
        (timedelta(minutes=59, seconds=59), "59 minutes ago"),
        (timedelta(hours=1), "1 hour ago"),
        (timedelta(hours=23), "23 hours ago"),
        (timedelta(days=1), "1 day ago"),
        (timedelta(days=6, hours=23), "6 days ago"),
        (timedelta(days=7), "14 Nov 2026"),
    ],
)
def test_ages(texts: Texts, passed: timedelta, said: str) -> None:
    assert re.sub(r"<.*?>", "", age(texts, NOW - passed, NOW)) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "1 second"),
        (0.2, "1 second"),
        (1.2, "2 seconds"),
        (119, "119 seconds"),
        (120, "2 minutes"),
        (121, "3 minutes"),
    ],
)
def test_waits_are_rounded_up(texts: Texts, seconds: float, said: str) -> None:
    assert duration(texts, timedelta(seconds=seconds)) == said
