"""The cases of the feed's test vectors: what a follower finds, and what it must make of it."""

from collections.abc import Sequence
from typing import Any, TypedDict, Unpack

from service.oauth.feed import ENTRY_TYP, HEARTBEAT_TYP, Head, genesis, next_head
from tests.vectors.signed import (
    ENTRY_1,
    ENTRY_2,
    EPOCH,
    EXPIRY,
    HEAD_0,
    HEAD_1,
    HEAD_2,
    HEARTBEAT_2,
    ISSUER,
    KILLED,
    LATER_EPOCH,
    LATEST_EPOCH,
    SECOND,
    STRANGER,
    THIRD,
    TIME,
    claims_of,
    entry,
    heartbeat,
    under_the_name_of,
    with_algorithm,
)

Case = dict[str, Any]


class Judged(TypedDict, total=False):
    """Names of tokens, by what is to be said of them."""

    revoked: list[str]
    refresh: list[str]
    good: list[str]


KEY = "4vEoHRZPPAlD1yMWpHxYNJmBVV5VvmTnhVqPTsDD2Ys"
SESSION, OTHER_SESSION = (
    "01920f3c-1111-7222-8333-444455556666",
    "01920f3c-2222-7222-8333-444455556666",
)


def _token(jti: str, client_id: str = "shop", *, kid: str = KEY, **claims: object) -> Case:
    return {"kid": kid, "claims": {"jti": jti, "client_id": client_id, **claims}}


# What of a token facts may name. Whatever is not told of one is of no account.
TOKENS = {
    "unnamed": _token("01920f3c-9b10-7abc-8def-000000000001", cep=0),
    "jti": _token("01920f3c-9b10-7abc-8def-0123456789ab", cep=0),
    "sid": _token("01920f3c-9b10-7abc-8def-000000000002", cep=0, sid=SESSION, cv=7),
    "cep 2": _token("01920f3c-9b10-7abc-8def-000000000003", "orders-worker", cep=2),
    "no cep": _token("01920f3c-9b10-7abc-8def-000000000004", "orders-worker"),
    "cep 3": _token("01920f3c-9b10-7abc-8def-000000000005", "orders-worker", cep=3),
    "cep 4": _token("01920f3c-9b10-7abc-8def-000000000006", "orders-worker", cep=4),
    "cep 5": _token("01920f3c-9b10-7abc-8def-000000000007", "orders-worker", cep=5),
    "killed key": _token("01920f3c-9b10-7abc-8def-000000000008", kid=KILLED, cep=0),
    "jti of entry 3": _token("01920f3c-9b10-7abc-8def-000000000009", cep=0),
    "cv 4": _token("01920f3c-9b10-7abc-8def-00000000000a", cep=0, sid=OTHER_SESSION, cv=4),
    "no cv": _token("01920f3c-9b10-7abc-8def-00000000000b", cep=0, sid=OTHER_SESSION),
    "cv 5": _token("01920f3c-9b10-7abc-8def-00000000000c", cep=0, sid=OTHER_SESSION, cv=5),
    "jti of the later epoch": _token("01920f3c-9b10-7abc-8def-00000000000d", cep=0),
}

FACT_3 = {"jti": TOKENS["jti of entry 3"]["claims"]["jti"], "exp": EXPIRY}
FACTS_3 = [FACT_3, {"stale": OTHER_SESSION, "cv": 5, "exp": EXPIRY}]
FACTS_4 = [
    {"client": "orders-worker", "cep": 5, "exp": EXPIRY + 600},
    {"client": "orders-worker", "cep": 4, "exp": EXPIRY + 600},
]
ENTRY_3 = entry(HEAD_2, FACTS_3)
HEAD_3 = next_head(HEAD_2, ENTRY_3)
ENTRY_4 = entry(HEAD_3, FACTS_4)
HEAD_4 = next_head(HEAD_3, ENTRY_4)

