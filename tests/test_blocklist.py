"""The list of common passwords: folded, fit for its use, small (PW-3)."""

import sys

from service.blocklist import common_passwords
from service.oauth.password import MIN_CODE_POINTS, fold, normalize_password


def test_the_list_has_common_passwords_long_enough_to_be_set() -> None:
    long = {word for word in common_passwords() if len(word) >= MIN_CODE_POINTS}
    assert len(long) > 9_000
    assert long >= {"passwordpassword", "manchesterunited", "1qaz2wsx3edc4rfv"}


def test_the_list_has_short_ones_from_which_people_make_longer_ones() -> None:
    assert common_passwords() >= {"password", "letmein", "trustno1", "monkey", "changeme", "qwerty"}


def test_every_word_is_folded_as_passwords_are_for_the_comparison() -> None:
    assert [w for w in common_passwords() if fold(normalize_password(w)) != w] == []


def test_no_word_is_so_short_that_it_starts_too_much() -> None:
    assert min(map(len, common_passwords())) == 4


def test_the_comment_is_no_part_of_the_list() -> None:
    assert not common_passwords() & {"#", "copyright", "permission", "mit"}


def test_the_list_is_read_once_and_takes_little_memory() -> None:
    words = common_passwords()
    assert common_passwords() is words
    assert sys.getsizeof(words) + sum(map(sys.getsizeof, words)) < 2**21
