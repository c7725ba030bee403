"""Forged tokens at GET /api/me: ATK-1 to ATK-24.

The attacks are those of test_introspect_attack*.py; here they are made on the token of a user's
session with a first-party client, by the fixtures below.
"""

import json
import re
import time
from collections.abc import AsyncIterator, Callable

import pytest

from service.app import App
from service.settings import Settings
from tests.conftest import AUDIENCE
from tests.http.accounts import Accounts, assert_refused, open_accounts
from tests.http.canary import canary
from tests.http.conftest import Active
from tests.http.forge import Forge
from tests.http.test_introspect_attack_claims import (  # noqa: F401 (collected here once more)
    test_atk_9_duplicate_claim,
    test_atk_9_duplicate_header_member,
    test_atk_11_exp,
    test_atk_12_iat_and_nbf,
    test_atk_13_feed_entry,
    test_atk_13_opaque_token,
    test_atk_13_token_of_another_kind,
    test_atk_14_typ,
    test_atk_14_typ_has_no_case,
    test_atk_16_several_audiences,
    test_atk_17_iss,
    test_atk_23_epoch,
    test_atk_23_text_that_no_table_takes,
)
from tests.http.test_introspect_attack_encoding import (  # noqa: F401 (collected here once more)
    test_atk_10_deep_header,
    test_atk_10_large_header,
    test_atk_10_long_number,
    test_atk_20_broken_utf_8,
    test_atk_20_json_serialisation,
    test_atk_20_other_encoding,
    test_atk_22_random_kids,
    test_atk_24_claims_that_are_no_object,
    test_unforged_token_is_active,
)
from tests.http.test_introspect_attack_signatures import (  # noqa: F401 (collected here once more)
    test_atk_8_critical_members,
    test_atk_8_detached_and_unencoded_payload,
    test_atk_18_claims_under_a_signature_of_others,
    test_atk_18_key_of_another_length,
    test_atk_18_one_bit_flipped,
    test_atk_18_spoilt_signature,
)
from tests.http.test_introspect_attacks import (  # noqa: F401 (collected here once more)
    test_atk_1_unsigned,
    test_atk_2_public_key_as_hmac_secret,
    test_atk_3_elliptic_signature_under_our_kid,
    test_atk_3_encrypted_token,
    test_atk_3_other_algorithm_of_our_key,
    test_atk_4_embedded_key,
    test_atk_5_embedded_certificate,
    test_atk_5_keys_elsewhere,
    test_atk_6_hostile_kid,
    test_atk_6_nearly_our_kid,
    test_atk_7_key_of_another_issuer_or_purpose,
)
from tests.sessions import Begun, begin

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
NOBODY = '"01a1fd52-3991-7b98-b0e3-b7a63839c280"'
BODY = {
    "error": "invalid_token",
    "error_description": "the access token is invalid, expired or revoked",
}


class SessionForge(Forge):
    """Makes tokens that look like those of a session."""

    def claims(self, **changes: str | None) -> bytes:
        return super().claims(**{**SESSIONS[self.client_id], **changes})


SESSIONS: dict[str, dict[str, str]] = {}


@pytest.fixture(scope="module")
async def accounts(app: App) -> AsyncIterator[Accounts]:
    async with open_accounts(app) as opened:
        yield opened


@pytest.fixture(scope="module")
async def begun(accounts: Accounts) -> Begun:
    return await begin(accounts.app, accounts.web)


@pytest.fixture(scope="module")
def forge(accounts: Accounts, begun: Begun) -> Forge:
    """Makes tokens of that session's own."""
    SESSIONS[accounts.web.id] = claims_of_session(begun)
    return SessionForge(accounts.app, accounts.web.id)


def claims_of_session(begun: Begun) -> dict[str, str]:
    """The JSON texts of what a session's token says beside a machine's."""
    claims = {
        "sub": str(begun.user.id),
        "sid": str(begun.id),
        "cv": 0,
        "auth_time": int(time.time()),
        "amr": ["pwd"],
    }
    return {name: json.dumps(value) for name, value in claims.items()}


@pytest.fixture
def active(accounts: Accounts, begun: Begun, settings: Settings) -> Active:
    """Whether the token opens the account; if not, the answer is RS-2's, and always the same.

    Asking touches nothing outside: no connection, no name, no file.
    """
    browser = accounts.browser()

    async def ask(token: str) -> bool:
        with canary(settings) as seen:
            answer = await browser.me(authorization=f"Bearer {token}".encode())
        assert seen == []
        if answer.status_code == 200:
            assert answer.json()["id"] == str(begun.user.id)
            return True
        assert_refused(answer, "invalid_token", 401)
        assert answer.json() == BODY
        return False

    return ask


