"""The addresses and the certificate that the server listens with."""

import errno
import ipaddress
import re
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

BACKLOG = 2048


class ListenError(Exception):
    """An address or certificate that cannot be served; the text is one line for the operator."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files: the certificate with its chain, and its key without a passphrase."""

    certificate: Path
    private_key: Path


def tls_context(files: TlsFiles) -> ssl.SSLContext:
    """TLS 1.2 or newer with these files, or ListenError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        # Without a password of our own OpenSSL would ask for one on the terminal.
        context.load_cert_chain(files.certificate, files.private_key, password="")
    except OSError as error:
        reason = error.strerror or error
        names = f"{files.certificate} with the key {files.private_key}"
        raise ListenError(f"cannot serve TLS with the certificate {names}: {reason}") from error
    return context


def bind(addresses: Sequence[str], *, ipv6_optional: bool = False) -> list[socket.socket]:
    """Listen on addresses such as 0.0.0.0:8000 and [::1]:8000, or raise ListenError.

    Clients may connect from here on; they wait for `serve`. With `ipv6_optional`, ::1 is left
    out on a machine without IPv6.
    """
    sockets: list[socket.socket] = []
    try:
        for address in addresses:
            host, port = _parsed(address)
            try:
                sockets.append(_listening(host, port))
            except OSError as error:
                absent = error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
                if not (ipv6_optional and absent and host == ipaddress.IPv6Address("::1")):
                    raise ListenError(_complaint(error, host, port)) from error
    except ListenError:
        for each in sockets:
            each.close()
        raise
    return sockets


_Host = ipaddress.IPv4Address | ipaddress.IPv6Address


def _parsed(address: str) -> tuple[_Host, int]:
    match = re.fullmatch(r"(\[(?P<six>.+)\]|(?P<four>.+)):(?P<port>[0-9]{1,5})", address)
    try:
        if match and int(match["port"]) < 65536:  # noqa: PLR2004
            six = match["six"]
            host = ipaddress.IPv6Address(six) if six else ipaddress.IPv4Address(match["four"])
            return host, int(match["port"])
    except ipaddress.AddressValueError:
        pass
    example = "write it like 127.0.0.1:8000 or [::1]:8000 in WATCHWORD_LISTEN"
    raise ListenError(f"cannot listen on {address!r}: {example}")


def _listening(host: _Host, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if host.version == 6 else socket.AF_INET)  # noqa: PLR2004
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if listener.family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((str(host), port))
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def _complaint(error: OSError, host: _Host, port: int) -> str:
    remedy = "choose another with WATCHWORD_LISTEN or --port"
    match error.errno:
        case errno.EADDRINUSE:
            return f"port {port} on {host} is taken by another process; {remedy}"
        case errno.EACCES:
            return f"port {port} on {host} is reserved for privileged processes; {remedy}"
        case errno.EADDRNOTAVAIL:
            return f"{host} is not an address of this machine; choose another with WATCHWORD_LISTEN"
        case _:
            return f"cannot listen on port {port} of {host}: {error.strerror}"
