"""A browser without scripts over the network: cookies by host and port, forms, redirects."""

import re
from html import unescape
from urllib.parse import urljoin, urlsplit

import httpx

from tests.browser.live import PASSWORD
from tests.http.browsing import hidden

_ACTION = re.compile(r'<form\b[^>]*\baction="([^"]*)"')
_REDIRECTS = frozenset({302, 303})


class Visitor:
    """Somebody at a browser of their own."""

    def __init__(self) -> None:
        self._http = httpx.Client(timeout=10)
        self._cookies: dict[str, dict[str, str]] = {}

    def get(self, url: str) -> httpx.Response:
        return self._send("GET", url)

    def submit(self, page: httpx.Response, **fields: str) -> httpx.Response:
        """Send the page's first form, with its hidden fields and these."""
        action = _ACTION.search(page.text)
        assert action, page.text
        url = urljoin(str(page.url), unescape(action[1]))
        origin = "{0.scheme}://{0.netloc}".format(urlsplit(str(page.url)))
        return self._send("POST", url, data={**hidden(page), **fields}, headers={"origin": origin})

    def follow(self, answer: httpx.Response, stop: str) -> httpx.Response:
        """The page to which redirects lead, or the redirect that leads to `stop`."""
        while answer.status_code in _REDIRECTS:
            target = urljoin(str(answer.url), answer.headers["location"])
            if target.startswith(stop):
                return answer
            answer = self.get(target)
        assert answer.status_code == 200, answer.text
        return answer

    def sign_in(self, url: str, name: str, stop: str) -> httpx.Response:
        """Go where a client sends its user, sign in there and allow it: the last answer."""
        page = self.follow(self.get(url), stop)
        page = self.follow(self.submit(page, username=name, password=PASSWORD), stop)
        return self.follow(self.submit(page, decision="allow"), stop)

    def close(self) -> None:
        self._http.close()

    def _send(self, method: str, url: str, **options: object) -> httpx.Response:
        jar = self._cookies.setdefault(urlsplit(url).netloc, {})
        headers = {**options.pop("headers", {})}  # type: ignore[arg-type]
        if jar:
            headers["cookie"] = "; ".join(f"{name}={value}" for name, value in jar.items())
        answer = self._http.request(method, url, headers=headers, **options)  # type: ignore[arg-type]
        self._http.cookies.clear()
        for text in answer.headers.get_list("set-cookie"):
            name, _, rest = text.partition("=")
            jar[name] = rest.partition(";")[0]
            if not jar[name] or "max-age=0" in text.lower():
                del jar[name]
        return answer