LATER_0 = genesis(LATER_EPOCH)
FACTS_LATER = [{"jti": TOKENS["jti of the later epoch"]["claims"]["jti"], "exp": EXPIRY}]
ENTRY_LATER = entry(LATER_0, FACTS_LATER, key=THIRD)
LATER_1 = next_head(LATER_0, ENTRY_LATER)

# By entries 1 and 2.
VOID = ["jti", "sid", "cep 2", "no cep", "killed key"]
OF_TWO: Judged = {
    "revoked": VOID,
    "good": ["unnamed", "cep 3", "cep 5", "jti of entry 3", "cv 4"],
}


def page(
    heartbeat_: str | None,
    entries: Sequence[str],
    *,
    at: int = TIME + 1050,
    epoch: str = EPOCH,
    keys: Sequence[str] = ("first", "second", "third"),
) -> Case:
    """What a follower finds at a moment."""
    return {
        "issuer": ISSUER,
        "keys": list(keys),
        "wall_clock_ms": at,
        "heartbeat": heartbeat_,
        "epoch": epoch,
        "entries": list(entries),
    }


def case(
    name: str,
    page_: Case,
    *before: str,
    heard: str | None = "accepted",
    entries: str = "taken",
    fresh: bool = True,
    **tokens: Unpack[Judged],
) -> Case:
    """A case; `before` names those whose pages the same follower has taken already."""
    verdict: Case = {"heartbeat": heard, "entries": entries, "fresh": fresh, "tokens": tokens}
    return {"name": name, "before": list(before), "page": page_, "verdict": verdict}


# Cases that others go on from.
WHOLE = "two entries and the heartbeat over them"
EMPTY = "floor = head + 1: the stream is empty"
LATER = "a later epoch: its entries, and the facts of the one before"
KILLING = "a key of the feed is killed, which begins an epoch"
STEALING = "a key of the feed is named as killed, and the key set still lists it"


def what_is_whole() -> list[Case]:
    beyond = page(HEARTBEAT_2, [ENTRY_1, ENTRY_2, ENTRY_3])
    strange = entry(HEAD_2, [{**FACT_3, "seen": True}], weather="fair")
    strange_beat = heartbeat(next_head(HEAD_2, strange), weather="fair")
    last = page(heartbeat(HEAD_4, floor=4), [ENTRY_4])
    return [
        case(WHOLE, page(HEARTBEAT_2, [ENTRY_1, ENTRY_2], at=TIME + 50), **OF_TWO),
        case("an epoch without an entry", page(heartbeat(HEAD_0), []), good=["unnamed", "jti"]),
        case(EMPTY, page(heartbeat(HEAD_2, floor=3), []), good=["unnamed", "jti", "cep 2"]),
        case(
            "the entry after an empty stream chains to the heartbeat's digest",
            page(heartbeat(HEAD_3, floor=3, time=TIME + 2000), [ENTRY_3]),
            EMPTY,
            revoked=["jti of entry 3"],
            good=["unnamed", "jti", "cv 5"],
            refresh=["cv 4", "no cv"],
        ),
        case(
            "the floor is in the middle: what the first entry chains to can't be seen",
            page(heartbeat(HEAD_3, floor=2), [ENTRY_2, ENTRY_3]),
            revoked=["cep 2", "no cep", "killed key", "jti of entry 3"],
            refresh=["cv 4", "no cv"],
            good=["unnamed", "jti", "cep 3", "cv 5"],
        ),
        case(
            "an entry beyond the head is true",
            beyond,
            revoked=[*VOID, "jti of entry 3"],
            refresh=["cv 4"],
        ),
        case(
            "the next key signs on",
            page(heartbeat(HEAD_3), [ENTRY_1, ENTRY_2, ENTRY_3]),
            revoked=["jti", "jti of entry 3"],
        ),
        case(
            "unknown members are ignored",
            page(strange_beat, [ENTRY_1, ENTRY_2, strange]),
            revoked=["jti of entry 3"],
        ),
        case("the higher `cep` covers the lower", last, revoked=["cep 3", "cep 4"], good=["cep 5"]),
        case(
            "who fell behind the floor begins there, and keeps its facts",
            page(heartbeat(HEAD_4, floor=4), [ENTRY_4]),
            WHOLE,
            revoked=["jti", "sid", "cep 4"],
            good=["unnamed", "jti of entry 3"],
        ),
        case(
            LATER,
            page(heartbeat(LATER_1, key=THIRD), [ENTRY_LATER], epoch=LATER_EPOCH),
            WHOLE,
            revoked=[*VOID, "jti of the later epoch"],
            good=["unnamed"],
        ),
        case(
            KILLING,
            page(
                heartbeat(LATER_0, key=THIRD, killed=[KILLED, SECOND.kid]),
                [],
                epoch=LATER_EPOCH,
                keys=["first", "third"],
            ),
            revoked=["killed key"],
            good=["unnamed"],
        ),
        case(STEALING, page(heartbeat(HEAD_0, killed=[KILLED, THIRD.kid]), [])),
        case(
            "what the key set still lists lives on",
            page(heartbeat(HEAD_0, time=TIME + 2000, key=THIRD), [], at=TIME + 2050),
            STEALING,
            revoked=["killed key"],
            good=["unnamed"],
        ),
        case(
            "a heartbeat kills a key of tokens",
            page(heartbeat(HEAD_2, floor=3, killed=[KILLED, KEY]), []),
            revoked=["unnamed", "killed key"],
        ),
    ]


