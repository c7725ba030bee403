"""deploy/Dockerfile: what its steps install runs as user 65532 on a read-only file system."""

import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from service.embedded.postgres import EmbeddedPostgres
from service.embedded.redis import EmbeddedRedis
from tests.deploy.image import ROOT, Image, can_stand_in
from tests.faults.failover_support import free_port

DOCKERFILE = (ROOT / "deploy/Dockerfile").read_text()
SMOKE = ROOT / "deploy/chart/files/smoke_test.py"
needs_namespace = pytest.mark.skipif(not can_stand_in(), reason="needs root and mount namespaces")


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    """The tree of the image, outside pytest's own folders, which only their owner may enter."""
    folder = Path(tempfile.mkdtemp(prefix="watchword-image-"))
    folder.chmod(0o755)
    image = Image(folder)
    image.install()
    yield image
    shutil.rmtree(folder)


@pytest.fixture
def environment(
    image: Image, postgres: EmbeddedPostgres, redis_server: EmbeddedRedis
) -> dict[str, str]:
    """What the chart gives the service, on loopback."""
    name = f"image{time.time_ns()}"
    postgres.create_database(name)
    return {
        "WATCHWORD_ISSUER": f"http://127.0.0.1:{free_port()}",
        "WATCHWORD_DATABASE_URL": postgres.url(name),
        "WATCHWORD_REDIS_URL": redis_server.url,
        "WATCHWORD_REDIS_PREFIX": name,
        "WATCHWORD_KEYS_DIR": str(image.folder / "keys"),
        "WATCHWORD_DRAIN": "0s",
    }


@pytest.fixture(scope="module")
def keys(image: Image) -> None:
    """Master keys as a mounted Secret has them: root's, readable by the pod's group."""
    folder = image.folder / "keys"
    image.run_as_root(image.bin / "watchword", "keys", "init", "--dir", folder, environment={})
    for each in [folder, *folder.iterdir()]:
        shutil.chown(each, group=65532)
        each.chmod(0o750 if each.is_dir() else 0o440)


@pytest.mark.slow
@needs_namespace
@pytest.mark.usefixtures("keys")
def test_it_serves_as_nobody_in_particular_and_writes_nowhere(
    image: Image, environment: dict[str, str]
) -> None:
    watchword = image.bin / "watchword"
    code, said = image.run(watchword, "migrate", environment=environment)
    assert code == 0, said
    listen = environment["WATCHWORD_ISSUER"].removeprefix("http://")
    serving = image.start(
        watchword, "serve", environment={**environment, "WATCHWORD_LISTEN": listen}
    )
    try:
        assert until_ready(environment["WATCHWORD_ISSUER"], serving) == "ready"
        shutil.copy(SMOKE, image.folder)
        for _ in range(2):  # it takes again what it left
            code, said = image.run(
                image.bin / "python3", image.folder / SMOKE.name, environment=environment
            )
            assert code == 0, said
            assert "Watchword works" in said
        code, said = image.run(
            image.bin / "python", "-c", "open('/tmp/any', 'w')", environment=environment
        )
        assert (code, "Read-only file system" in said) == (1, True), said
        code, said = image.run(
            image.bin / "python", "-c", "import os; print(os.getuid())", environment=environment
        )
        assert (code, said) == (0, "65532\n")
    finally:
        serving.send_signal(signal.SIGTERM)
        output, _ = serving.communicate(timeout=30)
    assert serving.returncode == 0, output
    assert "Traceback" not in output
    assert '"event":"stopped"' in output.splitlines()[-1]


@pytest.mark.slow
@needs_namespace
def test_nothing_in_it_can_be_changed_by_whoever_it_runs_as(image: Image) -> None:
    tree = image.folder / "opt/watchword"
    loose = [it for it in tree.rglob("*") if not it.is_symlink() and it.stat().st_mode & 0o022]
    assert not loose
    assert not [it for it in tree.rglob("*") if it.name in ("pip", "setuptools")]


def until_ready(url: str, process: subprocess.Popen[str]) -> str:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and process.poll() is None:
        try:
            answer = httpx.get(f"{url}/readyz")
        except httpx.TransportError:
            time.sleep(0.05)
            continue
        if answer.status_code == 200:
            return answer.json()["status"]
        time.sleep(0.05)
    process.kill()
    return process.communicate()[0]


def test_the_dockerfile_copies_what_the_install_step_reads() -> None:
    """A file that the step needs and the image's context leaves out would fail only in a build."""
    step = (ROOT / "deploy/image/install.sh").read_text()
    (listed,) = re.findall(r"for each in ([^;]+);", step)
    needed = {*listed.split(), "requirements.txt", "deploy/image"}
    copied = {
        name
        for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE)
        for name in line.split()[:-1]
    }
    assert copied == needed
    ignore = (ROOT / "deploy/Dockerfile.dockerignore").read_text()
    assert {it[1:] for it in ignore.splitlines() if it.startswith("!")} == needed
    assert all((ROOT / name).exists() for name in needed)


def test_the_dockerfile_names_the_version() -> None:
    project = (ROOT / "pyproject.toml").read_text()
    (version,) = re.findall(r'^version = "(.+)"$', project, re.MULTILINE)
    assert f"ARG VERSION={version}\n" in DOCKERFILE
