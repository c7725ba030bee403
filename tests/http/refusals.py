"""What every refusal of a form endpoint looks like: JSON, never stored, 401 with a challenge."""

import re

import httpx

FORM = ("content-type", "application/x-www-form-urlencoded")
GRANT = {"grant_type": "client_credentials"}

# RFC 6749 §5.2: what may stand in an error_description.
_DESCRIPTION = re.compile(r"[\x20\x21\x23-\x5B\x5D-\x7E]+")


def assert_refused(answer: httpx.Response, error: str, status: int = 400) -> None:
    assert (answer.status_code, answer.json()["error"]) == (status, error), answer.text
    assert set(answer.json()) == {"error", "error_description"}
    assert _DESCRIPTION.fullmatch(answer.json()["error_description"])
    assert answer.headers.get_list("content-type") == ["application/json"]
    assert answer.headers.get_list("cache-control") == ["no-store"]
    assert answer.headers.get_list("pragma") == ["no-cache"]
    challenge = ['Basic realm="as"'] if status == 401 else []
    assert answer.headers.get_list("www-authenticate") == challenge
    assert not {"set-cookie", "location"} & set(answer.headers)
