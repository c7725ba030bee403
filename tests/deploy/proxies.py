"""nginx and HAProxy with the delivered files of deploy/, their addresses replaced."""

import re
import shutil
import socket
import ssl
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import httpx
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.deploy.image import ROOT
from tests.faults.failover_support import free_port, until

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
HAPROXY = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")


@dataclass(slots=True)
class Proxy(ABC):
    """A proxy that ends TLS on a port of its own.

    `pods` are all addresses that a pod will ever have, also those where none has been started.
    """

    folder: Path
    pods: list[str]
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    def trust(self) -> ssl.SSLContext:
        """What a client needs to believe its certificate."""
        return ssl.create_default_context(cafile=self.folder / "proxy.crt")

    def serves(self) -> bool:
        """Whether it has found a pod that answers."""
        with suppress(httpx.TransportError):
            keys = httpx.get(f"{self.url}/.well-known/jwks.json", verify=self.trust())
            return keys.status_code == 200
        return False

    def start(self) -> None:
        make_certificate(self.folder)
        self.configure(self.pods)
        with (self.folder / "proxy.log").open("wb") as log:
            self.process = subprocess.Popen(self.command(), stdout=log, stderr=log)
        until(self._listens)

    def _listens(self) -> bool:
        assert self.process
        assert self.process.poll() is None, (self.folder / "proxy.log").read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self) -> None:
        if self.process:
            self.process.terminate()
            self.process.wait(10)

    @abstractmethod
    def configure(self, pods: Sequence[str]) -> None:
        """Write its configuration: the delivered file, with these pods."""

    @abstractmethod
    def command(self) -> list[str]:
        """What starts it, in the foreground."""


class Nginx(Proxy):
    """It looks at no pod by itself, and finds who is there by being refused: never reloaded."""

    def configure(self, pods: Sequence[str]) -> None:
        text = (ROOT / "deploy/nginx.conf").read_text()
        text = _replaced(text, r"( +server )10\.0\.0\.1\d:8000( .+;\n)", r"\g<1>{}\g<2>", pods)
        text = text.replace("listen 443 ssl", f"listen 127.0.0.1:{self.port} ssl")
        text = text.replace("/etc/nginx/auth.example.com", str(self.folder / "proxy"))
        text = text.replace("worker_processes auto", "worker_processes 2")
        text = text.replace("auth.example.com", "localhost")
        (self.folder / "nginx.conf").write_text(text)

    def command(self) -> list[str]:
        options = f"daemon off; pid {self.folder}/nginx.pid; error_log stderr warn;"
        return [str(NGINX), "-e", "stderr", "-c", str(self.folder / "nginx.conf"), "-g", options]


class HAProxy(Proxy):
    """It asks /readyz itself."""

    def configure(self, pods: Sequence[str]) -> None:
        text = (ROOT / "deploy/haproxy.cfg").read_text()
        text = _replaced(text, r"( +server )pod-\d 10\.0\.0\.1\d:8000\n", r"\g<1>{0} {0}\n", pods)
        text = text.replace("bind :443", f"bind 127.0.0.1:{self.port}")
        text = text.replace("/etc/haproxy/auth.example.com.pem", str(self.folder / "proxy.pem"))
        (self.folder / "haproxy.cfg").write_text(text)

    def command(self) -> list[str]:
        return [str(HAPROXY), "-db", "-f", str(self.folder / "haproxy.cfg")]


def _replaced(text: str, line: str, by: str, pods: Sequence[str]) -> str:
    """The text with one line for each pod in the place of its three."""
    found = list(re.finditer(line, text))
    assert len(found) == 3, "the delivered file has three pods"
    lines = "".join(found[0].expand(by.format(pod)) for pod in pods)
    return text[: found[0].start()] + lines + text[found[-1].end() :]


def make_certificate(folder: Path) -> None:
    """A certificate for localhost, signed by itself: proxy.crt, proxy.key, both in proxy.pem."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    names = [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, SHA256())
    )
    certificate = made.public_bytes(Encoding.PEM)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "proxy.crt").write_bytes(certificate)
    (folder / "proxy.key").write_bytes(private)
    (folder / "proxy.pem").write_bytes(certificate + private)
