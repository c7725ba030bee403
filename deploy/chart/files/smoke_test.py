"""helm test: a machine's token and a person's session, from the first step to the last.

Runs in the service's image with the service's settings and secrets, and needs nothing else:
    SMOKE_URL=http://watchword:80 python3 smoke_test.py
It makes two clients and a user of its own, and leaves them disabled and deleted.
"""

import base64
import http.client
import json
import os
import re
import secrets
import ssl
import subprocess
import sys
import time
from urllib.parse import urlencode, urlsplit

MACHINE, APP = "watchword-smoke-machine", "watchword-smoke-app"
AUDIENCE, SCOPE = "urn:watchword:smoke", "smoke:test"
ISSUER = os.environ["WATCHWORD_ISSUER"]
URL = os.environ.get("SMOKE_URL") or ISSUER
ROOT = urlsplit(ISSUER).path
OK, NO_CONTENT, MISDIRECTED = 200, 204, 421
CERTIFICATE = os.environ.get("WATCHWORD_TLS_CERTIFICATE")


class Failed(Exception):
    """A step did not do what it should; the text says what to look at."""


def main():
    user = f"smoke-{secrets.token_hex(6)}"
    began = time.monotonic()
    try:
        step("the service is ready", wait_until_ready)
        step("its keys are published", look_at_keys)
        secret = step("a client is registered", make_machine)
        token = step("it gets a token", get_token, secret)
        step("the token is active", expect_active, secret, token)
        step("the token is revoked", revoke, secret, token)
        step("it is active no more", expect_inactive, secret, token)
        password = step("a user is made", make_user, user)
        first = step("who logs in", log_in, user, password)
        second = step("and refreshes", refresh, first)
        step("the access token opens the profile", look_at_profile, second, user)
        step("who logs out", log_out, second)
        step("and can't refresh any more", expect_no_refresh, second)
    except Failed as failure:
        print(f"FAILED: {failure}", flush=True)
        return 1
    finally:
        clean_up(user)
    print(f"Watchword works: {time.monotonic() - began:.1f} s", flush=True)
    return 0


def step(name, do, *arguments):
    began = time.monotonic()
    result = do(*arguments)
    print(f"{name:<38}{(time.monotonic() - began) * 1000:7.0f} ms", flush=True)
    return result


def wait_until_ready(seconds=60):
    deadline = time.monotonic() + seconds
    while True:
        try:
            status, answer = ask("GET", "/readyz")
        except OSError as error:
            status, answer = 0, str(error)
        if status == OK:
            return
        if time.monotonic() > deadline:
            raise Failed(f"{URL}/readyz says {status} {answer}: see the logs of the pods")
        time.sleep(0.5)


def look_at_keys():
    answer = expect(OK, *ask("GET", f"{ROOT}/.well-known/jwks.json"))
    if not answer["keys"] or any({"d", "p", "q"} & set(key) for key in answer["keys"]):
        raise Failed("the key set is empty, or has private members")


def make_machine():
    options = ["--name", "Watchword's own test", "--audience", AUDIENCE, "--scope", SCOPE]
    return register(MACHINE, *options)


def get_token(secret):
    form = {"grant_type": "client_credentials"}
    return expect(OK, *ask("POST", f"{ROOT}/token", form=form, auth=basic(secret)))["access_token"]


def expect_active(secret, token):
    if not introspect(secret, token)["active"]:
        raise Failed(
            "/introspect says that a new token is inactive: run 'watchword doctor' in a pod"
        )


def expect_inactive(secret, token):
    if introspect(secret, token)["active"]:
        raise Failed(
            "/introspect says that a revoked token is active: run 'watchword doctor' in a pod"
        )


def introspect(secret, token):
    form = {"token": token}
    return expect(OK, *ask("POST", f"{ROOT}/introspect", form=form, auth=basic(secret)))


def revoke(secret, token):
    expect(OK, *ask("POST", f"{ROOT}/revoke", form={"token": token}, auth=basic(secret)))


def make_user(name):
    options = ["--first-party", "--public", "--refresh-delivery", "body", "--audience", AUDIENCE]
    register(APP, "--name", "Watchword's own test", *options, "--scope", SCOPE)
    password = secrets.token_urlsafe(24)
    address = f"{name}@smoke.invalid"
    run("users", "create", name, "--email", address, "--full-name", "Smoke", "--password-stdin",
        text=password)  # fmt: skip
    return password


