"""Private keys as a file has them, made when a test runs."""

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    """The whole file."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def damaged_pem() -> bytes:
    """A file's first and last line, and no key between them."""
    first, *_, last = pem(ec.generate_private_key(ec.SECP256R1())).splitlines()
    return b"\n".join((first, b"AA==", last, b""))