def what_time_decides() -> list[Case]:
    def late(seconds: int, **members: Any) -> Case:
        """All of it, so many seconds after the facts of entry 1 expired."""
        at = (EXPIRY + seconds) * 1000
        return page(heartbeat(HEAD_2, time=at - 50, **members), [ENTRY_1, ENTRY_2], at=at)

    def first(seconds: int, *entries: str) -> Case:
        return page(HEARTBEAT_2, entries, at=TIME + seconds * 1000)

    def again(seconds: int) -> Case:
        return page(HEARTBEAT_2, [], at=TIME + 50 + seconds * 1000)

    def slow(seconds: int) -> Case:
        return page(heartbeat(HEAD_2), [], at=TIME + 1050 + seconds * 1000)

    away = heartbeat(HEAD_2, time=TIME + 45_000, database_read_at=TIME - 250)
    return [
        case("a fact within the leeway", late(59), revoked=["jti", "sid", "cep 2"]),
        case(
            "a fact past the leeway is dropped; a killed key never",
            late(61),
            revoked=["cep 2", "no cep", "killed key"],
            good=["jti", "sid"],
        ),
        case("a first heartbeat of 20 seconds ago", first(20, ENTRY_1, ENTRY_2), **OF_TWO),
        case("a first heartbeat 20 seconds ahead", first(-20, ENTRY_1, ENTRY_2), **OF_TWO),
        case("a first heartbeat of 91 seconds ago", first(91), heard="refused", fresh=False),
        case("a first heartbeat 91 seconds ahead", first(-91), heard="refused", fresh=False),
        case("the same heartbeat after 10 seconds", again(10), WHOLE, heard="ignored", **OF_TWO),
        case(
            "the same heartbeat after 31 seconds: silence",
            again(31),
            WHOLE,
            heard="ignored",
            fresh=False,
            **OF_TWO,
        ),
        case("a heartbeat that came 20 seconds late", slow(20), WHOLE, **OF_TWO),
        case("a heartbeat that came 31 seconds late", slow(31), WHOLE, fresh=False, **OF_TWO),
        case(
            "the database is away, the heartbeats go on",
            page(away, [], at=TIME + 45_050),
            WHOLE,
            **OF_TWO,
        ),
    ]


