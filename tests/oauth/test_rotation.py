"""The verdicts on a presentation that rotated nothing, all of them. RT-1, RT-3, RT-6, RT-8..RT-10.

The table is the contract written out a second time; every combination of what matters is tried.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import product
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.oauth.client import Client
from service.oauth.refresh_token import MAX_GENERATION, RefreshToken
from service.oauth.rotation import Presented, Stored, Verdict, judge
from service.oauth.session import Session

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SESSION_ID = UUID(int=1)
LIFE, FORMER_LIFE = UUID(int=2), UUID(int=3)
SECRET = b"s" * 32
WINDOW = timedelta(seconds=30)

SESSION = Session(
    id=SESSION_ID,
    user_id=UUID(int=4),
    client_id="app",
    client_epoch=0,
    generation=10,
    scopes=("read", "write"),
    audiences=("https://a.example", "https://b.example"),
    roles=(),
    claims_version=0,
    auth_time=NOW,
    acr=None,
    amr=("pwd",),
    idle_expires_at=NOW + timedelta(days=1),
    expires_at=NOW + timedelta(days=2),
    now=NOW,
)
STORED = Stored(
    session=SESSION,
    secret_digest=sha256(SECRET).digest(),
    incarnation=LIFE,
    life=LIFE,
    age=timedelta(seconds=5),
    is_ended=False,
    is_bound=False,
    in_shadow=False,
)
CLIENT = Client(
    id="app",
    name="An app",
    type="public",
    token_endpoint_auth_method="none",
    grant_types=("refresh_token",),
    redirect_uris=(),
    post_logout_redirect_uris=(),
    require_pkce=True,
    consent="ask",
    audiences=("https://a.example",),
    scopes=("read", "write"),
    default_scopes=(),
    serves=(),
    access_token_ttl=timedelta(seconds=300),
    session_idle_ttl=timedelta(days=7),
    session_absolute_ttl=timedelta(days=30),
    grace=WINDOW,
    shadow_until=None,
    first_party=False,
    refresh_delivery="body",
    allowed_origins=(),
    signing_alg="RS256",
    administrator=False,
    epoch=0,
    enabled=True,
    secret_digests=(),
)
PRESENTED = Presented(
    token=RefreshToken(key_id=1, session_id=SESSION_ID, generation=10, secret=SECRET),
    client=CLIENT,
)


def at(generation: int, *, window: timedelta = WINDOW, client_id: str = "app") -> Presented:
    return replace(
        PRESENTED,
        token=replace(PRESENTED.token, generation=generation),
        client=replace(CLIENT, grace=window, id=client_id),
    )


@dataclass(frozen=True)
class Case:
    """All that a verdict may depend on. `ahead` is what is presented less what is stored."""

    known: bool
    secret: bool
    client: bool
    ended: bool
    bound: bool
    ahead: int
    in_window: bool
    strict: bool
    lost: bool
    beyond: str

    def presented(self) -> Presented:
        window = timedelta(0) if self.strict else WINDOW
        asked = at(10 + self.ahead, window=window, client_id="app" if self.client else "other")
        if not self.secret:
            asked = replace(asked, token=replace(asked.token, secret=b"?" * 32))
        match self.beyond:
            case "scope":
                return replace(asked, scopes=("read", "admin"))
            case "audience":
                return replace(asked, audiences=("https://c.example",))
            case "form":
                return replace(asked, is_beyond=True)
            case _:
                return replace(asked, scopes=("read",), audiences=("https://b.example",))

    def stored(self) -> Stored | None:
        if not self.known:
            return None
        return replace(
            STORED,
            is_ended=self.ended,
            is_bound=self.bound,
            age=timedelta(seconds=29.999 if self.in_window else 30),
            incarnation=FORMER_LIFE if self.lost else LIFE,
        )

    def expected(self) -> Verdict:
        if not (self.known and self.secret):
            return Verdict.DEAD
        if not self.client:
            return Verdict.WRONG_CLIENT
        if self.ended or self.bound:
            return Verdict.DEAD
        if self.ahead == -1 and self.in_window and not self.strict:
            verdict = Verdict.RETRIED
        elif self.ahead < 0:
            return Verdict.REUSE
        elif self.ahead == 0:
            verdict = Verdict.AGAIN
        elif self.lost:
            verdict = Verdict.HEALED
        else:
            return Verdict.IMPOSSIBLE
        return Verdict.BEYOND if self.beyond else verdict


BOTH = (True, False)
BEYOND = ("", "scope", "audience", "form")
CASES = [
    Case(*values)
    for values in product(BOTH, BOTH, BOTH, BOTH, BOTH, (-2, -1, 0, 1, 2), BOTH, BOTH, BOTH, BEYOND)
]


def test_every_case_has_the_verdict_of_the_contract() -> None:
    """In this order: who it is, whether it lives, what it asks for, which generation it is."""
    assert len(CASES) == 5120
    for case in CASES:
        assert judge(case.presented(), case.stored()) is case.expected(), case


@pytest.mark.parametrize(
    ("generation", "age", "window", "verdict"),
    [
        (9, 0, 30, Verdict.RETRIED),
        (9, 29.999999, 30, Verdict.RETRIED),
        (9, 30, 30, Verdict.REUSE),
        (9, 30.000001, 30, Verdict.REUSE),
        (9, 59.999999, 60, Verdict.RETRIED),
        (9, 0, 0, Verdict.REUSE),
        (8, 0, 60, Verdict.REUSE),
        (0, 0, 60, Verdict.REUSE),
        (10, 0, 30, Verdict.AGAIN),
        (10, 1e6, 0, Verdict.AGAIN),
        (11, 0, 60, Verdict.IMPOSSIBLE),
        (MAX_GENERATION, 0, 60, Verdict.IMPOSSIBLE),
    ],
)
def test_the_window_ends_on_the_microsecond_and_is_for_the_predecessor_alone(
    generation: int, age: float, window: int, verdict: Verdict
) -> None:
    """RT-9, RT-10, RT-13; RT-8: a window of 0 is strict single use."""
    stored = replace(STORED, age=timedelta(seconds=age))
    assert judge(at(generation, window=timedelta(seconds=window)), stored) is verdict


GENERATIONS = st.integers(0, MAX_GENERATION)
AGES = st.timedeltas(timedelta(0), timedelta(days=40))
WINDOWS = st.timedeltas(timedelta(0), timedelta(seconds=60))


@given(GENERATIONS, GENERATIONS, AGES, WINDOWS, st.booleans())
def test_a_counter_decides_and_never_a_clock_alone(
    presented: int, stored: int, age: timedelta, window: timedelta, lost: bool
) -> None:
    """RT-6. The age matters to one string only: the one just spent."""
    row = replace(
        STORED,
        session=replace(SESSION, generation=stored),
        age=age,
        incarnation=FORMER_LIFE if lost else LIFE,
    )
    verdict = judge(at(presented, window=window), row)
    if presented > stored:
        assert verdict is (Verdict.HEALED if lost else Verdict.IMPOSSIBLE)
    elif presented == stored:
        assert verdict is Verdict.AGAIN
    elif presented == stored - 1 and age < window:
        assert verdict is Verdict.RETRIED
    else:
        assert verdict is Verdict.REUSE


@given(
    st.lists(st.sampled_from(["read", "write", "admin"]), max_size=3),
    st.lists(st.sampled_from([*SESSION.audiences, "https://c.example"]), max_size=1),
    st.integers(5, 15),
    st.booleans(),
)
def test_a_spent_string_is_judged_as_spent_whatever_else_it_asks(
    scopes: list[str], audiences: list[str], generation: int, lost: bool
) -> None:
    """RT-3: else a thief would try a stolen string without setting off the alarm."""
    asked = replace(at(generation), scopes=tuple(scopes), audiences=tuple(audiences))
    stored = replace(STORED, incarnation=FORMER_LIFE if lost else LIFE)
    plain = judge(at(generation), stored)
    beyond = "admin" in scopes or "https://c.example" in audiences
    good = plain in (Verdict.AGAIN, Verdict.RETRIED, Verdict.HEALED)
    assert judge(asked, stored) is (Verdict.BEYOND if beyond and good else plain)


@pytest.mark.parametrize("generation", [0, 9, 10, 11])
def test_shadow_mode_and_the_reason_of_an_end_change_no_verdict(generation: int) -> None:
    for stored in (replace(STORED, in_shadow=True), STORED):
        assert judge(at(generation), stored) is judge(at(generation), STORED)


@given(st.binary(min_size=32, max_size=32).filter(lambda secret: secret != SECRET))
def test_a_string_with_another_secret_says_nothing_about_the_session(secret: bytes) -> None:
    """A leaked master key alone mints nothing, and revokes nothing."""
    for generation, client_id in product([0, 9, 10, 11], ["app", "other"]):
        asked = at(generation, client_id=client_id)
        asked = replace(asked, token=replace(asked.token, secret=secret))
        assert judge(asked, STORED) is Verdict.DEAD
