"""A canary: notices each connection that is opened and each file, while it sings."""

import builtins
import io
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch
from urllib.parse import urlsplit

from service.settings import Settings


@contextmanager
def canary(settings: Settings) -> Iterator[list[str]]:
    """What was connected to beside PostgreSQL and Redis, each name looked up, each file opened.

    Python's own files are let through: a library in the background may read one at any time.
    """
    urls = (settings.database_url, settings.redis_url)
    own = {urlsplit(url.reveal()).port for url in urls}
    seen: list[str] = []

    def connect(original, peer, address):
        if not (isinstance(address, tuple) and address[1] in own):
            seen.append(f"connect {address}")
        return original(peer, address)

    def look_up(original, host, *args, **kwargs):
        if host not in ("127.0.0.1", b"127.0.0.1"):
            seen.append(f"look up {host}")
        return original(host, *args, **kwargs)

    def open_file(original, path, *args, **kwargs):
        if not str(path).startswith((sys.prefix, sys.base_prefix)):
            seen.append(f"open {path}")
        return original(path, *args, **kwargs)

    with (
        _spied(socket.socket, "connect", connect),
        _spied(socket.socket, "connect_ex", connect),
        _spied(socket, "getaddrinfo", look_up),
        _spied(builtins, "open", open_file),
        _spied(io, "open", open_file),
        _spied(os, "open", open_file),
    ):
        yield seen


@contextmanager
def _spied(owner, name, spy) -> Iterator[None]:
    original = getattr(owner, name)
    with patch.object(owner, name, lambda *args, **kwargs: spy(original, *args, **kwargs)):
        yield
