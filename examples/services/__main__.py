"""make example: two services that verify tokens by themselves, and tokens taken back from both."""

import asyncio
import signal
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx

from examples.services.site import CLIENTS, Site
from examples.services.story import Story
from examples.services.telling import Telling


def main() -> None:
    """Start everything, tell the story, stop everything."""
    # As Ctrl-C, which unwinds all that has been started.
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    telling = Telling()
    with TemporaryDirectory(prefix="watchword-example-") as folder, ExitStack() as stack:
        site = Site(Path(folder), stack)
        print("Two services verify tokens by themselves, and tokens are taken back from both.\n")
        with telling.timed("PostgreSQL, Redis and a pod of Watchword start"):
            site.start_watchword()
        with telling.timed(f"clients: {', '.join(CLIENTS)}"):
            site.register_clients()
        with telling.timed("orders (Litestar) and billing (FastAPI) start"):
            site.start_services()
        asyncio.run(tell(site, telling))
    print("\nAll of it is stopped and removed.")


async def tell(site: Site, telling: Telling) -> None:
    """Chapter by chapter."""
    async with httpx.AsyncClient() as http:
        story = Story(site, telling, http)
        print()
        annas = await story.services_call_each_other()
        print()
        await story.a_token_is_revoked()
        print()
        await story.a_session_ends(annas)
        print()
        await story.a_client_is_revoked()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        raise SystemExit("stopped") from None
