"""Passwords: one form for all spellings, and which may be set (PW-1, PW-2, PW-3, ATK-77)."""

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from service.oauth import password as rules
from service.oauth.password import UnfitPassword, fold, normalize_password, password_fault

COMMON = frozenset({"password", "iloveyouforever", "trustno1", "monkey", "correcthorsebattery"})
ABOUT = ("jane.roe-92", "j.roe@mail.example", "Jane María Roe")

EMOJI = "".join(map(chr, range(0x1F600, 0x1F640)))
CONTROLS = ["\0", "\t", "\n", "\r", "\x1b", "\x7f", "\x85"]


def fault(password: str) -> str:
    return password_fault(normalize_password(password), common=COMMON, about=ABOUT) or ""


# The form.


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("\u00c5ngstr\u00f6m", "A\u030angstro\u0308m"),  # NFC and NFD
        ("\u212bngstr\u00f6m", "\u00c5ngstr\u00f6m"),  # the sign and the letter
        ("\uff50\uff41\uff53\uff53", "pass"),  # full width
        ("\ufb01sh", "fish"),
        ("\uac00\uac01", "\u1100\u1161\u1100\u1161\u11a8"),  # Hangul, whole and in parts
    ],
)
def test_spellings_that_look_alike_are_one_password(one: str, other: str) -> None:
    """PW-2, ATK-77."""
    assert one != other
    assert normalize_password(one) == normalize_password(other)


def fits(text: str) -> bool:
    try:
        normalize_password(text)
    except UnfitPassword:
        return False
    return True


@given(st.text(max_size=40).filter(fits))
def test_normalizing_twice_changes_nothing(text: str) -> None:
    """PW-2: what was set is what is verified."""
    once = normalize_password(text)
    assert normalize_password(once) == once
    assert once == normalize_password(unicodedata.normalize("NFD", text))


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126)))
def test_printing_ascii_stays_as_it_is(text: str) -> None:
    """PW-2."""
    assert normalize_password(text[:256]) == text[:256]


def test_spaces_stay_at_both_ends() -> None:
    """ATK-77."""
    assert normalize_password("  four words and more ") == "  four words and more "


def test_case_stays() -> None:
    assert normalize_password("StraßE") == "StraßE"


def test_64_emoji_are_64_characters_and_may_be_set() -> None:
    """PW-1, ATK-77."""
    assert normalize_password(EMOJI) == EMOJI
    assert len(EMOJI) == 64
    assert fault(EMOJI) == ""


@pytest.mark.parametrize("text", ["a" * 256, "\U0001f600" * 256])
def test_256_characters_fit(text: str) -> None:
    """PW-1: the whole of it, in UTF-8 at most 1024 bytes."""
    assert normalize_password(text) == text
    assert len(text.encode()) <= 1024


