"""Forged tokens at the verifier: the attacks that introspection withstands, each once more.

ATK-1, ATK-2, ATK-3, ATK-4, ATK-5, ATK-6, ATK-7, ATK-8, ATK-9, ATK-10, ATK-11, ATK-12, ATK-13,
ATK-14, ATK-15, ATK-16, ATK-17, ATK-18, ATK-19, ATK-20, ATK-22, ATK-23, ATK-24, with RS-3, RS-4 and
RS-7. Where the header or the claims are the attack, the pod's own active key has signed it.
"""

import json
import time
from collections.abc import Iterable

import pytest
from watchword_verifier import InvalidToken, Options, Revoked, UnknownKey, WrongAudience
from watchword_verifier._engine import Engine
from watchword_verifier._judge import Judge

from service.keys.keyring import KeySet
from service.keys.signer import PrivateKey
from service.oauth.signing_key import FEED, TOKEN
from tests.conftest import AUDIENCE
from tests.http.canary import canary
from tests.http.conftest import Active
from tests.http.forge import Forge
from tests.http.test_introspect_attack_claims import *  # noqa: F403
from tests.http.test_introspect_attack_encoding import *  # noqa: F403
from tests.http.test_introspect_attack_signatures import *  # noqa: F403
from tests.http.test_introspect_attacks import *  # noqa: F403
from tests.verifier.conftest import LivePod

# What only a server can say, or what a verifier sees in another way: below, in its own words.
del test_canary_notices  # noqa: F821
del test_atk_7_removed_and_unknown_key  # noqa: F821
del test_atk_10_token_beyond_the_limits  # noqa: F821
del test_atk_15_aud  # noqa: F821
del test_atk_23_epoch  # noqa: F821
del test_atk_23_subject_or_client_that_is_none  # noqa: F821


@pytest.fixture(scope="module")
def forge(pod: LivePod) -> Forge:
    """Makes tokens of a client of the pod."""
    return Forge(pod.app, pod.make_client().id)


@pytest.fixture(scope="session")
def attacker() -> PrivateKey:
    """A key of the attacker's own."""
    return PrivateKey.generate()


@pytest.fixture(scope="module")
def judge(pod: LivePod) -> Judge:
    """What judges tokens, with the pod's keys and no connection."""
    engine = Engine(Options(issuer=pod.url, audience=AUDIENCE))
    load(engine, pod.app.services.keyring.key_set(TOKEN))
    return engine._judge


def load(engine: Engine, keys: KeySet) -> None:
    engine._keys.tokens.load(keys.jwks, age=0)


@pytest.fixture
def active(judge: Judge, pod: LivePod) -> Active:
    """Whether the verifier takes a token; refusing is InvalidToken, and touches nothing outside."""

    async def ask(token: str) -> bool:
        with canary(pod.settings) as seen:
            try:
                judge.judge(token)
            except InvalidToken as error:
                refusal = error.challenge()
            else:
                refusal = None
        assert seen == []
        assert refusal in (None, InvalidToken("…").challenge())
        return refusal is None

    return ask


async def test_atk_7_removed_and_unknown_key(pod: LivePod, forge: Forge) -> None:
    """ATK-7: what a removed key signed is void, cached or not; so is what an unknown one signed."""
    engine, keys = Engine(Options(issuer=pod.url, audience=AUDIENCE)), pod.app.services.keyring
    document = json.loads(keys.key_set(TOKEN).jwks)["keys"]
    active_kid = forge.signer.kid
    token = forge.token()
    engine._keys.tokens.load(_jwks(document), age=0)
    assert engine._judge.judge(token)
    engine._keys.tokens.load(_jwks(it for it in document if it["kid"] != active_kid), age=0)
    for _ in range(2):
        with pytest.raises(UnknownKey):
            engine._judge.judge(token)
    feed = keys.key_set(FEED).signer
    with pytest.raises(UnknownKey):
        engine._judge.judge(
            forge.token(header=forge.header(kid=json.dumps(feed.kid)), sign=feed.sign)
        )


