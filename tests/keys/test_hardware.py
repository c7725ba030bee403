"""Signing keys in hardware: made there, found there, and never read. JWKS-7."""

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import jwt
import pkcs11
import pytest
from pkcs11 import Attribute, ObjectClass
from pkcs11.exceptions import AttributeSensitive, DeviceRemoved
from structlog.testing import capture_logs

from service.app import open_database
from service.flows.load_keys import create_missing_keys, load_keys
from service.keys.hardware import HardwareKeys
from service.keys.key_store import KeyringError, KeyStore
from service.keys.keyring import Keyring
from service.keys.master_keys import MasterKeys, read_master_keys
from service.keys.pkcs11_token import log_in
from service.keys.sign import sign
from service.keys.signer import PrivateKey, SignerUnavailable
from service.oauth.signing_key import ES256, FEED, RS256, TOKEN
from service.settings import Settings
from service.sql.connection import Database
from service.sql.signing_keys import list_signing_keys
from tests.conftest import MakeSettings
from tests.keys.softhsm import MODULE, SoftHsm, make_token

pytestmark = pytest.mark.slow

MASTER_KEYS = MasterKeys(wrap={"1": b"1" * 32}, refresh={}, current_wrap="1", current_refresh=1)
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def token(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SoftHsm]:
    made = make_token(tmp_path_factory.mktemp("softhsm"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOFTHSM2_CONF", made.environment["SOFTHSM2_CONF"])
        yield made


@pytest.fixture
def hardware(token: SoftHsm) -> HardwareKeys:
    return HardwareKeys(token.address)


def store(hardware: HardwareKeys | None) -> KeyStore:
    return KeyStore(issuer="https://auth.example", master_keys=MASTER_KEYS, hardware=hardware)


def count_pairs(token: SoftHsm) -> int:
    found = log_in(token.address, afresh=False)
    return len(list(found.get_objects({Attribute.CLASS: ObjectClass.PRIVATE_KEY})))


@pytest.mark.parametrize(("alg", "bits"), [(RS256, 2048), (RS256, 3072), (ES256, 0)])
def test_another_library_takes_its_tokens(hardware: HardwareKeys, alg: str, bits: int) -> None:
    """AT-1: by the public half alone, for the private one never left."""
    jwk = hardware.generate(alg, bits)
    signer = hardware.open(jwk)
    assert signer is not None
    assert (signer.kid, signer.alg, signer.public_jwk) == (jwk["kid"], alg, jwk)
    made = sign(signer, "at+jwt", {"n": 1})
    assert jwt.decode(made, jwt.PyJWK(jwk), algorithms=[alg]) == {"n": 1}


@pytest.mark.parametrize(
    ("alg", "secret"), [(RS256, Attribute.PRIVATE_EXPONENT), (ES256, Attribute.VALUE)]
)
def test_its_private_half_can_not_be_read(
    hardware: HardwareKeys, alg: str, secret: Attribute
) -> None:
    signer = hardware.open(hardware.generate(alg, 2048))
    assert signer is not None
    private = signer.found.private
    assert private[Attribute.EXTRACTABLE] is False
    assert private[Attribute.NEVER_EXTRACTABLE] is True
    assert private[Attribute.LABEL] == signer.kid
    with pytest.raises(AttributeSensitive):
        _ = private[secret]


def test_a_row_has_nothing_of_a_private_half(hardware: HardwareKeys) -> None:
    """The feed's key is wrapped as ever: it signs each second."""
    of_tokens = store(hardware).generate(TOKEN, RS256, state="active", activates_at=NOW)
    assert (of_tokens.wrapped_private_key, of_tokens.wrap_key_id) == (None, None)
    assert store(hardware).open(of_tokens).kid == of_tokens.kid
    of_feed = store(hardware).generate(FEED, RS256, state="active", activates_at=NOW)
    assert of_feed.wrap_key_id == "1"
    with pytest.raises(KeyringError, match="kept in hardware"):
        store(hardware).rewrap(of_tokens)


def test_a_key_that_is_not_there_is_named(hardware: HardwareKeys) -> None:
    row = store(hardware).generate(TOKEN, RS256, state="active", activates_at=NOW)
    with pytest.raises(KeyringError, match=f"{row.kid} is kept in hardware: set WATCHWORD_PKCS11"):
        store(None).open(row)
    stranger = PrivateKey.generate().public_jwk
    assert hardware.open(stranger) is None
    for jwk in (stranger, {**json.loads(row.public_jwk), "n": "AQAB"}, {}, []):
        with pytest.raises(KeyringError, match="is not in the token that WATCHWORD_PKCS11_TOKEN"):
            store(hardware).open(replace(row, public_jwk=json.dumps(jwk)))
    assert hardware.open(json.loads(row.public_jwk)) is not None


def test_the_public_half_is_the_tokens_own(hardware: HardwareKeys) -> None:
    """ATK-21: what somebody wrote into the row is never published."""
    row = store(hardware).generate(TOKEN, ES256, state="active", activates_at=NOW)
    foreign = {**json.loads(row.public_jwk), "kid": "x", "use": "enc", "x5u": "https://evil"}
    opened = store(hardware).open(replace(row, public_jwk=json.dumps(foreign)))
    assert opened.public_jwk == json.loads(row.public_jwk)


def test_a_token_that_was_away_is_logged_in_to_again(
    token: SoftHsm, hardware: HardwareKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    jwk = hardware.generate(ES256, 0)
    signer = hardware.open(jwk)
    assert signer is not None
    token.take_away()
    try:
        with pytest.raises(SignerUnavailable, match="token watchword does not answer"):
            signer.sign(b"message")
    finally:
        token.bring_back()
    with pytest.raises(SignerUnavailable):  # nothing is asked for a while
        signer.sign(b"message")
    monkeypatch.setattr(hardware, "_rests_until", 0)
    assert len(signer.sign(b"message")) == 64
    assert len(signer.sign(b"message")) == 64


def test_whatever_a_library_fails_with_is_an_outage(
    hardware: HardwareKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some speak to their token over a network, and not every fault of that is PKCS#11's."""
    signer = hardware.open(hardware.generate(ES256, 0))
    assert signer is not None

    def fail(*_: object) -> bytes:
        raise OSError("broken pipe")

    monkeypatch.setattr("service.keys.hardware.make_signature", fail)
    with pytest.raises(SignerUnavailable, match="broken pipe"):
        signer.sign(b"message")


def test_nobody_waits_for_a_token_that_was_away(
    hardware: HardwareKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A vendor's library may take a minute to fail, and an event loop would stand still."""
    signer = hardware.open(hardware.generate(ES256, 0))
    assert signer is not None
    is_there, logins = threading.Event(), []

    def hang(*arguments: Any, **named: Any) -> Any:
        logins.append(named)
        is_there.wait(20)
        return log_in(*arguments, **named)

    def fail(*_: object) -> bytes:
        raise DeviceRemoved

    with monkeypatch.context() as away:
        away.setattr("service.keys.hardware.log_in", hang)
        away.setattr("service.keys.hardware.make_signature", fail)
        began = time.monotonic()
        for _ in range(50):
            with pytest.raises(SignerUnavailable, match="does not answer"):
                signer.sign(b"message")
        assert time.monotonic() - began < 5
        assert len(logins) == 1
    is_there.set()
    assert hardware._login is not None
    hardware._login.join(20)
    assert len(signer.sign(b"message")) == 64


def test_after_an_outage_each_key_is_found_again_and_one_login_serves_all(
    token: SoftHsm, hardware: HardwareKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A handle from before may be another key's since: none is used."""
    jwks = [hardware.generate(alg, 2048) for alg in (RS256, ES256, ES256)]
    signers = [hardware.open(jwk) for jwk in jwks]
    token.take_away()
    try:
        for signer in signers:
            with pytest.raises(SignerUnavailable):
                signer.sign(b"message")
    finally:
        token.bring_back()
    monkeypatch.setattr(hardware, "_rests_until", 0)
    logins = []

    def count(*arguments: Any, **named: Any) -> Any:
        logins.append(named)
        return log_in(*arguments, **named)

    monkeypatch.setattr("service.keys.hardware.log_in", count)
    for signer in [*reversed(signers), *signers]:
        made = sign(signer, "at+jwt", {"n": 1})
        jwk = jwt.PyJWK(signer.public_jwk)
        assert jwt.decode(made, jwk, algorithms=[signer.alg]) == {"n": 1}
    assert len(logins) == 1


@pytest.mark.parametrize("first", ["check", "open", "generate"])
def test_a_refused_pin_is_not_sent_again(
    token: SoftHsm, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    """Hardware locks after a few."""
    wrong = HardwareKeys(replace(token.address, pin="000000"))
    ask = {
        "check": wrong.check,
        "open": lambda: wrong.open(PrivateKey.generate().public_jwk),
        "generate": lambda: wrong.generate(ES256, 0),
    }
    # Logged in by another of this process, a token asks for no PIN.
    pkcs11.lib(MODULE).reinitialize()
    with pytest.raises(SignerUnavailable, match="PinIncorrect"):
        ask[first]()
    monkeypatch.setattr("service.keys.hardware.log_in", None)  # nothing can be sent
    for again in ask.values():
        with pytest.raises(SignerUnavailable, match="refused its PIN") as said:
            again()
        assert "000000" not in str(said.value)


@pytest.mark.parametrize(
    ("address", "said"),
    [({"module": "/nowhere.so"}, "cannot open shared object"), ({"token": "x"}, "NoSuchToken")],
)
def test_what_is_wrong_with_an_address_is_said(
    token: SoftHsm, address: dict[str, str], said: str
) -> None:
    with pytest.raises(SignerUnavailable, match=said):
        HardwareKeys(replace(token.address, **address)).generate(ES256, 0)


async def test_pods_at_once_make_one_pair_and_leave_no_other_behind(
    token: SoftHsm, make_settings: MakeSettings
) -> None:
    """JWKS-5."""
    for _ in range(10):  # anew where one was writing the files that another's SoftHSM read then
        settings, before = await make_settings(), count_pairs(token)
        database = open_database(settings)
        try:
            stores, disturbed = await begin_at_once(token, settings, database)
            if not disturbed:
                assert count_pairs(token) == before + 2
                await assert_one_for_all(database, stores)
                return
        finally:
            await database.close()
    pytest.fail("SoftHSM was disturbed each time")


async def begin_at_once(
    token: SoftHsm, settings: Settings, database: Database
) -> tuple[list[KeyStore], bool]:
    """Three pods that make the first keys, and whether the token failed one of them."""
    master_keys = read_master_keys(settings.keys_dir)
    stores = [
        KeyStore(issuer=settings.issuer, master_keys=master_keys, hardware=HardwareKeys(it))
        for it in [token.address] * 3
    ]
    made = (create_missing_keys(database, store) for store in stores)
    with capture_logs() as logs:
        faults = [it for it in await asyncio.gather(*made, return_exceptions=True) if it]
    assert [it for it in faults if not isinstance(it, SignerUnavailable)] == []
    return stores, bool(faults) or "key_left_in_hardware" in {line["event"] for line in logs}


async def assert_one_for_all(database: Database, stores: list[KeyStore]) -> None:
    async with database.connection() as connection:
        keys = await list_signing_keys(connection)
    assert [key.wrap_key_id for key in keys if key.purpose == TOKEN] == [None, None]
    rings = [Keyring(it) for it in stores]
    for ring in rings:
        await load_keys(database, ring)
    assert len({ring.key_set(TOKEN).jwks for ring in rings}) == 1
    assert len({ring.key_set(TOKEN).signer.sign(b"message") for ring in rings}) == 1
