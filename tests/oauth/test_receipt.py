"""Receipts: what a verifier may report, and when it has seen an entry."""

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.oauth.errors import InvalidRequest
from service.oauth.receipt import KnownVerifier, read_name, read_receipt

EPOCH = "0191f2c8-0000-7000-8000-000000000000"
LATER = "0191f2c8-0000-7000-8000-000000000001"
HONEST = {"name": "billing-7f", "epoch": EPOCH, "number": "4711", "kids": "a-b_c. d"}


def test_receipt_is_read() -> None:
    receipt = read_receipt("orders", **HONEST)
    assert (receipt.client_id, receipt.name) == ("orders", "billing-7f")
    assert receipt.place == (UUID(EPOCH), 4711)
    assert receipt.kids == ("a-b_c.", "d")
    assert read_receipt("orders", **{**HONEST, "kids": ""}).kids == ()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(
            ("name", value)
            for value in ("", " ", "a b", "ä", "a" * 129, "a\n", "../x", "a/b", "\0")
        ),
        *(("epoch", value) for value in ("", EPOCH.upper(), EPOCH[:-1], EPOCH + "0", "x" * 36)),
        *(("number", value) for value in ("", "-1", "01", "1.0", "+1", "1e3", "٣", "9" * 19)),
        *(
            ("kids", value)
            for value in ("a  b", " a", "a ", "ä", "a" * 129, "a,b", "k " * 50 + "k")
        ),
    ],
)
def test_what_is_no_receipt_is_refused(name: str, value: str) -> None:
    with pytest.raises(InvalidRequest):
        read_receipt("orders", **{**HONEST, name: value})


@given(st.text(max_size=200))
def test_a_name_is_taken_whole_or_refused(name: str) -> None:
    try:
        assert read_name(name) == name
        assert name.isascii()
        assert name.isprintable()
    except InvalidRequest:
        pass


def test_a_later_epoch_has_seen_every_entry_of_an_earlier_one() -> None:
    """In a new epoch every living fact is signed again."""
    known = KnownVerifier(
        client_id="orders",
        name="a",
        epoch=UUID(EPOCH),
        number=5,
        kids=(),
        age=timedelta(),
    )
    assert known.has_seen(UUID(EPOCH), 5)
    assert not known.has_seen(UUID(EPOCH), 6)
    assert not known.has_seen(UUID(LATER), 1)
    assert replace(known, epoch=UUID(LATER), number=0).has_seen(UUID(EPOCH), 6)