@pytest.mark.parametrize(
    "changes",
    [
        *({"sid": text} for text in (None, "null", '"x"', "1", '""', '"\' OR 1=1--"', NOBODY)),
        *({"cv": text} for text in (None, "null", "-1", '"0"', "0.0", "true", "[]", "9" * 20)),
        *({"auth_time": text} for text in (None, "null", "-1", '"0"', "1.5", "true")),
        *({"amr": text} for text in (None, "null", '"pwd"', "[1]", "{}", '["\\ud800"]')),
        *({"roles": text} for text in ("null", '"admin"', "[1]", '["a\\u0000"]', "{}")),
        *({"acr": text} for text in ("1", "[]", '"\\ud800"')),
        *({"sub": text} for text in (None, '"anna"', '"nobody-here"', '"\' OR 1=1--"', "1")),
        *({"client_id": text} for text in ('"nobody-here"', '"x"', NOBODY, "[]")),
        {"cnf": '{"jkt":"x"}'},
        {"sub": "client", "sid": None, "cv": None, "auth_time": None, "amr": None},
    ],
    ids=lambda changes: f"{changes!a:.40}",
)
async def test_atk_23_what_no_sessions_token_says(
    active: Active, accounts: Accounts, forge: Forge, changes: dict[str, str | None]
) -> None:
    """ATK-23, AT-2: of another shape, of no session, of a machine."""
    if changes.get("sub") == "client":
        changes = {**changes, "sub": f'"{accounts.web.id}"'}
    assert not await active(forge.token(claims=forge.claims(**changes)))


@pytest.mark.parametrize(
    "aud",
    [
        *(None, "null", "[]", '""', "{}", "[1]", "1", "true", '["other"]', '"nobodys"'),
        *(f'"{AUDIENCE}/"', f'"{AUDIENCE[:-1]}"', f'"my-{AUDIENCE}"', f'"{AUDIENCE.upper()}"'),
        *(f'"{AUDIENCE}\\u0000"', f'" {AUDIENCE}"', f'"{AUDIENCE} other"', f'["{AUDIENCE}"]'),
    ],
)
async def test_atk_15_aud(active: Active, forge: Forge, aud: str | None) -> None:
    """ATK-15: one of the client's own, by the exact text."""
    assert not await active(forge.token(claims=forge.claims(aud=aud)))


async def test_atk_10_deep_nesting(active: Active, forge: Forge) -> None:
    """ATK-10, RS-3: as deep as a header's limit lets it come; claims go 16 deep."""
    for deep in ("[" * 5000 + "]" * 5000, '{"":' * 2000 + "1" + "}" * 2000, "[" * 16 + "]" * 16):
        assert not await active(forge.token(claims=forge.claims(deep=deep)))
    assert await active(forge.token(claims=forge.claims(deep="[" * 15 + "]" * 15)))


@pytest.mark.parametrize(
    "spell",
    [
        *(lambda t: t + "=", lambda t: t.replace(".", "=.", 1), lambda t: t[:50] + " " + t[50:]),
        *(lambda t: t + ".", lambda t: t + ".AAAA", lambda t: "." + t, lambda t: t[:-1]),
        *(lambda t: re.sub(r"\..*\.", "..", t), lambda t: t.rpartition(".")[0]),
        *(lambda t: t.replace("-", "+").replace("_", "/") + "+", lambda t: t.replace(".", "%2E")),
        lambda t: t[:-1] + ALPHABET[ALPHABET.index(t[-1]) | 1],
    ],
)
async def test_atk_19_other_spelling(
    active: Active, forge: Forge, spell: Callable[[str], str]
) -> None:
    """ATK-19: a token has one spelling; RFC 9110 §5.5: spaces around it are none of its own."""
    token = forge.token()
    while spell(token) == token:
        token = forge.token()
    assert await active(f" {token}\t ")
    assert not await active(spell(token))


@pytest.mark.parametrize("length", [16 * 1024 + 1, 60_000, 5_000_000])
async def test_atk_10_long_token(active: Active, forge: Forge, length: int) -> None:
    """ATK-10: refused by its length, nothing of it parsed."""
    assert not await active("a" * length)
    head, body, tail = forge.token().split(".")
    assert not await active(f"{head}.{body}{'A' * length}.{tail}")
