"""For forged tokens: a client whose tokens they look like, and the question whether one passes."""

from collections.abc import Awaitable, Callable

import httpx
import pytest

from service.app import App
from service.keys.signer import PrivateKey
from service.settings import Settings
from tests.conftest import AUDIENCE, MakeClient, RegisteredClient
from tests.http.canary import canary
from tests.http.forge import Forge, is_active

Active = Callable[[str], Awaitable[bool]]


@pytest.fixture(scope="module")
async def caller(make_client: MakeClient) -> RegisteredClient:
    """Serves what forged audiences might be taken for, so that only their form can refuse them."""
    return await make_client(serves=(AUDIENCE, "other"))


@pytest.fixture(scope="module")
def forge(app: App, caller: RegisteredClient) -> Forge:
    """Makes tokens of the caller's own."""
    return Forge(app, caller.id)


@pytest.fixture(scope="session")
def attacker() -> PrivateKey:
    """A key of the attacker's own."""
    return PrivateKey.generate()


@pytest.fixture
def active(http: httpx.AsyncClient, settings: Settings, caller: RegisteredClient) -> Active:
    """Whether the pod takes a token for good; if not, its answer is exactly INT-2's.

    Asking touches nothing outside: no connection, no name, no file.
    """

    async def ask(token: str) -> bool:
        with canary(settings) as seen:
            answer = await is_active(http, caller, token)
        assert seen == []
        return answer

    return ask
