"""A real pod with hosted pages, for browsers and clients that are not ours."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from uuid import uuid4

from tests.conftest import AUDIENCE
from tests.faults.failover_support import Pod, free_port, until
from tests.faults.processes import Client, Deployment, open_deployment

PASSWORD = "brittle lantern over nine hills"
SCOPES = ("openid", "profile", "email", "offline_access", "orders:read")


class Live(Deployment):
    """One pod. Its issuer is localhost, so that clients at 127.0.0.1 are another site."""

    def environment(self, database_url: str) -> dict[str, str]:
        many = {"WATCHWORD_REGISTRATIONS_PER_ADDRESS": "1000"}
        return {**super().environment(database_url), **many}

    @property
    def pod(self) -> Pod:
        return self.pods[0]

    def make_web_client(self, redirect_uri: str, *options: str) -> Client:
        """The id and secret of a new client of the code flow; a public one has none."""
        name = f"c-{uuid4().hex[:12]}"
        grants = ("--grant", "authorization_code", "--grant", "refresh_token")
        scopes = [it for scope in SCOPES for it in ("--scope", scope)]
        said = self.run(
            self.database_url,
            *("clients", "create", name, "--name", "Notebook", "--audience", AUDIENCE),
            *(*grants, *scopes, "--redirect-uri", redirect_uri, *options),
        )
        return name, "" if "--public" in options else said.split()[-1]

    def make_user(self) -> str:
        """The name of a new user."""
        name = f"u{uuid4().hex[:12]}"
        person = {"username": name, "email": f"{name}@example.com", "full_name": "Ada Lovelace"}
        answer = self.pod.http.post(
            "/api/register",
            json={"client_id": self.first_party, **person, "password": PASSWORD},
            headers={"X-Requested-With": "test"},
        )
        assert answer.status_code == 201, answer.text
        return name

    @cached_property
    def first_party(self) -> str:
        """The client at which users are made."""
        options = ("--first-party", "--refresh-delivery", "body", "--scope", "orders:read")
        create = ("clients", "create", "registrar", "--audience", AUDIENCE, *options)
        self.run(self.database_url, *create)
        return "registrar"


@contextmanager
def open_live(folder: Path) -> Iterator[Live]:
    """PostgreSQL, Redis and a pod that is ready."""
    with open_deployment(folder, Live) as site:
        port = free_port()
        site.issuer = f"http://localhost:{port}"
        site.run(site.database_url, "migrate")
        pod = site.start_pod(url=f"http://127.0.0.1:{port}")
        until(pod.is_ready)
        yield site
