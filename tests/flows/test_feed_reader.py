"""Reading the feed back: of a chain, only the whole chain is believed."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.flows.feed_reader import read_tail
from service.keys.sign import sign
from service.keys.signer import PrivateKey
from service.oauth.feed import ENTRY_TYP, HEARTBEAT_TYP, Head, entry_claims, genesis, next_head
from service.oauth.jws import encode_base64url
from service.oauth.signing_key import FEED
from tests.conftest import MakeSettings
from tests.faults.parts import Parts, open_parts

pytestmark = pytest.mark.anyio

EPOCH = "0190b6d2-0000-7000-8000-000000000000"
LENGTH = 6
STRANGER = PrivateKey.generate()


@dataclass(frozen=True, slots=True)
class Chain:
    """Entries 1 to 6 of an epoch, and the heads after 0 to 6 of them."""

    entries: list[str]
    heads: list[Head]


@pytest.fixture(scope="module")
async def parts(make_settings: MakeSettings) -> AsyncIterator[Parts]:
    async with open_parts(await make_settings()) as opened:
        yield opened


@pytest.fixture(scope="module")
def chain(parts: Parts) -> Chain:
    entries, heads = [], [genesis(EPOCH)]
    for number in range(LENGTH):
        jws = forge(parts, heads[-1], f"fact-{number}")
        entries.append(jws)
        heads.append(next_head(heads[-1], jws))
    return Chain(entries, heads)


def forge(
    parts: Parts,
    head: Head,
    subject: str,
    *,
    typ: str = ENTRY_TYP,
    signer: PrivateKey | None = None,
    **members: object,
) -> str:
    """The entry that follows a head, or one that looks like it."""
    claims = entry_claims(parts.settings.issuer, head, [])
    claims |= {"facts": [{"jti": subject, "exp": 4_000_000_000}], **members}
    return sign(signer or parts.keyring.key_set(FEED).signer, typ, claims)


async def read(parts: Parts, head: Head, rows: list[tuple[str, str]]):
    """What `read_tail` makes of a stream with these rows."""
    name = f"{parts.root}:{EPOCH}:entries"
    await parts.redis.delete(name)
    for id_, jws in rows:
        await parts.redis.xadd(name, {"jws": jws}, id=id_)
    return await read_tail(parts.feed, head, parts.keyring, parts.settings.issuer)


def numbered(entries: list[str], first: int = 1) -> list[tuple[str, str]]:
    return [(f"{number}-0", jws) for number, jws in enumerate(entries, first)]


@pytest.mark.parametrize("after", range(LENGTH + 1))
async def test_a_whole_chain_is_read_from_any_number_on(
    parts: Parts, chain: Chain, after: int
) -> None:
    tail = await read(parts, chain.heads[after], numbered(chain.entries))
    assert tail is not None
    assert [entry.number for entry in tail.entries] == list(range(after + 1, LENGTH + 1))
    assert tail.head == chain.heads[-1]
    digests = [tail.digest(number) for number in range(-1, LENGTH + 2)]
    known = [encode_base64url(head.digest) for head in chain.heads[after:]]
    assert digests == [*[None] * (after + 1), *known, None]


async def test_a_chain_longer_than_a_page_is_read_to_its_end(
    parts: Parts, chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.flows.feed_reader._PAGE", 2)
    tail = await read(parts, chain.heads[0], numbered(chain.entries))
    assert tail is not None
    assert len(tail.entries) == LENGTH


MUTATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("drop"), st.integers(0, LENGTH - 2)),
        st.tuples(st.just("swap"), st.integers(0, LENGTH - 2)),
        st.tuples(st.just("repeat"), st.integers(0, LENGTH - 1)),
        st.tuples(st.just("flip"), st.integers(0, LENGTH - 1), st.integers(0, 2000)),
        st.tuples(
            st.just("forge"),
            st.integers(0, LENGTH - 1),
            st.sampled_from(["stranger", "typ", "iss", "epoch", "n", "prev", "empty"]),
        ),
    ),
    min_size=1,
    max_size=3,
)


@settings(max_examples=60, deadline=None)
@given(mutations=MUTATIONS, moved=st.booleans())
async def test_any_other_chain_is_refused(
    parts: Parts, chain: Chain, mutations: list[tuple], moved: bool
) -> None:
    rows = numbered(chain.entries)
    for mutation in mutations:
        rows = mutate(parts, chain, rows, *mutation)
    if moved:  # numbers close up, as a forger would write them
        rows = numbered([jws for _, jws in rows])
    if [jws for _, jws in rows] == chain.entries[: len(rows)]:
        return  # the mutations undid each other, or only cut the end off
    assert await read(parts, chain.heads[0], rows) is None


@pytest.mark.parametrize("how", ["stranger", "typ", "iss", "epoch", "n", "prev", "empty"])
@pytest.mark.parametrize("at", [0, 2, LENGTH - 1])
async def test_one_forged_entry_is_enough(parts: Parts, chain: Chain, at: int, how: str) -> None:
    """Though all before it is right, and nothing comes after it."""
    rows = replaced(numbered(chain.entries), at, FORGERIES[how](parts, chain.heads[at]))
    assert await read(parts, chain.heads[0], rows) is None
    assert await read(parts, chain.heads[0], rows[: at + 1]) is None


def mutate(
    parts: Parts, chain: Chain, rows: list[tuple[str, str]], kind: str, at: int, how: object = None
) -> list[tuple[str, str]]:
    at %= len(rows)
    id_, jws = rows[at]
    match kind:
        case "drop":
            return [*rows[:at], *rows[at + 1 :]] or rows
        case "swap":
            other = (at + 1) % len(rows)
            swapped = list(rows)
            swapped[at], swapped[other] = (id_, rows[other][1]), (rows[other][0], jws)
            return swapped
        case "repeat":
            milliseconds, _, sequence = id_.partition("-")
            again = (f"{milliseconds}-{int(sequence) + 1}", jws)
            return [*rows[: at + 1], again, *rows[at + 1 :]] if again[0] not in dict(rows) else rows
        case "flip":
            position = int(str(how)) % max(1, len(jws))
            other_letter = "B" if jws[position : position + 1] == "A" else "A"
            return replaced(rows, at, jws[:position] + other_letter + jws[position + 1 :])
        case _:
            return replaced(rows, at, FORGERIES[str(how)](parts, chain.heads[at % LENGTH]))


def replaced(rows: list[tuple[str, str]], at: int, jws: str) -> list[tuple[str, str]]:
    return [*rows[:at], (rows[at][0], jws), *rows[at + 1 :]]


FORGERIES = {
    "stranger": lambda parts, head: forge(parts, head, "x", signer=STRANGER),
    "typ": lambda parts, head: forge(parts, head, "x", typ=HEARTBEAT_TYP),
    "iss": lambda parts, head: forge(parts, head, "x", iss="https://else.example"),
    "epoch": lambda parts, head: forge(parts, head, "x", epoch=EPOCH.replace("2", "3")),
    "n": lambda parts, head: forge(parts, head, "x", n=head.number + 2),
    "prev": lambda parts, head: forge(parts, head, "x", prev="A" * 43),
    "empty": lambda parts, head: "",
}
