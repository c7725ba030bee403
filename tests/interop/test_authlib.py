"""Authlib's login for Flask, as its documentation has it, against a real pod."""

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from authlib.integrations.flask_client import OAuth
from flask import Flask, jsonify, session, url_for
from flask.testing import FlaskClient
from werkzeug.wrappers import Response

from tests.browser.live import Live
from tests.interop.visitor import Visitor

pytestmark = pytest.mark.slow

SITE = "http://127.0.0.1:5000"


def make_site(issuer: str, client: tuple[str, str]) -> Flask:
    """A web site whose users log in elsewhere."""
    site = Flask("notebook")
    site.config.update(SECRET_KEY="made up", SERVER_NAME=urlsplit(SITE).netloc)
    oauth = OAuth(site)
    oauth.register(
        "watchword",
        client_id=client[0],
        client_secret=client[1],
        server_metadata_url=f"{issuer}/.well-known/openid-configuration",
        client_kwargs={
            "scope": "openid profile email offline_access orders:read",
            "code_challenge_method": "S256",
        },
    )
    watchword = oauth.watchword

    @site.get("/login")
    def login() -> Response:
        return watchword.authorize_redirect(url_for("callback", _external=True))

    @site.get("/callback")
    def callback() -> Response:
        token = watchword.authorize_access_token()
        session["hint"] = token["id_token"]
        about = watchword.userinfo(token=token)
        with watchword._get_oauth_client(**watchword.load_server_metadata()) as http:
            http.token = token
            refreshed = http.refresh_token(http.metadata["token_endpoint"])
        return jsonify(
            about=about,
            claims=token["userinfo"],  # those of the ID Token, proven
            token=token,
            refreshed=refreshed,
        )

    @site.get("/logout")
    def logout() -> Response:
        hint, bye = session.pop("hint"), url_for("bye", _external=True)
        return watchword.logout_redirect(bye, hint, logout_hint="Ada", ui_locales="se")

    @site.get("/bye")
    def bye() -> Response:
        return jsonify(watchword.validate_logout_response())

    return site


@pytest.fixture
def site(live: Live, monkeypatch: pytest.MonkeyPatch) -> Iterator[FlaskClient]:
    monkeypatch.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")
    bye = ("--post-logout-redirect-uri", f"{SITE}/bye")
    client = live.make_web_client(f"{SITE}/callback", *bye)
    with make_site(live.issuer, client).test_client() as http:
        yield http


def test_authlib(site: FlaskClient, live: Live, visitor: Visitor) -> None:
    """IOP-1, IOP-13, RPL-1."""
    name = live.make_user()
    asked = site.get("/login", base_url=SITE).headers["location"]
    answer = visitor.sign_in(asked, name, SITE).headers["location"]
    told = site.get(answer.removeprefix(SITE), base_url=SITE).get_json()
    claims = told["claims"]
    assert told["about"]["preferred_username"] == name
    assert told["about"]["sub"] == claims["sub"]
    assert claims["iss"] == live.issuer
    assert told["refreshed"]["refresh_token"] != told["token"]["refresh_token"]
    assert told["refreshed"]["scope"] == told["token"]["scope"]
    ending = site.get("/logout", base_url=SITE).headers["location"]
    gone = visitor.get(ending).headers["location"]
    back = site.get(gone.removeprefix(SITE), base_url=SITE).get_json()
    assert back["post_logout_redirect_uri"] == f"{SITE}/bye"
    assert "Sign in" in visitor.follow(visitor.get(f"{live.issuer}/account"), SITE).text