def log_in(name, password):
    body = {"client_id": APP, "username": name, "password": password}
    return expect(OK, *ask("POST", f"{ROOT}/api/login", body=body))


def refresh(tokens):
    return expect(OK, *try_refresh(tokens))


def expect_no_refresh(tokens):
    status, _ = try_refresh(tokens)
    if status == OK:
        raise Failed("a session that was logged out goes on: run 'watchword doctor' in a pod")


def try_refresh(tokens):
    body = {"client_id": APP, "refresh_token": tokens["refresh_token"]}
    return ask("POST", f"{ROOT}/api/refresh", body=body)


def look_at_profile(tokens, name):
    answer = expect(OK, *ask("GET", f"{ROOT}/api/me", auth=f"Bearer {tokens['access_token']}"))
    if answer["username"] != name:
        raise Failed("/api/me answers with somebody else")


def log_out(tokens):
    body = {"client_id": APP, "refresh_token": tokens["refresh_token"]}
    expect(NO_CONTENT, *ask("POST", f"{ROOT}/api/logout", body=body))


def register(client_id, *options):
    """Make the client, or take it where an earlier test left it; its secret, if it has one."""
    known = run("clients", "list", "--json")
    if client_id in [json.loads(line)["id"] for line in known.splitlines()]:
        run("clients", "enable", client_id)
        if "--public" in options:
            return None
        said = run("clients", "rotate-secret", client_id, "--overlap-hours", "0")
    else:
        said = run("clients", "create", client_id, *options)
    found = re.search(r"wws_\S+", said)
    return found.group() if found else None


def clean_up(user):
    for command in (
        ["users", "delete", user, "--yes"],
        ["clients", "disable", MACHINE],
        ["clients", "disable", APP],
    ):
        subprocess.run(["watchword", *command], capture_output=True, check=False, timeout=60)


def run(*words, text=""):
    done = subprocess.run(
        ["watchword", *words], input=text, capture_output=True, text=True, check=False, timeout=60
    )
    if done.returncode:
        raise Failed(f"watchword {words[0]} {words[1]}: {done.stderr.strip()}")
    return done.stdout


def expect(wanted, status, answer):
    if status == wanted:
        return answer
    hint = ""
    if isinstance(answer, dict) and answer.get("error_description") == "use https":
        hint = ": the pods' network is not among trustedProxies; add it, or set tests.url"
    if status == MISDIRECTED:
        hint = ": that host is not the issuer's and not among allowedHosts"
    raise Failed(f"answered {status} {answer} in the place of {wanted}{hint}")


def basic(secret):
    return "Basic " + base64.b64encode(f"{MACHINE}:{secret}".encode()).decode()


def ask(method, path, *, form=None, body=None, auth=None):
    """A request as the proxy in front would send it; status and answer."""
    issuer, url = urlsplit(ISSUER), urlsplit(URL)
    headers, data = {"Host": issuer.netloc}, None
    if url.scheme == "http":
        headers["X-Forwarded-Proto"] = "https"
    if form is not None:
        headers["Content-Type"] = "application/x-www-form-urlencoded"
        data = urlencode(form)
    if body is not None:
        headers |= {"Content-Type": "application/json", "X-Requested-With": "smoke"}
        data = json.dumps(body)
    if auth:
        headers["Authorization"] = auth
    connection = connect(url, issuer.hostname)
    try:
        connection.request(method, path, data, headers)
        response = connection.getresponse()
        said = response.read()
    finally:
        connection.close()
    try:
        return response.status, json.loads(said or b"null")
    except ValueError:
        return response.status, said.decode(errors="replace")[:200]


def connect(url, name):
    if url.scheme == "http":
        return http.client.HTTPConnection(url.hostname, url.port or 80, timeout=20)
    context = ssl.create_default_context()
    if CERTIFICATE and URL != ISSUER:
        # The pods' own, as it lies here, whoever issued it; for the issuer's name.
        context.load_verify_locations(CERTIFICATE)
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    connection = http.client.HTTPSConnection(
        url.hostname, url.port or 443, timeout=20, context=context
    )
    if URL != ISSUER:
        plain = connection._create_connection
        connection.connect = lambda: setattr(
            connection,
            "sock",
            context.wrap_socket(plain((url.hostname, url.port or 443), 20), server_hostname=name),
        )
    return connection


if __name__ == "__main__":
    sys.exit(main())
