"""Signing keys in hardware, by PKCS#11: the private half never leaves the token."""

import multiprocessing
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from pkcs11.exceptions import (
    PinExpired,
    PinIncorrect,
    PinInvalid,
    PinLenRange,
    PinLocked,
    PKCS11Error,
)

from service.keys.pkcs11_token import (
    Address,
    FoundKey,
    destroy_pair,
    find_pair,
    generate_pair,
    log_in,
    make_signature,
)
from service.keys.signer import SignerUnavailable

# After a failure nothing is asked for so long: a vendor's library may take seconds to fail.
_PAUSE_SECONDS = 5.0
_WORK_SECONDS = 120.0
# A token that is there lets in within milliseconds. Nothing waits longer for one that was away.
_PATIENCE_SECONDS = 0.25
_FAULTS = (PKCS11Error, RuntimeError, OSError)
# Tried again, a wrong PIN would lock the token.
_REFUSED_PINS = (PinExpired, PinIncorrect, PinInvalid, PinLenRange, PinLocked)


class HardwareSigner:
    """Signs with one key of the token."""

    in_memory = False

    def __init__(self, keys: "HardwareKeys", found: FoundKey) -> None:
        self._keys = keys
        self.found = found
        self.public_jwk = found.public_jwk
        self.kid: str = found.public_jwk["kid"]
        self.alg: str = found.public_jwk["alg"]

    def sign(self, message: bytes) -> bytes:
        """The signature. Raises SignerUnavailable."""
        return self._keys.sign(self, message)


class HardwareKeys:
    """The keys of a token, logged in to when it is first needed.

    What makes or deletes a key runs in a process of its own: a library is initialised for one
    thread, which has to sign in the seconds that a new key takes. A PIN that was refused is not
    sent again.
    """

    def __init__(self, address: Address) -> None:
        self._address = address
        self._session: Any = None
        self._failed = False
        self._rests_until = float("-inf")
        self._login: threading.Thread | None = None
        self._fault = ""
        self._lock = threading.Lock()

    def generate(self, alg: str, bits: int) -> dict[str, Any]:
        """The public JWK of a new key pair. Raises SignerUnavailable."""
        return self._apart(generate_pair, alg, bits)

    def destroy(self, public_jwk: dict[str, Any]) -> None:
        """Delete both halves of a key. Raises SignerUnavailable."""
        self._apart(destroy_pair, public_jwk)

    def check(self) -> str:
        """The name of the token, which answers and lets in. Raises SignerUnavailable."""
        with self._lock:
            return self._ask(lambda _: self._name)

    def open(self, public_jwk: dict[str, Any]) -> HardwareSigner | None:
        """What signs with that key; None where the token has none. Raises SignerUnavailable."""
        with self._lock:
            found = self._ask(find_pair, public_jwk)
        return None if found is None else HardwareSigner(self, found)

    def sign(self, signer: HardwareSigner, message: bytes) -> bytes:
        """A signature. A key is found again where the token was away. Raises SignerUnavailable."""
        with self._lock:
            # A handle of a former session may be another key's by now.
            if not self._failed and signer.found.session is self._session:
                try:
                    return make_signature(signer.found, message)
                except _FAULTS as error:
                    self._failed, self._fault = True, _fault(error)
            found = self._ask(find_pair, signer.public_jwk)
            if found is None:
                raise SignerUnavailable(f"{self._name} has no key {signer.kid}")
            signer.found = found
            return self._ask(lambda _: make_signature(found, message))

    @property
    def _name(self) -> str:
        return f"the PKCS#11 token {self._address.token}"

    def _ask(self, question: Callable[..., Any], *arguments: Any) -> Any:
        self._check_rest()
        if self._session is None:
            self._log_in()
        elif self._failed:
            self._log_in_beside()
        if self._failed:
            raise self._unavailable(self._fault)
        try:
            return question(self._session, *arguments)
        except _FAULTS as error:
            self._note(error)
            raise self._unavailable(self._fault) from None

    def _log_in_beside(self) -> None:
        """Begin anew in a thread: who asks may be an event loop, and the library take a minute."""
        if self._login is not None and self._login.is_alive():
            raise self._unavailable("it is being logged in to")
        self._login = threading.Thread(target=self._log_in, daemon=True)
        self._login.start()
        self._login.join(_PATIENCE_SECONDS)

    def _log_in(self) -> None:
        try:
            session = log_in(self._address, afresh=self._failed)
        except _FAULTS as error:
            self._note(error)
        else:
            self._session, self._failed = session, False

    def _note(self, error: Exception) -> None:
        self._fault = _fault(error)
        self._failed = True
        self._rest(refused=isinstance(error, _REFUSED_PINS))

    def _unavailable(self, fault: str) -> SignerUnavailable:
        return SignerUnavailable(f"{self._name} does not answer: {fault}")

    def _check_rest(self) -> None:
        if self._rests_until == float("inf"):
            raise SignerUnavailable(f"{self._name} refused its PIN: set another, and start again")
        if time.monotonic() < self._rests_until:
            raise SignerUnavailable(f"{self._name} does not answer")

    def _rest(self, *, refused: bool) -> None:
        self._rests_until = float("inf") if refused else time.monotonic() + _PAUSE_SECONDS

    def _apart(self, work: Callable[..., Any], *arguments: Any) -> Any:
        self._check_rest()
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(
            target=_work, args=(theirs, self._address, work, arguments), daemon=True
        )
        process.start()
        theirs.close()
        try:
            answer = ours.recv() if ours.poll(_WORK_SECONDS) else _Fault("no answer in time")
        except EOFError:
            answer = _Fault("its library ended the process")
        finally:
            process.kill()
            process.join()
            ours.close()
        if isinstance(answer, _Fault):
            self._rest(refused=answer.refused)
            raise self._unavailable(answer.text)
        return answer


@dataclass(frozen=True, slots=True)
class _Fault:
    text: str
    refused: bool = False


def _work(
    answers: Connection, address: Address, work: Callable[..., Any], arguments: tuple[Any, ...]
) -> None:
    try:
        answers.send(work(log_in(address, afresh=False, writing=True), *arguments))
    except _FAULTS as error:
        answers.send(_Fault(_fault(error), refused=isinstance(error, _REFUSED_PINS)))


def _fault(error: Exception) -> str:
    """The name of a PKCS#11 fault says it; its text is mostly empty. No PIN is in either."""
    return f"{type(error).__name__} {error}".strip()
