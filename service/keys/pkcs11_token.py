"""A PKCS#11 token (OASIS, Cryptoki 2.40): its sessions, key pairs and signatures."""

import secrets
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import pkcs11
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from pkcs11 import Attribute, KeyType, Mechanism, MechanismFlag, ObjectClass
from pkcs11.exceptions import NoSuchKey, PKCS11Error, UserAlreadyLoggedIn
from pkcs11.util.ec import encode_named_curve_parameters

from service.keys.jwk import public_jwk
from service.oauth.jws import decode_base64url
from service.oauth.signing_key import ES256

_LABEL = "watchword"
_ID_BYTES = 16
# An uncompressed point of P-256, X9.62: 65 bytes in a DER octet string.
_POINT_HEAD = b"\x04\x41\x04"
# It can't be read, nor wrapped and read elsewhere; it signs for who has logged in, and no more.
_PRIVATE = {
    Attribute.SENSITIVE: True,
    Attribute.EXTRACTABLE: False,
    Attribute.PRIVATE: True,
}
_USES = MechanismFlag.SIGN | MechanismFlag.VERIFY


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Address:
    """Where the keys are: the vendor's library, the token's label, and the user's PIN."""

    module: str
    token: str
    pin: str


@dataclass(frozen=True, slots=True)
class FoundKey:
    """A key pair of the token: what it is known by, and the handle that signs, in that session."""

    public_jwk: dict[str, Any]
    private: Any
    session: Any


def log_in(address: Address, *, afresh: bool, writing: bool = False) -> Any:
    """A session of the user. `afresh`: the library begins anew, as after an outage.

    Raises PKCS11Error, or RuntimeError where there is no such library.
    """
    library = pkcs11.lib(address.module)
    if afresh:
        library.reinitialize()
    token = library.get_token(token_label=address.token)
    try:
        return token.open(user_pin=address.pin, rw=writing)
    except UserAlreadyLoggedIn:  # a process logs in once for all its sessions
        return token.open(rw=writing)


def generate_pair(session: Any, alg: str, bits: int) -> dict[str, Any]:
    """The public JWK of a new key pair, of which the private half can't leave the token."""
    names = {"id": secrets.token_bytes(_ID_BYTES), "label": _LABEL, "store": True}
    templates = {"capabilities": _USES, "private_template": _PRIVATE}
    if alg == ES256:
        curve = {Attribute.EC_PARAMS: encode_named_curve_parameters("secp256r1")}
        parameters = session.create_domain_parameters(KeyType.EC, curve, local=True)
        public, private = parameters.generate_keypair(**names, **templates)
    else:
        public, private = session.generate_keypair(KeyType.RSA, bits, **names, **templates)
    jwk = _read_public(public)
    for half in (public, private):
        try:
            half[Attribute.LABEL] = jwk["kid"]
        except PKCS11Error:  # the pair is good; the operator's tool shows it by its id alone then
            break
    return jwk


def find_pair(session: Any, jwk: dict[str, Any]) -> FoundKey | None:
    """The key pair by its public half, as the token itself has that; None where it has none."""
    for public in list(session.get_objects(_search(jwk))):  # one search at a time
        try:
            private = session.get_key(object_class=ObjectClass.PRIVATE_KEY, id=public.id)
        except NoSuchKey:
            continue
        return FoundKey(_read_public(public), private, session)
    return None


def destroy_pair(session: Any, jwk: dict[str, Any]) -> None:
    """Delete both halves."""
    for public in list(session.get_objects(_search(jwk))):
        for half in list(session.get_objects({Attribute.ID: public.id})):
            half.destroy()


def make_signature(key: FoundKey, message: bytes) -> bytes:
    """The JWS signature: RSASSA-PKCS1-v1_5 or ECDSA, with SHA-256 (RFC 7518 §3.3 and §3.4)."""
    if key.public_jwk["alg"] == ES256:
        # Hashed here: few tokens hash for ECDSA. They answer r and s side by side, as JWS does.
        return key.private.sign(sha256(message).digest(), mechanism=Mechanism.ECDSA)
    return key.private.sign(message, mechanism=Mechanism.SHA256_RSA_PKCS)


def _search(jwk: dict[str, Any]) -> dict[Attribute, Any]:
    public = {Attribute.CLASS: ObjectClass.PUBLIC_KEY}
    if jwk.get("kty") == "EC":
        point = _POINT_HEAD + _bytes(jwk, "x") + _bytes(jwk, "y")
        return public | {Attribute.KEY_TYPE: KeyType.EC, Attribute.EC_POINT: point}
    return public | {Attribute.KEY_TYPE: KeyType.RSA, Attribute.MODULUS: _bytes(jwk, "n")}


def _read_public(public: Any) -> dict[str, Any]:
    if public.key_type == KeyType.EC:
        point = public[Attribute.EC_POINT][len(_POINT_HEAD) - 1 :]
        return public_jwk(ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point))
    modulus, exponent = (
        int.from_bytes(public[name]) for name in (Attribute.MODULUS, Attribute.PUBLIC_EXPONENT)
    )
    return public_jwk(rsa.RSAPublicNumbers(exponent, modulus).public_key())


def _bytes(jwk: dict[str, Any], member: str) -> bytes:
    text = jwk.get(member)
    return (decode_base64url(text) or b"") if isinstance(text, str) else b""
