"""What can't be avoided: one raw signature for a token, one raw hash for a login."""

import time
from collections.abc import Callable

from argon2.low_level import Type, hash_secret_raw
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256


class Yardstick:
    """CPU seconds of one piece of work, measured anew beside each figure."""

    def __init__(self, work: Callable[[], object] | None = None, count: int = 1_000) -> None:
        self._work = work or _signer()
        self._count = count

    @classmethod
    def of_hashes(cls) -> "Yardstick":
        """Of argon2id with the service's default parameters."""
        return cls(
            lambda: hash_secret_raw(b"password", b"s" * 16, 2, 19 * 1024, 1, 32, Type.ID), 40
        )

    def seconds(self) -> float:
        """CPU seconds of one."""
        began = time.process_time()
        for _ in range(self._count):
            self._work()
        return (time.process_time() - began) / self._count


def _signer() -> Callable[[], object]:
    """One raw RSA-2048 signature."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    scheme, digest, message = padding.PKCS1v15(), SHA256(), b"x" * 400
    return lambda: key.sign(message, scheme, digest)