async def test_atk_7_killed_key_is_never_taken_back(pod: LivePod, forge: Forge) -> None:
    """DIST-6: whatever a key set says later."""
    engine = Engine(Options(issuer=pod.url, audience=AUDIENCE))
    keys, token = pod.app.services.keyring.key_set(TOKEN), forge.token()
    load(engine, keys)
    assert engine._judge.judge(token)
    engine._keys.kill([forge.signer.kid])
    for _ in range(2):
        with pytest.raises(Revoked):
            engine._judge.judge(token)
        load(engine, keys)


def _jwks(keys: Iterable[object]) -> bytes:
    return json.dumps({"keys": list(keys)}).encode()


@pytest.mark.parametrize("length", [16_385, 65_536, 5_000_000])
async def test_atk_10_token_beyond_the_limits(active: Active, forge: Forge, length: int) -> None:
    """ATK-10, RS-3: refused by its length, before anything is read."""
    began = time.monotonic()
    assert not await active(forge.token() + "a" * length)
    assert time.monotonic() - began < 1


@pytest.mark.parametrize(
    "aud",
    [
        *(None, "null", "[]", '""', "{}", "[1]", '["other"]', "1", "true", f'"{AUDIENCE}/"'),
        *(f'"{AUDIENCE[:-1]}"', f'"{AUDIENCE.upper()}"', f'"my-{AUDIENCE}"', f'" {AUDIENCE}"'),
        *(f'"{AUDIENCE} other"', f'{{"{AUDIENCE}":1}}', f'["{AUDIENCE}",1]', f'[["{AUDIENCE}"]]'),
    ],
)
async def test_atk_15_aud(active: Active, forge: Forge, aud: str | None) -> None:
    """ATK-15, RS-4: exactly our name; others in an array are not even looked at (ATK-16)."""
    assert not await active(forge.token(claims=forge.claims(aud=aud)))


async def test_atk_16_audiences_are_a_choice(pod: LivePod, forge: Forge) -> None:
    """ATK-16, RS-4: an array of one is that one; a longer one only where it is switched on."""
    one, two, others = (
        forge.token(claims=forge.claims(aud=json.dumps(names)))
        for names in ([AUDIENCE], ["other", AUDIENCE], ["other", "another"])
    )
    for several in (False, True):
        engine = Engine(Options(issuer=pod.url, audience=AUDIENCE, multiple_audiences=several))
        load(engine, pod.app.services.keyring.key_set(TOKEN))
        assert engine._judge.judge(one)
        with pytest.raises(WrongAudience):
            engine._judge.judge(others)
        if several:
            assert engine._judge.judge(two)
        else:
            with pytest.raises(WrongAudience):
                engine._judge.judge(two)


@pytest.mark.parametrize(
    "changes",
    [
        {"sub": '"0191f2c8-0000-7000-8000-000000000000"'},
        {"client_id": '"0191f2c8-0000-7000-8000-000000000000"'},
        {"sub": '""'},
        {"client_id": "null"},
        {"jti": "null"},
        {"cep": "-1"},
        {"cep": "1.0"},
        {"cep": "true"},
        {"cep": '"0"'},
        {"sid": "null"},
        {"sid": '""'},
        {"sid": '"a"', "cv": "-1"},
        {"sid": '"a"', "cv": '"1"'},
        {"sid": '"a"', "roles": '"admin"'},
        {"sid": '"a"', "roles": "[1]"},
        {"scope": "[]"},
        {"cnf": '{"jkt":"x"}'},
    ],
    ids=json.dumps,
)
async def test_atk_23_names_and_counts(
    active: Active, forge: Forge, changes: dict[str, str]
) -> None:
    """ATK-23, RS-8: names are names, counts are counts; without a session, the client is `sub`."""
    assert not await active(forge.token(claims=forge.claims(**changes)))


async def test_a_token_of_a_session_speaks_for_its_user(pod: LivePod, judge: Judge) -> None:
    """RS-8: clients and users are told apart."""
    begun = pod.begin(roles=("clerk",))
    claims = judge.judge(begun.tokens.access_token)
    assert (claims.is_user, claims.subject) == (True, str(begun.user.id))
    assert (claims.session_id, claims.roles) == (str(begun.id), ("clerk",))
    machine = judge.judge(pod.token())
    assert (machine.is_user, machine.session_id, machine.roles) == (False, None, ())
    assert machine.subject == machine.client_id