@pytest.mark.parametrize("text", ["a" * 257, "\U0001f600" * 257, "a" * 2**20])
def test_more_than_256_characters_are_refused_before_any_work(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PW-1, ATK-77."""
    monkeypatch.setattr(rules, "unicodedata", None)
    with pytest.raises(UnfitPassword, match="at most 256"):
        normalize_password(text)


def test_what_grows_beyond_the_limit_is_refused() -> None:
    """PW-2: U+FDFA becomes 18 characters."""
    assert len(normalize_password("\ufdfa" * 14)) == 252
    with pytest.raises(UnfitPassword, match="at most 256"):
        normalize_password("\ufdfa" * 15)


@pytest.mark.parametrize("control", CONTROLS)
def test_control_characters_are_refused(control: str) -> None:
    """PW-2, ATK-77: NUL most of all."""
    with pytest.raises(UnfitPassword, match="control characters") as refused:
        normalize_password(f"four words{control} and more")
    assert refused.value.reason == str(refused.value)


@pytest.mark.parametrize("half", [0xD800, 0xDFFF])
def test_half_a_character_is_refused(half: int) -> None:
    """PW-2."""
    with pytest.raises(UnfitPassword, match="broken"):
        normalize_password(f"four words{chr(half)} and more")


@given(st.text(st.characters(codec=None), max_size=300))
def test_any_text_is_refused_or_fit_to_be_hashed(text: str) -> None:
    """PW-1, PW-2."""
    if fits(text):
        normalized = normalize_password(text)
        assert len(normalized) <= 256
        assert len(normalized.encode()) <= 1024
        assert "\0" not in normalized


# What may be set.


def test_14_characters_are_too_few_and_15_enough() -> None:
    """PW-1, ATK-77."""
    assert "at least 15" in fault("xkvq pwlm tzrh")
    assert fault("xkvq pwlm tzrhb") == ""


def test_length_is_that_of_the_normalized_text() -> None:
    """PW-2: fifteen letters and their fifteen accents are fifteen characters."""
    assert "at least 15" in fault("o\u0308xkvq pwlm tzr")
    assert fault("o\u0308xkvq pwlm tzrh") == ""


@pytest.mark.parametrize(
    "password",
    [
        "gravel umbrella tuesday fox",
        "my password is a secret thing",  # SP 800-63B-4 §3.1.1.2: the whole, not what it contains
        "jane bought seven lemons",
        "all lower case letters",
        "8392018475629103",
        "q7G!x2Lw9Zp4Rk0",
        "ab12ef78kl34op56",  # pairs are no runs
        "\u043c\u043e\u0440\u043a\u043e\u0432\u044c \u0438 \u0432\u0435\u0442\u0435\u0440 \u0443",
    ],
)
def test_anything_else_may_be_set(password: str) -> None:
    """PW-3: no rules about which kinds of characters there must be."""
    assert fault(password) == ""


@pytest.mark.parametrize("password", ["iloveyouforever", "ILoveYouForever", "\uff29loveyouforever"])
def test_a_common_password_is_refused_in_any_case(password: str) -> None:
    """PW-3, ATK-77."""
    assert "Many people use" in fault(password)


@pytest.mark.parametrize(
    "password",
    [
        "passwordpassword",
        "passwordpasswor",
        "Password1234567",
        "1234567password",
        "2024!password!2024",
        "drowssapdrowssap",
        "drowssap1234567",
        "password-password",
        "Password1Password1!",
        "PasswordPassword!",
        "trustno1-99999!",
        "i love you forever",
        "correct-horse-battery",
    ],
)
def test_what_is_made_from_a_common_password_is_refused(password: str) -> None:
    """PW-3: repeated, reversed, with digits or punctuation before, after or between."""
    assert "common password" in fault(password)


@pytest.mark.parametrize(
    "password",
    [
        "jane.roe-92jane.roe-92",
        "janeroejaneroe!",
        "J.Roe@mail.Example",
        "j.roe_123456789",
        "Jane María Roe 1",
        "JaneMari\u0301aRoe2024",
        "roe roe roe roe",
        "123456789012jane",
        "enajenajenajenaj",
        "watchwordwatchword",
        "Watchword2024!!",
        "drowhctaw123456",
    ],
)
def test_what_is_made_from_known_names_is_refused(password: str) -> None:
    """PW-3: user name, e-mail address, its local part, full name, and this service's name."""
    assert "your name" in fault(password)


def test_names_of_one_or_two_letters_refuse_nothing() -> None:
    for password in ("839201847562947x", "83920184756294li"):
        assert password_fault(password, common=(), about=("x", "", "Li")) is None


@pytest.mark.parametrize(
    "password",
    [
        "aaaaaaaaaaaaaaa",
        "\U0001f600" * 15,
        "abcabcabcabcabc1",
        "x9k2x9k2x9k2x9k2",
        "abcdefghijklmno",
        "onmlkjihgfedcba",
        "ABCDEFGHIJKLMNO",
        "123456789012345",
        "543210987654321",
        "qwertyuiopasdfg",
        "lkjhgfdsapoiuyt",
        "1qaz2wsx3edc4rf",
        "123456789987654321",
        "111222333444555",
        "abcdefgh1234567",
        "\u0430\u0431\u0432\u0433\u0434\u0435\u0436\u0437\u0438\u0439\u043a\u043b\u043c\u043d\u043e",
    ],
)
def test_a_simple_sequence_is_refused(password: str) -> None:
    """PW-3."""
    assert "sequence" in fault(password)


@given(st.text(max_size=300))
def test_a_judgement_is_none_or_one_sentence_without_the_password(text: str) -> None:
    found = password_fault(text, common=COMMON, about=ABOUT)
    assert found is None or found.endswith(".")
    assert found is None or len(text) < 15 or text not in found


@example("\N{MATHEMATICAL FRAKTUR CAPITAL A}")
@given(st.text(max_size=40))
def test_folding_twice_changes_nothing(text: str) -> None:
    assert fold(fold(text)) == fold(text)