def heartbeats_that_count_for_nothing() -> list[Case]:
    good = heartbeat(HEAD_2)
    forged = under_the_name_of(SECOND, STRANGER)
    refused = {
        "typ: it says that it is an entry": heartbeat(HEAD_2, typ=ENTRY_TYP),
        "its key is not in the key set": heartbeat(HEAD_2, key=STRANGER),
        "its signature is another key's": heartbeat(HEAD_2, key=forged),
        "alg: none": with_algorithm(good, "none"),
        "alg: another than its key's": with_algorithm(good, "RS512"),
        "iss: another issuer": heartbeat(HEAD_2, iss=f"{ISSUER}/"),
        "head: missing": heartbeat(HEAD_2, head=None),
        "head: a text": heartbeat(HEAD_2, head="2"),
        "floor: 0": heartbeat(HEAD_2, floor=0),
        "floor: above head + 1": heartbeat(HEAD_2, floor=4),
        "database_read_at: a fraction": heartbeat(HEAD_2, database_read_at=TIME + 0.5),
        "killed_kids: not a list": heartbeat(HEAD_2, killed_kids=KILLED),
        "it is no JWS": "garbage",
        "it is padded": f"{good}==",
    }
    nothing = [
        case(
            f"a heartbeat, {name}",
            # Nothing says that there is an epoch to read.
            page(jws, []),
            heard="refused",
            fresh=False,
        )
        for name, jws in refused.items()
    ]
    replayed = [
        case(f"a heartbeat, {name}", page(jws, []), WHOLE, heard="ignored", **OF_TWO)
        for name, jws in {
            "earlier by its time": heartbeat(HEAD_2, time=TIME - 1000),
            "earlier by its head": heartbeat(HEAD_1, time=TIME + 1000),
        }.items()
    ]
    return [
        *nothing,
        case("no heartbeat", page(None, []), heard=None, fresh=False),
        *replayed,
        case(
            "a heartbeat of an epoch that was left",
            page(heartbeat(HEAD_4, time=TIME + 2000), []),
            WHOLE,
            LATER,
            heard="ignored",
            revoked=["jti", "jti of the later epoch"],
        ),
        case(
            "a heartbeat by a key of the feed that was killed",
            page(
                heartbeat(genesis(LATEST_EPOCH), time=TIME + 2000),
                [],
                epoch=LATEST_EPOCH,
                keys=["first", "third"],
            ),
            KILLING,
            heard="refused",
        ),
    ]


def entries_that_are_none() -> list[Case]:
    refused = {
        "typ: it says that it is a heartbeat": entry(HEAD_2, FACTS_3, typ=HEARTBEAT_TYP),
        "its key is not in the key set": entry(HEAD_2, FACTS_3, key=STRANGER),
        "its signature is another key's": entry(
            HEAD_2, FACTS_3, key=under_the_name_of(SECOND, STRANGER)
        ),
        "alg: none": with_algorithm(ENTRY_3, "none"),
        "alg: another than its key's": with_algorithm(ENTRY_3, "RS512"),
        "iss: another issuer": entry(HEAD_2, FACTS_3, iss="https://else.example"),
        "epoch: another one": entry(HEAD_2, FACTS_3, epoch=LATER_EPOCH),
        "n: one too high": entry(HEAD_2, FACTS_3, n=4),
        "n: a text": entry(HEAD_2, FACTS_3, n="3"),
        "prev: another entry's digest": entry(HEAD_2, FACTS_3, prev=claims_of(ENTRY_2)["prev"]),
        "prev: missing": entry(HEAD_2, FACTS_3, prev=None),
        "facts: not a list": entry(HEAD_2, FACT_3),
        "facts: one is no object": entry(HEAD_2, [FACT_3, "jti"]),
        "facts: one of an unknown kind": entry(HEAD_2, [FACT_3, {"device": "d", "exp": EXPIRY}]),
        "facts: one of two kinds": entry(HEAD_2, [{**FACT_3, "sid": OTHER_SESSION}]),
        "facts: one about no text": entry(HEAD_2, [FACT_3, {"jti": 7, "exp": EXPIRY}]),
        "exp: missing": entry(HEAD_2, [FACT_3, {"jti": "j"}]),
        "exp: a fraction": entry(HEAD_2, [FACT_3, {"jti": "j", "exp": EXPIRY + 0.5}]),
        "exp: a text": entry(HEAD_2, [FACT_3, {"jti": "j", "exp": str(EXPIRY)}]),
        "exp: true": entry(HEAD_2, [FACT_3, {"jti": "j", "exp": True}]),
        "exp: of a killed key": entry(HEAD_2, [FACT_3, {"kid": "k", "exp": EXPIRY}]),
        "cep: a text": entry(HEAD_2, [FACT_3, {"client": "c", "cep": "1", "exp": EXPIRY}]),
        "it is no JWS": "garbage",
        "it is empty": "",
    }
    return [
        case(
            f"entry 3, {name}",
            # So long after the last heartbeat that could be kept up with.
            page(heartbeat(HEAD_3, time=TIME + 31_000), [jws], at=TIME + 31_050),
            WHOLE,
            entries="refused",
            fresh=False,
            **OF_TWO,
        )
        for name, jws in refused.items()
    ]


