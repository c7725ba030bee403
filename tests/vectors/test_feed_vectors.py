"""docs/reference/feed-vectors.json: the service's own reader judges each as the file says."""

import json
from typing import Any

import pytest

from service.flows.feed_reader import read_tail
from service.oauth.feed import genesis
from tests.vectors.cases import TOKENS, all_cases
from tests.vectors.follower import Follower, public_keyring
from tests.vectors.make import FILE, vectors

VECTORS = json.loads(FILE.read_text())
CASES: dict[str, dict[str, Any]] = {case["name"]: case for case in VECTORS["cases"]}


@pytest.mark.parametrize("name", CASES)
def test_each_case_is_judged_as_stated(name: str) -> None:
    """DIST-8, ATK-107."""
    case = CASES[name]
    follower = Follower(
        max_staleness=VECTORS["max_staleness_seconds"], leeway=VECTORS["leeway_seconds"]
    )
    for earlier in case["before"]:
        follower.take(CASES[earlier]["page"], VECTORS["keys"])
    verdict = dict(case["verdict"])
    tokens = verdict.pop("tokens")
    assert follower.take(case["page"], VECTORS["keys"]) == verdict
    stated = {token: kind for kind, names in tokens.items() for token in names}
    assert {token: follower.judge(TOKENS[token]) for token in stated} == stated


class Stream:
    """Entries of a case in the place of Redis."""

    def __init__(self, entries: list[str]) -> None:
        self.entries = entries

    async def read(self, _: str, after: int, limit: int) -> list[str]:
        return self.entries[after : after + limit]


FROM_THE_BEGINNING = [
    name
    for name, case in CASES.items()
    if case["page"]["entries"] and not case["before"] and "floor" not in name and "`" not in name
]


@pytest.mark.parametrize("name", FROM_THE_BEGINNING)
async def test_what_reads_losses_back_takes_whole_chains_alone(name: str) -> None:
    page, verdict = CASES[name]["page"], CASES[name]["verdict"]
    keyring = public_keyring([VECTORS["keys"][key] for key in page["keys"]])
    feed: Any = Stream(page["entries"])
    tail = await read_tail(feed, genesis(page["epoch"]), keyring, page["issuer"])
    assert (tail is None) == (verdict["entries"] == "refused")


def test_the_file_is_what_its_maker_writes_but_for_the_keys() -> None:
    """`python -m tests.vectors.make`."""
    made, listed = vectors(), ("name", "before", "verdict")
    assert [{it: case[it] for it in listed} for case in made["cases"]] == [
        {it: case[it] for it in listed} for case in VECTORS["cases"]
    ]
    for member in ("max_staleness_seconds", "leeway_seconds", "tokens", "feed"):
        assert made[member] == VECTORS[member]  # the feed: as the contract prints it


def test_every_case_has_a_name_of_its_own() -> None:
    assert len(CASES) == len(all_cases())


def test_no_private_key_is_in_the_file() -> None:
    for key in [*VECTORS["keys"].values(), *VECTORS["feed"]["keys"]["keys"]]:
        assert key.keys() == {"kty", "n", "e", "kid", "use", "alg"}
