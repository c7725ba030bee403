"""Users and their sessions, made by the command line and by logging in to the pod."""

import base64
import json
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx

from tests.cli.conftest import Watchword
from tests.conftest import AUDIENCE
from tests.faults.failover_support import Pod

_HEADERS = {"X-Requested-With": "tests"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A user whom the command line made, with the password that it made."""

    name: str
    id: str
    password: str

    @property
    def email(self) -> str:
        return f"{self.name}@example.com"


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """The tokens of a session."""

    access_token: str
    refresh_token: str

    @property
    def claims(self) -> dict[str, Any]:
        payload = self.access_token.split(".")[1]
        return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))

    @property
    def session_id(self) -> str:
        return self.claims["sid"]


def describe(name: str) -> list[str]:
    """The options that every new user needs."""
    return [name, "--email", f"{name}@example.com", "--full-name", "Grace Hopper"]


def make_person(watchword: Watchword, *options: str) -> Person:
    name = f"u-{uuid4().hex[:12]}"
    said = watchword("users", "create", *describe(name), "--generate", *options)
    assert said.code == 0, said.err
    shown = dict(line.split() for line in said.out.splitlines())
    return Person(name=name, id=shown["user_id"], password=shown["password"])


def make_app(watchword: Watchword, *options: str) -> str:
    """A native app of ours, to which users log in."""
    client_id = f"app-{uuid4().hex[:12]}"
    what = ["--first-party", "--audience", AUDIENCE, "--scope", "orders:read", *options]
    said = watchword("clients", "create", client_id, *what)
    assert (said.code, said.err) == (0, "")
    return client_id


def post(pod: Pod, path: str, **members: str) -> httpx.Response:
    return pod.http.post(path, json=members, headers=_HEADERS)


def log_in(pod: Pod, app: str, name: str, password: str) -> Login:
    answer = post(pod, "/api/login", client_id=app, username=name, password=password)
    return _login(answer)


def is_refused(pod: Pod, app: str, name: str, password: str) -> bool:
    """Whether nobody is logged in so."""
    answer = post(pod, "/api/login", client_id=app, username=name, password=password)
    return answer.status_code == 401


def refresh(pod: Pod, app: str, login: Login) -> Login:
    return _login(post(pod, "/api/refresh", client_id=app, refresh_token=login.refresh_token))


def is_over(pod: Pod, app: str, login: Login) -> bool:
    """Whether the session can't be continued."""
    answer = post(pod, "/api/refresh", client_id=app, refresh_token=login.refresh_token)
    return answer.status_code == 400 and answer.json()["error"] == "invalid_grant"


def _login(answer: httpx.Response) -> Login:
    assert answer.status_code == 200, answer.text
    members = answer.json()
    return Login(access_token=members["access_token"], refresh_token=members["refresh_token"])
