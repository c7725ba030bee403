"""helm test's script (deploy/chart/files/smoke_test.py) beside a real pod, also when it fails."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.faults.failover_support import free_port, until
from tests.faults.processes import ROOT, Deployment, open_deployment

pytestmark = pytest.mark.slow

SCRIPT = ROOT / "deploy/chart/files/smoke_test.py"
HOST = "auth.example.com"
Environment = dict[str, str]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with open_deployment(tmp_path_factory.mktemp("smoke")) as site:
        site.issuer = f"https://{HOST}"
        site.run(site.database_url, "migrate")
        yield site


@contextmanager
def serving(site: Deployment, **settings: str) -> Iterator[Environment]:
    """A pod with these settings; what the test's pod has beside it."""
    port = free_port()
    environment = {
        **site.environment(site.database_url),
        **{f"WATCHWORD_{name}": value for name, value in settings.items()},
        "PATH": f"{Path(sys.executable).parent}:{os.defpath}",
    }
    url = f"http{'s' if 'TLS_CERTIFICATE' in settings else ''}://127.0.0.1:{port}"
    command = [sys.executable, "-m", "service", "serve"]
    listen = {"WATCHWORD_LISTEN": f"127.0.0.1:{port}"}
    pod = subprocess.Popen(command, env={**environment, **listen}, stdout=subprocess.DEVNULL)
    try:
        until(lambda: pod.poll() is None and is_ready(url))
        yield {**environment, "SMOKE_URL": url, "SMOKE_WAIT": "1"}
    finally:
        pod.kill()
        pod.wait()


def is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", verify=False).status_code == 200  # noqa: S501
    except httpx.TransportError:
        return False


def smoke(environment: Environment) -> tuple[int, list[str]]:
    """The exit code, and the lines that it printed."""
    command = [sys.executable, SCRIPT]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.returncode, done.stdout.splitlines()


def make_certificate(folder: Path) -> dict[str, str]:
    """A certificate for the issuer's host, by a CA that nobody knows, as a Secret has it."""
    folder.mkdir()
    ca_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    now = datetime.now(UTC)
    name, ca = (
        x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, it)]) for it in (HOST, "inside")
    )
    hosts = x509.SubjectAlternativeName([x509.DNSName(HOST)])
    certificate = (
        x509.CertificateBuilder(ca, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(hosts, critical=False)
        .sign(ca_key, SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "tls.crt").write_bytes(certificate.public_bytes(Encoding.PEM))
    (folder / "tls.key").write_bytes(private)
    files = {"TLS_CERTIFICATE": "tls.crt", "TLS_PRIVATE_KEY": "tls.key"}
    return {name: str(folder / file) for name, file in files.items()}


def left_over(site: Deployment) -> tuple[list[str], list[str]]:
    """Users, and clients that are enabled."""
    users, clients = (
        [
            json.loads(line)
            for line in site.run(site.database_url, kind, "list", "--json").split("\n")
            if line
        ]
        for kind in ("users", "clients")
    )
    return [it["username"] for it in users], [it["id"] for it in clients if it["enabled"]]


def test_with_tls_in_the_pods_it_runs_through_and_leaves_nothing(
    site: Deployment, tmp_path: Path
) -> None:
    """The certificate is the one that lies in its own pod, for the issuer's name."""
    with serving(site, **make_certificate(tmp_path / "one")) as environment:
        code, lines = smoke(environment)
        assert (code, lines[-1].startswith("Watchword works: ")) == (0, True), lines
        assert all(line.endswith(" ms") for line in lines[:-1])
        assert left_over(site) == ([], [])
        other = make_certificate(tmp_path / "other")
        environment["WATCHWORD_TLS_CERTIFICATE"] = other["TLS_CERTIFICATE"]
        code, lines = smoke(environment)
    assert code == 1
    assert "CERTIFICATE_VERIFY_FAILED" in lines[-1]
    assert "is their certificate for the issuer's host?" in lines[-1]


def test_it_says_which_network_to_trust(site: Deployment) -> None:
    with serving(site, TRUSTED_PROXIES="10.0.0.0/8") as environment:
        code, lines = smoke(environment)
    assert code == 1
    assert "add the pods' network to trustedProxies, or set tests.url" in lines[-1]


def test_it_says_that_nobody_answers(site: Deployment) -> None:
    environment = site.environment(site.database_url)
    code, lines = smoke(
        {**environment, "SMOKE_URL": f"http://127.0.0.1:{free_port()}", "SMOKE_WAIT": "0"}
    )
    assert code == 1
    assert "does a NetworkPolicy let this one through?" in lines[-1]


def test_ended_in_the_middle_it_cleans_up(site: Deployment) -> None:
    """As `helm test --timeout` and the deletion of its pod end it."""
    with serving(site) as environment:
        command = [sys.executable, SCRIPT]
        running = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        assert running.stdout
        assert any(line.startswith("a client is registered") for line in running.stdout)
        for _ in range(2):  # whoever is impatient does not stop it from cleaning up
            running.send_signal(signal.SIGTERM)
        output, _ = running.communicate(timeout=30)
    assert running.returncode == 1
    assert "left behind" not in output
    assert left_over(site) == ([], [])
