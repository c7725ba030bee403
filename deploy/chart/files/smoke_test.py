"""helm test: a machine's token and a person's session, from the first step to the last.

Runs in the service's image with the service's settings and secrets, and needs nothing else:
    SMOKE_URL=http://watchword:80 python3 smoke_test.py
It makes two clients and a user of its own, and leaves them disabled and deleted, also if it fails
or is ended. SMOKE_WAIT: how many seconds it waits for the service (60).
"""

import base64
import http.client
import json
import os
import re
import secrets
import signal
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
WAIT = float(os.environ.get("SMOKE_WAIT", "60"))
OK, NO_CONTENT = 200, 204
CERTIFICATE = os.environ.get("WATCHWORD_TLS_CERTIFICATE")


# What to look at when a step is answered with something else than it should.
HINTS = {
    401: "another test with the same names may be running: try again",
    404: "does tests.url lead to Watchword? the path is the issuer's",
    421: "that host is not the issuer's and not among allowedHosts",
    429: "too many failed attempts from this address: wait 15 minutes, or see who makes them",
    503: "PostgreSQL or Redis is away: run 'watchword doctor' in a pod",
}
USE_HTTPS = (
    "plain http from here is not trusted: add the pods' network to trustedProxies, or set tests.url"
)
UNREACHABLE = (
    "is a pod ready (kubectl get pods), and does a NetworkPolicy let this one through? With TLS in "
    "the pods, is their certificate for the issuer's host?"
)


class Failed(Exception):
    """A step did not do what it should; the text says what to look at."""


def main():
    user = f"smoke-{secrets.token_hex(6)}"
    began = time.monotonic()
    signal.signal(signal.SIGTERM, end)
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
    except (OSError, http.client.HTTPException) as error:
        print(f"FAILED: {URL} does not answer ({error}): {UNREACHABLE}", flush=True)
        return 1
    finally:
        clean_up()
    print(f"Watchword works: {time.monotonic() - began:.1f} s", flush=True)
    return 0


def step(name, do, *arguments):
    began = time.monotonic()
    result = do(*arguments)
    print(f"{name:<38}{(time.monotonic() - began) * 1000:7.0f} ms", flush=True)
    return result


def wait_until_ready():
    deadline = time.monotonic() + WAIT
    while True:
        try:
            status, answer, _ = ask("GET", "/readyz")
        except OSError as error:
            status, answer = 0, str(error)
        if status == OK:
            return
        if time.monotonic() > deadline:
            hint = "the pods' logs say what they wait for" if status else UNREACHABLE
            raise Failed(f"{URL}/readyz says {status or 'nothing'} ({answer}): {hint}")
        time.sleep(0.5)


def look_at_keys():
    answer = expect(OK, *ask("GET", f"{ROOT}/.well-known/jwks.json"))
    if not answer["keys"] or any({"d", "p", "q"} & set(key) for key in answer["keys"]):
        raise Failed("the key set is empty or has private members: run 'watchword doctor' in a pod")


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
    LEFT.append(["users", "delete", name, "--yes"])
    run("users", "create", name, "--email", address, "--full-name", "Smoke", "--password-stdin",
        text=password)  # fmt: skip
    return password


def log_in(name, password):
    body = {"client_id": APP, "username": name, "password": password}
    return expect(OK, *ask("POST", f"{ROOT}/api/login", body=body))


def refresh(tokens):
    return expect(OK, *try_refresh(tokens))


def expect_no_refresh(tokens):
    status, answer, _ = said = try_refresh(tokens)
    if status == OK:
        raise Failed("a session that was logged out goes on: run 'watchword doctor' in a pod")
    if not isinstance(answer, dict) or answer.get("error") != "invalid_grant":
        expect("a refusal (invalid_grant)", *said)


def try_refresh(tokens):
    body = {"client_id": APP, "refresh_token": tokens["refresh_token"]}
    return ask("POST", f"{ROOT}/api/refresh", body=body)


def look_at_profile(tokens, name):
    answer = expect(OK, *ask("GET", f"{ROOT}/api/me", auth=f"Bearer {tokens['access_token']}"))
    if answer["username"] != name:
        raise Failed("/api/me answers with somebody else: does a proxy in between cache answers?")


def log_out(tokens):
    body = {"client_id": APP, "refresh_token": tokens["refresh_token"]}
    expect(NO_CONTENT, *ask("POST", f"{ROOT}/api/logout", body=body))


def register(client_id, *options):
    """Make the client, or take it where an earlier test left it; its secret, if it has one."""
    LEFT.append(["clients", "disable", client_id])
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


# What undoes each step that was begun.
LEFT = []


def clean_up():
    """Undo what was begun, whatever stopped it; what can't be undone is said."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for command in reversed(LEFT):
        try:
            run(*command)
        except Failed as failure:
            if "there is no" not in str(failure):
                print(f"left behind ({failure}): watchword {' '.join(command)}", flush=True)


def end(*_):
    """Stop where it is: its pod was deleted, or Helm waited long enough."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit("FAILED: it was ended from outside; a longer time: helm test --timeout")


def run(*words, text=""):
    command = ["watchword", *words]
    try:
        done = subprocess.run(
            command, input=text, capture_output=True, text=True, check=False, timeout=60
        )
    except subprocess.TimeoutExpired:
        raise Failed(
            f"watchword {words[0]} {words[1]} takes a minute: can it reach PostgreSQL and Redis?"
        ) from None
    if done.returncode:
        raise Failed(f"watchword {words[0]} {words[1]}: {done.stderr.strip()}")
    return done.stdout


def expect(wanted, status, answer, request_id):
    if status == wanted:
        return answer
    hint = HINTS.get(status, f"see the pods' logs for the request {request_id}")
    if isinstance(answer, dict) and answer.get("error_description") == "use https":
        hint = USE_HTTPS
    raise Failed(f"answered {status} {answer} in the place of {wanted}: {hint}")


def basic(secret):
    return "Basic " + base64.b64encode(f"{MACHINE}:{secret}".encode()).decode()


def ask(method, path, *, form=None, body=None, auth=None):
    """A request as the proxy in front would send it; status, answer and the request's id."""
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
        said, request_id = response.read(), response.headers["X-Request-Id"]
    finally:
        connection.close()
    try:
        return response.status, json.loads(said or b"null"), request_id
    except ValueError:
        return response.status, said.decode(errors="replace")[:200], request_id


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
