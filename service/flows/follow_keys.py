"""Following the signing keys from tick to tick: missing ones are made, what there is is read."""

import asyncio

from service.flows.load_keys import create_missing_keys, load_keys, renew_keys
from service.keys.keyring import Keyring, KeyringError, TokenKeysUnusable
from service.keys.signer import SignerUnavailable
from service.sql.connection import Database, DatabaseUnavailable
from service.sql.feed import FeedState
from service.telemetry import log

# An RSA key of 2048 bits takes a tenth of a second.
_PATIENCE_SECONDS = 0.5


class KeyFollower:
    """What a pod does where the keys are not those that it has read.

    Heartbeats do not wait for a key that takes long: hardware may need a minute to make one, or be
    away, and verifiers that hear nothing would refuse every token.
    """

    def __init__(self, database: Database, keyring: Keyring) -> None:
        self._database = database
        self._keyring = keyring
        self._keys_of: tuple[str, str, tuple[str, ...]] | None = None
        self._making: asyncio.Task[None] | None = None

    async def follow(self, state: FeedState) -> bool:
        """Take the keys over where they changed or an epoch begins; whether they did.

        One that is made late changes them again. Where only those of tokens can't be used, the feed
        goes on, and who keeps the keys' lives tries again.
        Raises DatabaseUnavailable, KeyringError.
        """
        keys_of = (state.head.epoch, state.keys_mark, state.killed_kids)
        if keys_of == self._keys_of:
            return False
        if self._making is None or self._making.done():
            self._making = asyncio.create_task(self._make_missing())
        await asyncio.wait({self._making}, timeout=_PATIENCE_SECONDS)
        try:
            await self._load()
        except (SignerUnavailable, TokenKeysUnusable) as error:  # the feed's are read
            log.warning("keys_postponed", reason=str(error))
        self._keys_of = keys_of
        return True

    async def _make_missing(self) -> None:
        """Where that fails, who keeps the keys' lives tries again within seconds."""
        try:
            await create_missing_keys(self._database, self._keyring.store)
        except (DatabaseUnavailable, KeyringError, SignerUnavailable) as error:
            log.warning("keys_postponed", reason=str(error))
        except Exception as error:  # noqa: BLE001 (nobody waits for it who could say so)
            log.error("keys_failed", error=repr(error))

    async def _load(self) -> None:
        try:
            await load_keys(self._database, self._keyring)
        except KeyringError:  # none signs any more: there is nothing that could go on meanwhile
            await renew_keys(self._database, self._keyring)