def streams_that_are_not_whole() -> list[Case]:
    def broken(name: str, page_: Case, *before: str, **tokens: Unpack[Judged]) -> Case:
        return case(name, page_, *before, entries="refused", fresh=False, **tokens)

    forged = entry(HEAD_1, FACTS_3, key=STRANGER)
    other_1 = entry(Head(EPOCH, 0, HEAD_2.digest), FACTS_3)
    other_3 = entry(Head(EPOCH, 2, HEAD_1.digest), FACTS_3)
    fork_3 = entry(HEAD_2, FACTS_4)
    return [
        case(
            "the stream ends before the head",
            page(HEARTBEAT_2, [ENTRY_1]),
            fresh=False,
            revoked=["jti", "sid", "killed key"],  # the last by the heartbeat
            good=["cep 2", "unnamed"],
        ),
        case(
            "the stream is empty below the head",
            page(HEARTBEAT_2, []),
            fresh=False,
            revoked=["killed key"],
            good=["jti", "unnamed"],
        ),
        case("an entry is missing since a second", page(heartbeat(HEAD_3), []), WHOLE, **OF_TWO),
        broken("the entry at the floor is missing", page(HEARTBEAT_2, [ENTRY_2])),
        broken(
            "an entry in between is missing",
            page(heartbeat(HEAD_4), [ENTRY_1, ENTRY_2, ENTRY_4]),
            revoked=["jti", "cep 2"],
            good=["unnamed", "jti of entry 3", "cv 4"],
        ),
        broken("the order is another", page(HEARTBEAT_2, [ENTRY_2, ENTRY_1])),
        broken(
            "an entry is replaced: what stands before it is taken",
            page(HEARTBEAT_2, [ENTRY_1, forged]),
            revoked=["jti", "sid"],
            good=["unnamed", "jti of entry 3"],
        ),
        broken(
            "entry 1 does not chain to the epoch",
            page(heartbeat(next_head(HEAD_0, other_1)), [other_1]),
        ),
        broken(
            "the entry after an empty stream chains to another",
            page(heartbeat(HEAD_3, floor=3, time=TIME + 32_000), [other_3], at=TIME + 32_050),
            EMPTY,
        ),
        broken(
            "the heartbeat names another entry as its head",
            page(heartbeat(HEAD_3, time=TIME + 31_000), [fork_3], at=TIME + 31_050),
            WHOLE,
            revoked=["jti", "sid"],
        ),
        broken(
            "an entry by a key of the feed that was killed",
            page(
                heartbeat(LATER_1, time=TIME + 32_000, key=THIRD, killed=[KILLED, SECOND.kid]),
                [entry(LATER_0, FACTS_LATER)],
                at=TIME + 32_050,
                epoch=LATER_EPOCH,
                keys=["first", "third"],
            ),
            KILLING,
            good=["unnamed", "jti of the later epoch"],
        ),
    ]


def all_cases() -> list[Case]:
    return [
        *what_is_whole(),
        *what_time_decides(),
        *heartbeats_that_count_for_nothing(),
        *entries_that_are_none(),
        *streams_that_are_not_whole(),
    ]
