"""Signers and verifiers: RS256 of 2048 bits, thumbprints of RFC 7638. JWKS-2, JWKS-3."""

import base64
import json

import jwt
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from jwt.exceptions import InvalidKeyError

from service.keys.jwk import Verifier, public_jwk, thumbprint
from service.keys.sign import sign
from service.keys.signer import PrivateKey
from service.oauth.signing_key import ES256

RFC_7638 = {
    "kty": "RSA",
    "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_B"
    "JECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2Q"
    "vzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6We"
    "Zu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
    "e": "AQAB",
    "alg": "RS256",
    "kid": "2011-04-29",
}
RFC_9449 = {
    "kty": "EC",
    "x": "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs",
    "y": "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA",
    "crv": "P-256",
}
RFC_8037 = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}


@pytest.fixture(scope="module")
def signer() -> PrivateKey:
    return PrivateKey.generate()


@pytest.mark.parametrize(
    ("jwk", "expected"),
    [
        (RFC_7638, "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"),
        (RFC_9449, "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"),
        (RFC_8037, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"),
    ],
    ids=["RFC 7638 §3.1", "RFC 9449 Figure 8", "RFC 8037 A.3"],
)
def test_thumbprint_of_the_rfcs(jwk: dict[str, str], expected: str) -> None:
    """JWKS-3: the required members alone, whatever else is there and in whatever order."""
    assert thumbprint(jwk) == expected
    assert thumbprint(dict(reversed(jwk.items())) | {"use": "sig", "d": "x"}) == expected


def test_new_key_has_2048_bits_and_the_usual_exponent(signer: PrivateKey) -> None:
    """JWKS-2."""
    numbers = signer._key.public_key().public_numbers()
    assert (numbers.n.bit_length(), numbers.e) == (2048, 65537)


def test_jwk_has_public_members_alone(signer: PrivateKey) -> None:
    """JWKS-2: and unpadded base64url without a leading zero byte."""
    jwk = signer.public_jwk
    assert set(jwk) == {"kty", "n", "e", "kid", "use", "alg"}
    assert (jwk["kty"], jwk["use"], jwk["alg"], jwk["e"]) == ("RSA", "sig", "RS256", "AQAB")
    numbers = signer._key.public_key().public_numbers()
    modulus = base64.urlsafe_b64decode(jwk["n"] + "==")
    assert (len(modulus), int.from_bytes(modulus)) == (256, numbers.n)
    assert "=" not in jwk["n"]
    private = signer._key.private_numbers()
    secret = base64.urlsafe_b64encode(private.d.to_bytes(256)).decode()
    assert secret.rstrip("=") not in json.dumps(jwk)


def test_kid_is_the_thumbprint(signer: PrivateKey) -> None:
    """JWKS-3."""
    assert signer.kid == signer.public_jwk["kid"] == thumbprint(signer.public_jwk)
    assert len(signer.kid) == 43


def test_vector_of_rfc_7638_as_a_public_jwk() -> None:
    """JWKS-3: numbers become members and a kid."""
    n, e = (int.from_bytes(base64.urlsafe_b64decode(RFC_7638[name] + "==")) for name in ("n", "e"))
    jwk = public_jwk(rsa.RSAPublicNumbers(e, n).public_key())
    assert (jwk["n"], jwk["e"]) == (RFC_7638["n"], RFC_7638["e"])
    assert jwk["kid"] == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


def test_key_survives_its_storage(signer: PrivateKey) -> None:
    loaded = PrivateKey.load(signer.private_bytes())
    assert loaded.public_jwk == signer.public_jwk
    assert Verifier(signer.public_jwk).verify(b"message", loaded.sign(b"message"))


def test_key_that_is_of_no_known_kind_is_refused() -> None:
    key = ec.generate_private_key(ec.SECP384R1())
    der = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(TypeError, match="P-256"):
        PrivateKey.load(der)
    with pytest.raises(ValueError, match="deserialize"):
        PrivateKey.load(b"garbage")


def test_signature_is_rs256(signer: PrivateKey) -> None:
    """AT-1: RSASSA-PKCS1-v1_5 with SHA-256 (RFC 7518 §3.3), by another library's word."""
    signature = signer.sign(b"message")
    assert len(signature) == 256
    public = signer._key.public_key()
    public.verify(signature, b"message", padding.PKCS1v15(), hashes.SHA256())


def test_verifier_takes_its_own_signature_and_no_other(signer: PrivateKey) -> None:
    """JWKS-2, ATK-18."""
    verifier, signature = Verifier(signer.public_jwk), signer.sign(b"message")
    assert verifier.verify(b"message", signature)
    pss = signer._key.sign(
        b"message", padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256()
    )
    others = [
        *(b"", b"\0", signature[:-1], signature + b"\0", b"\0" + signature, bytes(256)),
        *(signature[::-1], pss, b"\xff" * 256, signature * 2),
    ]
    assert not any(verifier.verify(b"message", other) for other in others)
    assert not verifier.verify(b"messagf", signature)


@pytest.mark.parametrize("alg", ["RS384", "PS256", "HS256", "none", "rs256", ""])
def test_verifier_is_for_one_algorithm(signer: PrivateKey, alg: str) -> None:
    """JWKS-2 [8725 §3.1]."""
    with pytest.raises(TypeError):
        Verifier({**signer.public_jwk, "alg": alg})


def test_signed_token_has_three_header_members(signer: PrivateKey) -> None:
    """AT-1: `alg`, `kid`, `typ`; no `jku`, `jwk`, `x5u`, `x5c`."""
    token = sign(signer, "at+jwt", {"iss": "é", "n": 1})
    assert jwt.get_unverified_header(token) == {
        "alg": "RS256",
        "kid": signer.kid,
        "typ": "at+jwt",
    }
    key = jwt.PyJWK(signer.public_jwk)
    assert jwt.decode(token, key, algorithms=["RS256"]) == {"iss": "é", "n": 1}
    assert jwt.get_unverified_header(sign(signer, "x+jwt", {}))["typ"] == "x+jwt"


class TestES256:
    """The second algorithm: RFC 7518 §3.4."""

    @pytest.fixture
    def es256(self) -> PrivateKey:
        return PrivateKey.generate(ES256)

    def test_jwk_has_public_members_alone_and_coordinates_of_full_length(self) -> None:
        """JWKS-2: leading zeros stay; about one key in 128 has one."""
        for _ in range(1000):
            key = ec.generate_private_key(ec.SECP256R1()).public_key()
            jwk = public_jwk(key)
            assert {len(jwk["x"]), len(jwk["y"])} == {43}
            if min(key.public_numbers().x, key.public_numbers().y) < 1 << 248:
                break
        else:
            pytest.fail("no key with a leading zero in 1000")
        assert set(jwk) == {"kty", "crv", "x", "y", "kid", "use", "alg"}
        assert (jwk["kty"], jwk["crv"], jwk["alg"]) == ("EC", "P-256", "ES256")
        assert jwk["kid"] == thumbprint(jwk)

    def test_another_library_takes_its_tokens(self, es256: PrivateKey) -> None:
        """AT-1."""
        token = sign(es256, "at+jwt", {"n": 1})
        assert jwt.get_unverified_header(token)["alg"] == "ES256"
        assert jwt.decode(token, jwt.PyJWK(es256.public_jwk), algorithms=["ES256"]) == {"n": 1}

    def test_key_survives_its_storage(self, es256: PrivateKey) -> None:
        loaded = PrivateKey.load(es256.private_bytes())
        assert (loaded.public_jwk, loaded.alg) == (es256.public_jwk, "ES256")

    def test_verifier_takes_its_own_signature_and_no_other(self, es256: PrivateKey) -> None:
        """ATK-18: neither DER, nor zeros, nor another length."""
        verifier, signature = Verifier(es256.public_jwk), es256.sign(b"message")
        assert len(signature) == 64
        assert verifier.verify(b"message", signature)
        der = es256._key.sign(b"message", ec.ECDSA(hashes.SHA256()))
        r, s = signature[:32], signature[32:]
        others = [b"", der, bytes(64), r + bytes(32), bytes(32) + s, s + r, b"\xff" * 64]
        others += [signature[:-1], signature + b"\0", b"\0" + r + b"\0" + s]
        assert not any(verifier.verify(b"message", other) for other in others)
        assert not verifier.verify(b"messagf", signature)

    @pytest.mark.parametrize("alg", ["ES384", "RS256", "HS256", "none", "es256"])
    def test_verifier_is_for_one_algorithm(self, es256: PrivateKey, alg: str) -> None:
        """JWKS-2, ATK-3."""
        with pytest.raises((TypeError, InvalidKeyError)):
            Verifier({**es256.public_jwk, "alg": alg})


@pytest.mark.parametrize("bits", [3072, 4096])
def test_rsa_keys_may_be_longer(bits: int) -> None:
    """JWKS-2."""
    key = PrivateKey.generate(bits=bits)
    assert len(key.sign(b"message")) * 8 == bits
    assert Verifier(key.public_jwk).verify(b"message", key.sign(b"message"))
